"""The interfaces to a Kafka client and a Schema Registry that producing and consuming need."""

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
    """A record ready for the wire. The producer sets its ``size`` (bytes): that of key, value and headers.

    ``pairs`` are its headers as the producer's client takes them, until they are handed over.
    """

    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: Sequence[Header]
    timestamp: int | None
    size: int = 0
    pairs: list[tuple[str, bytes | None]] | None = None


class ProducerPort(Protocol):
    """Produces records; one librdkafka producer behind it."""

    def cached_partition_count(self, topic: str) -> int | None:
        """The cached number of partitions, or None if it is unknown or stale."""

    async def partition_count(self, topic: str, timeout: float, *, refresh: bool = False) -> int:
        """The number of partitions. Creates a missing topic if brokers auto-create topics, else TopicNotFound."""

    async def submit(
        self, topic: str, records: Sequence[SerializedRecord], order: RecordOrder | None = None
    ) -> asyncio.Future[list[Delivery | FacadeError]]:
        """Hand records to the producer, in order, waiting while its queue is full.

        A record that Kafka rejects because of another one is resent. If that would change the order within the
        submission, or among submissions with the same ``order``, it fails with a retriable error instead.
        The future returns one delivery or error per record, in order, when all are acknowledged or have failed.
        Raises Unavailable at shutdown, or if Kafka acknowledges no records of the partition while too many large
        requests wait for that.
        """


class ConsumerPort(Protocol):
    """One Kafka consumer. Methods must not overlap; the core holds a lock around them."""

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group for these topics."""

    async def unsubscribe(self) -> None:
        """Drop the subscription or the assignment."""

    async def assign(self, positions: Sequence[PartitionPosition | TopicPartition]) -> None:
        """Assign exactly these partitions, each at an offset (or EARLIEST, LATEST), or else the committed offset."""

    def take_revoked(self) -> set[tuple[str, int]]:
        """Return the partitions revoked since the last call, even if some have been assigned again since.

        Records of these partitions that were polled before now belong to another member, or will be polled again.
        """

    def assignment(self) -> list[TopicPartition]:
        """The current assignment."""

    def position(self, topic: str, partition: int) -> int:
        """The next offset that :meth:`poll` will return, past markers and gaps; negative until something was read."""

    async def check(self, timeout: float) -> None:
        """Raise KafkaAuthorizationFailed if an assigned topic may not be read, if that can be checked in time."""

    def starts(self) -> Mapping[tuple[str, int], int]:
        """The start offsets of assigned partitions, as far as known."""

    async def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return available records, waiting for the first one up to ``timeout``; empty if none arrives."""

    async def seek(
        self, positions: Sequence[PartitionPosition], timeout: float, on_moved: Callable[[str, int, int], None] = ...
    ) -> None:
        """Seek assigned partitions to these offsets (or EARLIEST, LATEST).

        ``on_moved`` is called for each partition once its seek is done. If one fails, earlier ones stay moved.
        """

    async def put_back(self, positions: Sequence[PartitionPosition]) -> None:
        """Go back to these offsets of partitions that were read, and prefetch nothing until the next :meth:`poll`."""

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp: int, timeout: float) -> list[int]:
        """For each partition the first offset at or after the timestamp (ms); -1 if there is none."""

    async def commit(
        self, offsets: Mapping[tuple[str, int], int], timeout: float, metadata: Mapping[tuple[str, int], str]
    ) -> None:
        """Commit offsets (the next to read) with metadata, and wait for the group coordinator's acknowledgement."""

    def store(self, topic: str, partition: int, offset: int) -> None:
        """Store the next offset for the automatic commit."""

    async def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[CommittedOffset]:
        """The committed offsets of the group; partitions without one are omitted."""

    async def close(self, timeout: float) -> None:
        """Leave the group and free all resources; never raises."""


class ConsumerFactory(Protocol):
    """Creates consumers."""

    async def create(
        self, *, group: str | None, auto_offset_reset: str, auto_commit: bool, overrides: Mapping[str, str]
    ) -> ConsumerPort:
        """Create a consumer; with a ``group`` of None it never joins or commits."""


class TakesLong(Exception):
    """The work is too slow for the event loop and must run in a thread."""


class SchemaCodec(Protocol):
    """A compiled schema with its references, for serializing and deserializing."""

    @property
    def format(self) -> Format:
        """AVRO, JSONSCHEMA or PROTOBUF."""

    @property
    def record_name(self) -> str | None:
        """The full name of the record or message, or the title of a JSON schema; None if it has none."""

    @property
    def most_data_on_loop(self) -> int:
        """Maximum weight of data to encode on the event loop.

        A character counts as 1, a number or a member as 10, and a long integer as its number of digits.
        """

    def encode(self, data: object, *, on_loop: bool = False) -> bytes:
        """Encode a JSON value, without the schema id. Raises Unavailable, or InvalidRequest if it violates the schema.

        With ``on_loop``, raises TakesLong if encoding turns out to be slow: encode the value in a thread then.
        """

    @property
    def most_on_loop(self) -> int:
        """Maximum payload size in bytes to decode on the event loop."""

    def budget(self, size: int) -> DecodingBudget:
        """The budget for decoding a payload of ``size`` bytes."""

    def decode(self, payload: bytes, budget: DecodingBudget | None = None) -> object:
        """Decode a payload without the schema id to a JSON value. Raises ValueError if it violates the schema.

        Raises BudgetExceeded, a ValueError, if the value exceeds the budget (by default ``budget(len(payload))``).
        """


@dataclass(slots=True)
class SubjectVersion:
    """A schema version in a subject."""

    subject: str
    version: int
    schema_id: int
    codec: SchemaCodec


class SchemaRegistryPort(Protocol):
    """A Schema Registry.

    Methods raise SchemaLookupFailed if the registry rejects a request or none is configured,
    SchemaRegistryUnavailable if it does not answer, and Unavailable if the gateway is busy.
    """

    async def schema(self, schema_id: int, timeout: float) -> SchemaCodec:
        """The schema with an id."""

    def knows(self, schema_id: int) -> bool:
        """Whether the schema with an id is known, so that :meth:`schema` does not ask the registry."""

    async def subjects(self, schema_id: int, timeout: float) -> Sequence[str]:
        """The subjects that contain the schema with an id, ordered."""

    async def parse(self, format: Format, text: str, timeout: float) -> SchemaCodec:
        """Compile a schema text without references. Raises InvalidSchema."""

    async def register(self, subject: str, format: Format, text: str, timeout: float) -> SubjectVersion:
        """Return the schema's version in the subject, registering it if necessary. Raises InvalidSchema."""

    async def version_of(self, subject: str, schema_id: int, timeout: float) -> SubjectVersion:
        """The version of a schema in a subject."""

    async def subject_version(self, subject: str, version: int | None, timeout: float) -> SubjectVersion:
        """A version of a subject (None: the latest). Raises InvalidRequest if there is no such version."""
