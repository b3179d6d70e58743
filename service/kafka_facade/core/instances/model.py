"""Consumer instances, and the requests for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from kafka_facade.core.records.model import FetchedRecord, Format, ReadFormats, Record
from kafka_facade.core.request import Request
from kafka_facade.core.topics.positions import CommittedOffset, PartitionPosition, PartitionTime, TopicPartition

FETCH_OPERATIONS: Final = {
    Format.BINARY: "api.v2.consumers.consume-binary",
    Format.JSON: "api.v2.consumers.consume-json",
    Format.AVRO: "api.v2.consumers.consume-avro",
    Format.JSONSCHEMA: "api.v2.consumers.consume-json-schema",
    Format.PROTOBUF: "api.v2.consumers.consume-protobuf",
}
"""The operation that fetches records of an instance of each format."""


def fetch_operation(format: Format) -> str:
    """The operation for fetching in a format; for an unsupported format any one, and the fetch rejects it."""
    return FETCH_OPERATIONS.get(format, FETCH_OPERATIONS[Format.BINARY])


class OfInstance(Protocol):
    """A request for one consumer instance."""

    @property
    def group(self) -> str:
        """The consumer group."""

    @property
    def instance(self) -> str:
        """The instance's id in the group."""


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
class CreateConsumer(Request[ConsumerInstance]):
    """A ``name`` of None generates one. Settings are the caller's unchecked text; the core validates them (42204)."""

    group: str
    name: str | None = None
    format: str | None = None
    auto_offset_reset: str | None = None
    auto_commit_enable: str | None = None
    fetch_min_bytes: str | None = None
    request_timeout_ms: str | None = None

    @property
    def instance(self) -> str:
        """The name, under the attribute that other requests use."""
        return self.name or ""


@dataclass(slots=True)
class ConsumerRef:
    group: str
    instance: str


class GetConsumerInstance(ConsumerRef, Request[ConsumerInstance]):
    """The settings of an instance."""

    __slots__ = ()


class DeleteConsumer(ConsumerRef, Request[None]):
    __slots__ = ()


class GetSubscription(ConsumerRef, Request[Sequence[str]]):
    __slots__ = ()


class Unsubscribe(ConsumerRef, Request[None]):
    __slots__ = ()


class GetAssignments(ConsumerRef, Request[Sequence[TopicPartition]]):
    __slots__ = ()


@dataclass(slots=True)
class SubscribeConsumer(Request[None]):
    group: str
    instance: str
    topics: list[str] = field(default_factory=list)
    topic_pattern: str | None = None


@dataclass(slots=True)
class AssignConsumer(Request[None]):
    group: str
    instance: str
    partitions: list[TopicPartition]


@dataclass(frozen=True, slots=True)
class ObjectLimit:
    """The objects that an answer may have, and how many of them a record and each of its headers are."""

    most: int
    a_record: int
    a_header: int

    def of(self, record: Record) -> int:
        """Return how many objects a record is."""
        return self.a_record + self.a_header * len(record.headers) if self.a_header else self.a_record


@dataclass(slots=True)
class FetchRecords(Request[list[FetchedRecord]]):
    """``format`` is the one that the caller accepts (None: any). Timeout and max_bytes can only lower the defaults.

    ``max_bytes`` counts keys and values; ``max_answer_bytes`` and ``max_record_bytes`` count whole records as
    :mod:`kafka_facade.core.records.sizes` does. A single record above the first two limits is returned alone; above
    ``max_record_bytes`` the read fails. ``objects`` limits the records too; one above it is returned alone.
    With ``at_once`` the read returns the records that are available instead of waiting for more, unless the instance
    has a minimum number of bytes.
    ``formats`` overrides the instance's format; a record that cannot be decoded is then returned with its error, while
    without ``formats`` it fails the read.
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
    objects: ObjectLimit | None = None


@dataclass(slots=True)
class CommitOffsets(Request[None]):
    """``offsets`` of None commits the current positions. Offset n is the last one processed: n + 1 is committed."""

    group: str
    instance: str
    offsets: list[PartitionPosition] | None = None


@dataclass(slots=True)
class ConsumerPartitions:
    group: str
    instance: str
    partitions: list[TopicPartition]


class GetCommittedOffsets(ConsumerPartitions, Request[list[CommittedOffset]]):
    __slots__ = ()


class SeekToBeginning(ConsumerPartitions, Request[None]):
    __slots__ = ()


class SeekToEnd(ConsumerPartitions, Request[None]):
    __slots__ = ()


@dataclass(slots=True)
class SeekConsumer(Request[None]):
    """``times`` seek to the first record at or after the timestamp, or to the end if there is none."""

    group: str
    instance: str
    offsets: list[PartitionPosition] = field(default_factory=list)
    times: list[PartitionTime] = field(default_factory=list)
