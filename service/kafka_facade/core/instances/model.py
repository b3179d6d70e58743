"""Consumer instances, and what callers ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kafka_facade.core.records.model import FetchedRecord, Format, ReadFormats
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
    """The operation to fetch under; the fetch itself says that no instance has another format than those."""
    return FETCH_OPERATIONS.get(format, FETCH_OPERATIONS[Format.BINARY])


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


@dataclass(slots=True)
class FetchRecords(Request[list[FetchedRecord]]):
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
class CommitOffsets(Request[None]):
    """``offsets`` None commits the current position of each partition; offset n commits n + 1, the next to read."""

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
    """``times`` lead to the first record at or after them, or to the end where there is none."""

    group: str
    instance: str
    offsets: list[PartitionPosition]
    times: list[PartitionTime] = field(default_factory=list)
