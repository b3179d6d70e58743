"""What producing and consuming records ask of an engine, and of a Schema Registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.records.decoding_budget import DecodingBudget
from kafka_facade.core.records.model import Delivery, Format, Header, Record, RecordOrder
from kafka_facade.core.topics.positions import CommittedOffset, PartitionPosition, TopicPartition


class SerializedRecord(Struct, gc=False):
    """A record ready for the wire."""

    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: Sequence[Header]
    timestamp: int | None


class ProducerPort(Protocol):
    """Produces records; one librdkafka producer behind it."""

    def cached_partition_count(self, topic: str) -> int | None:
        """The number of partitions if it is known and fresh, without asking Kafka."""

    async def partition_count(self, topic: str, timeout: float, *, refresh: bool = False) -> int:
        """The number of partitions; a topic that the broker creates by itself is created (TopicNotFound otherwise)."""

    async def submit(
        self, topic: str, records: Sequence[SerializedRecord], order: RecordOrder | None = None
    ) -> asyncio.Future[list[Delivery | FacadeError]]:
        """Hand records to the producer, in order, waiting while its queue is full.

        A record that Kafka refuses because of another one is sent again, or fails as retriable where that would change
        its place among the records of the same submission, or of those with the same ``order``.
        The future has one delivery or error a record, in order, once all of them are decided.
        """


class ConsumerPort(Protocol):
    """One Kafka consumer. Methods must not overlap; the core holds a lock around them."""

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group for these topics."""

    async def unsubscribe(self) -> None:
        """Leave the subscription or drop the assignment."""

    async def assign(self, positions: Sequence[PartitionPosition | TopicPartition]) -> None:
        """Read exactly these partitions, from an offset (or EARLIEST, LATEST), or else from where the group stands."""

    def take_revoked(self) -> set[tuple[str, int]]:
        """The partitions that the group has taken away since this was last asked, some of them given back since.

        Records of theirs that were polled before are another member's now, or will be polled again.
        """

    def assignment(self) -> list[TopicPartition]:
        """The partitions that the consumer reads at the moment."""

    def position(self, topic: str, partition: int) -> int:
        """The next offset that :meth:`poll` will return, past markers and gaps; negative while nothing was read."""

    async def check(self, timeout: float) -> None:
        """KafkaAuthorizationFailed where an assigned topic may not be read; as far as that is found out in time."""

    def starts(self) -> Mapping[tuple[str, int], int]:
        """The offsets at which the reading of assigned partitions began, as far as they are known."""

    async def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Records that are there, waiting for the first one up to ``timeout``; empty when it runs out."""

    async def seek(
        self, positions: Sequence[PartitionPosition], timeout: float, on_moved: Callable[[str, int, int], None] = ...
    ) -> None:
        """Read on from these offsets (or EARLIEST, LATEST); the partitions are assigned.

        ``on_moved`` is called for each partition as soon as it has moved: those before one that fails stay moved.
        """

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp: int, timeout: float) -> list[int]:
        """For each partition the first offset at or after the timestamp (ms); -1 where there is none."""

    async def commit(
        self, offsets: Mapping[tuple[str, int], int], timeout: float, metadata: Mapping[tuple[str, int], str]
    ) -> None:
        """Commit next-to-read offsets with their metadata, and return once the group coordinator has them."""

    def store(self, topic: str, partition: int, offset: int) -> None:
        """Remember the next-to-read offset for the automatic commit."""

    async def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[CommittedOffset]:
        """What the group has committed; partitions without a commit are left out."""

    async def close(self, timeout: float) -> None:
        """Leave the group and free everything; never raises."""


class ConsumerFactory(Protocol):
    """Makes consumers."""

    def create(
        self, *, group: str | None, auto_offset_reset: str, auto_commit: bool, overrides: Mapping[str, str]
    ) -> ConsumerPort:
        """A new consumer; ``group`` None is one that never joins or commits."""


class TakesLong(Exception):
    """What was to be done on the event loop is work for a thread after all."""


class SchemaCodec(Protocol):
    """A schema with all that it refers to, ready to serialize and deserialize."""

    @property
    def format(self) -> Format:
        """AVRO, JSONSCHEMA or PROTOBUF."""

    @property
    def record_name(self) -> str | None:
        """The full name of the record or message, the title of a JSON schema; None where it has none."""

    @property
    def most_data_on_loop(self) -> int:
        """Data that weighs more may take long to encode: a character counts as 1, a number or a member as 10.

        An integer of many digits counts for as many characters.
        """

    def encode(self, data: object, *, on_loop: bool = False) -> bytes:
        """What stands after the schema id, of a JSON value. Unavailable; InvalidRequest if it isn't of the schema.

        TakesLong on the loop, where only the attempt shows that: it is to be encoded in a thread.
        """

    @property
    def most_on_loop(self) -> int:
        """Payloads of more bytes may take long to decode."""

    def budget(self, size: int) -> DecodingBudget:
        """What a payload of so many bytes may become."""

    def decode(self, payload: bytes, budget: DecodingBudget | None = None) -> object:
        """The JSON value of what stands after the schema id; ValueError where it isn't of the schema.

        BudgetExceeded, a ValueError, where it becomes more than the budget has, or ``budget(len(payload))`` for None.
        """


@dataclass(slots=True)
class SubjectVersion:
    """A schema as a subject has it."""

    subject: str
    version: int
    schema_id: int
    codec: SchemaCodec


class SchemaRegistryPort(Protocol):
    """A Schema Registry. What it doesn't give or take, and no registry, are SchemaLookupFailed.

    SchemaRegistryUnavailable where it gives no answer, Unavailable where the gateway is busy.
    """

    async def schema(self, schema_id: int, timeout: float) -> SchemaCodec:
        """The schema of an id."""

    async def subjects(self, schema_id: int, timeout: float) -> Sequence[str]:
        """The subjects that have the schema of an id, ordered."""

    async def parse(self, format: Format, text: str, timeout: float) -> SchemaCodec:
        """A schema without references that a caller gives; InvalidSchema."""

    async def register(self, subject: str, format: Format, text: str, timeout: float) -> SubjectVersion:
        """The schema as the subject has it, from now on if it hadn't; InvalidSchema."""

    async def version_of(self, subject: str, schema_id: int, timeout: float) -> SubjectVersion:
        """The version that a schema has in a subject."""

    async def subject_version(self, subject: str, version: int | None, timeout: float) -> SubjectVersion:
        """A version of a subject, None for the latest; InvalidRequest where there is no such version."""
