"""Consumer instances, and what callers ask of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka_facade.core.records.model import Format, ReadFormats
from kafka_facade.core.topics.positions import PartitionPosition, PartitionTime, TopicPartition


@dataclass(slots=True)
class ConsumerInstance:
    """A consumer instance of a group, living in this gateway. Times are milliseconds."""

    group: str
    instance_id: str
    format: Format
    auto_offset_reset: str
    auto_commit: bool
    fetch_min_bytes: int
    request_timeout_ms: int


@dataclass(slots=True)
class CreateConsumer:
    """``name`` None generates one; texts are as the caller gave them and are checked by the core (42204)."""

    group: str
    name: str | None = None
    format: str | None = None
    auto_offset_reset: str | None = None
    auto_commit_enable: str | None = None
    fetch_min_bytes: str | None = None
    request_timeout_ms: str | None = None

    @property
    def instance(self) -> str:
        """The name, under what other requests call it."""
        return self.name or ""


@dataclass(slots=True)
class ConsumerRef:
    group: str
    instance: str


@dataclass(slots=True)
class SubscribeConsumer:
    group: str
    instance: str
    topics: list[str] = field(default_factory=list)
    topic_pattern: str | None = None


@dataclass(slots=True)
class AssignConsumer:
    group: str
    instance: str
    partitions: list[TopicPartition]


@dataclass(slots=True)
class FetchRecords:
    """``format`` is what the caller accepts, None where it takes any; timeout and max_bytes only lower the defaults.

    ``max_bytes`` counts keys and values, ``max_answer_bytes`` whole records as :mod:`kafka_facade.core.records.sizes`
    does. A record that is larger is returned alone, unless it is more than ``max_record_bytes`` too, counted the same
    way.
    With ``at_once`` the read ends as soon as it has what is there, unless the instance wants a least number of bytes.
    ``formats`` decodes keys and values otherwise than the instance says, and records that can't be decoded are returned
    as such; without it they fail the read.
    """

    group: str
    instance: str
    format: Format | None = None
    timeout_ms: int | None = None
    max_bytes: int | None = None
    max_answer_bytes: int | None = None
    max_record_bytes: int | None = None
    at_once: bool = False
    formats: ReadFormats | None = None


@dataclass(slots=True)
class CommitOffsets:
    """``offsets`` None commits the current position of each partition; offset n commits n + 1, the next to read."""

    group: str
    instance: str
    offsets: list[PartitionPosition] | None = None


@dataclass(slots=True)
class ConsumerPartitions:
    group: str
    instance: str
    partitions: list[TopicPartition]


@dataclass(slots=True)
class SeekConsumer:
    """``times`` lead to the first record at or after them, or to the end where there is none."""

    group: str
    instance: str
    offsets: list[PartitionPosition]
    times: list[PartitionTime] = field(default_factory=list)
