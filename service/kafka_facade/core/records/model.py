"""Records, what became of those that were produced, and what callers ask of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from msgspec import Struct

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.request import Request


class Format(str, Enum):
    """How a key or a value is embedded (reference: "Content Types" and the ``type`` of v3 records)."""

    BINARY = "BINARY"
    JSON = "JSON"
    STRING = "STRING"
    AVRO = "AVRO"
    JSONSCHEMA = "JSONSCHEMA"
    PROTOBUF = "PROTOBUF"


class SubjectNameStrategy(str, Enum):
    """How the name of a subject follows from the topic and the schema's own name."""

    TOPIC_NAME = "TOPIC_NAME"
    RECORD_NAME = "RECORD_NAME"
    TOPIC_RECORD_NAME = "TOPIC_RECORD_NAME"


class Header(Struct, gc=False):
    """A record header; a name may repeat (KIP-82)."""

    name: str
    value: bytes | None


RECORD_OVERHEAD: Final = 500
"""A record takes about so much memory (bytes) beside its key, value and headers."""


class Record(Struct, gc=False):
    """A record as Kafka holds it. ``timestamp`` is None where the record has none."""

    topic_name: str
    partition_id: int
    offset: int
    timestamp: int | None
    headers: list[Header]
    key: bytes | None
    value: bytes | None


class DataInfo(Struct, gc=False):
    """What is known of a key or value that was read: its format, and its schema if it has one.

    ``error`` says why its bytes could not be decoded; there is no data then. ``weight`` is what the data have become in
    memory.
    """

    format: Format
    schema_id: int | None = None
    subject: str | None = None
    error: str | None = None
    weight: int = 0


class FetchedRecord(Struct, gc=False):
    """A record with key and value decoded; of those that have a format of their own, the infos say more.

    ``weight`` is what its data have become in memory (see ``DecodingBudget``).
    """

    record: Record
    key: object
    value: object
    key_info: DataInfo | None = None
    value_info: DataInfo | None = None
    weight: int = 0


@dataclass(slots=True)
class DataReport:
    """What became of a key or value: its format and its size in bytes once serialized, -1 for null.

    The subject, the schema's id and its version in the subject are there for formats with schemas.
    """

    type: Format
    size: int
    subject: str | None = None
    schema_id: int | None = None
    schema_version: int | None = None


@dataclass(slots=True)
class RecordReport:
    """The delivery report of one record; ``offset`` is None where brokers don't acknowledge records (``acks=0``)."""

    cluster_id: str
    topic_name: str
    partition_id: int
    offset: int | None
    timestamp: int | None
    key: DataReport | None
    value: DataReport | None


@dataclass(slots=True)
class SchemaIds:
    """The ids of the schemas that the keys and the values of some records have; None where no schema was given."""

    key_schema_id: int | None
    value_schema_id: int | None


@dataclass(frozen=True, slots=True)
class SchemaSelector:
    """Which schema: at most one of ``schema_id``, ``schema_version`` and ``schema`` (its text), or else the latest.

    The subject is that of a strategy (TOPIC_NAME, RECORD_NAME, TOPIC_RECORD_NAME; by default TOPIC_NAME) unless it is
    given.
    """

    schema_id: int | None = None
    schema_version: int | None = None
    schema: str | None = None
    subject: str | None = None
    subject_name_strategy: SubjectNameStrategy | None = None


class RecordData(Struct, gc=False):
    """A key or value to embed.

    ``data`` is bytes or base64 text for BINARY, text for STRING, any JSON value (None, bool, int, float, str, list,
    dict) for JSON and the formats with schemas; None is a null, which a schema encodes or refuses. Without a
    ``format`` it is that of the schema. Formats with schemas need a ``schema``, others have none.
    """

    format: Format | None
    data: object
    schema: SchemaSelector | None = None


class RecordToProduce(Struct, gc=False):
    """One record; ``timestamp`` None lets the producer set it, ``partition_id`` None lets the partitioner choose."""

    key: RecordData | None = None
    value: RecordData | None = None
    partition_id: int | None = None
    headers: Sequence[Header] = ()
    timestamp: int | None = None


class RecordOrder:
    """What the requests of one stream have in common: in each partition their records keep the requests' order."""

    __slots__ = ("series",)

    def __init__(self) -> None:
        self.series: Any = None
        """The producer's own: what it has of the stream."""


class Delivery(Struct, gc=False):
    """Where a record ended up; ``timestamp`` is the broker's for topics with LogAppendTime.

    ``offset`` is None where the broker doesn't acknowledge records (``acks=0``).
    """

    partition: int
    offset: int | None
    timestamp: int | None


class RecordBatch(Struct):
    """Records of one topic; one that couldn't be read is its error, whose field is the path within the record.

    ``all_or_nothing`` lets the first bad record fail the request before any is sent.
    """

    cluster_id: str | None
    topic_name: str
    records: Sequence[RecordToProduce | FacadeError]
    all_or_nothing: bool = False
    order: RecordOrder | None = None


class ProduceRecords(RecordBatch, Request[list[RecordReport | FacadeError]]):
    """Answered once Kafka has decided on all records: with a report or an error for each, in order."""


class DeliverRecords(RecordBatch, Request[list[Delivery | FacadeError]]):
    """The same without reports of what was stored (the v2 API): where each record is, or its error."""


class PendingRecords(Protocol):
    """Records that are with the producer."""

    @property
    def decided(self) -> bool:
        """Whether Kafka has decided on all of them."""

    async def outcomes(self) -> list[Delivery | FacadeError]:
        """What became of each record, in order, once Kafka has decided on all of them."""

    async def reports(self) -> list[RecordReport | FacadeError]:
        """The same, with what was stored of each record."""


class StreamRecords(RecordBatch, Request[PendingRecords]):
    """Some records of a stream: answered once they are with the producer."""


@dataclass(slots=True)
class ProduceWithSchemas(Request[tuple[list[Delivery | FacadeError], SchemaIds]]):
    """Records (the v2 API) whose keys have one schema and whose values have one; their ``RecordData`` have none.

    A selector is None where the caller gave no schema; it names one by id or by its text.
    """

    topic_name: str
    format: Format
    records: list[RecordToProduce]
    key_schema: SchemaSelector | None = None
    value_schema: SchemaSelector | None = None


@dataclass(slots=True)
class BatchEntry:
    """A record with an id of the caller's; a record that couldn't be read is its error."""

    id: str
    record: RecordToProduce | FacadeError


@dataclass(slots=True)
class BatchReport:
    """What became of the records of a batch, each with the caller's id, in order."""

    successes: list[tuple[str, RecordReport]]
    failures: list[tuple[str, FacadeError]]


@dataclass(slots=True)
class BatchProduceRecords(Request[BatchReport]):
    """Records whose outcomes are told by their ids."""

    cluster_id: str | None
    topic_name: str
    entries: list[BatchEntry]


@dataclass(slots=True)
class ConsumeRecords(Request[AsyncGenerator[list[Record], None]]):
    """Read a topic from a start, then follow it.

    ``start`` is ``earliest``, ``latest``, ``offset`` (``offset``; a partition that doesn't reach it starts at its end)
    or ``timestamp`` (``timestamp``; past the end is the end). ``partitions`` empty means all. ``follow`` False ends
    the stream at the offsets that were the end when it began. ``max_records`` and ``max_bytes`` (as
    :mod:`kafka_facade.core.records.sizes` counts them) bound what is handed over at once.
    """

    cluster_id: str | None
    topic_name: str
    partitions: list[int] = field(default_factory=list)
    start: str = "latest"
    offset: int = 0
    timestamp: int = 0
    follow: bool = True
    max_records: int = 500
    max_bytes: int = 1024 * 1024


@dataclass(slots=True)
class ReadFormats:
    """How keys and values are decoded; None is by the schema whose id they begin with."""

    key: Format | None
    value: Format | None
