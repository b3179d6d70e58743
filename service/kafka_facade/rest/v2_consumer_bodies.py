"""v2: the bodies of requests for consumer instances."""

from __future__ import annotations

from msgspec import field as member

from kafka_facade.rest.bodies import Int32, Int64, Setting, StrictBody


class V2CreateConsumer(StrictBody):
    """The settings of a consumer instance; ``id``, ``responseMinBytes`` and ``requestWaitMs`` are older names."""

    id: str | None = None
    name: str | None = None
    format: str | None = None
    auto_offset_reset: Setting = member(default=None, name="auto.offset.reset")
    auto_commit_enable: Setting = member(default=None, name="auto.commit.enable")
    fetch_min_bytes: Setting = member(default=None, name="fetch.min.bytes")
    request_timeout_ms: Setting = member(default=None, name="consumer.request.timeout.ms")
    response_min_bytes: Setting = member(default=None, name="responseMinBytes")
    request_wait_ms: Setting = member(default=None, name="requestWaitMs")


class V2Subscription(StrictBody):
    """Topics or a pattern to subscribe to."""

    topics: list[str] | None = None
    topic_pattern: str | None = None


class V2Partition(StrictBody):
    """A partition by name."""

    topic: str
    partition: Int32


class V2Partitions(StrictBody):
    """Partitions to assign, to seek in, or to look up."""

    partitions: list[V2Partition]


class V2Offset(StrictBody):
    """An offset in a partition; ``metadata`` is stored with a commit."""

    topic: str
    partition: Int32
    offset: Int64
    metadata: str | None = None


class V2Offsets(StrictBody):
    """Offsets to commit."""

    offsets: list[V2Offset]


class V2Time(StrictBody):
    """A time in a partition: text (RFC 3339) or a number of seconds; ``metadata`` is accepted and ignored."""

    topic: str
    partition: Int32
    timestamp: str | int | float
    metadata: str | None = None


class V2Positions(StrictBody):
    """Offsets and times to seek to."""

    offsets: list[V2Offset] | None = None
    timestamps: list[V2Time] | None = None
