"""Records, the results of producing them, and the requests for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from msgspec import Struct

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.request import Request


class Format(str, Enum):
    """The embedded format of a key or value (reference: "Content Types" and the ``type`` of v3 records)."""

    BINARY = "BINARY"
    JSON = "JSON"
    STRING = "STRING"
    AVRO = "AVRO"
    JSONSCHEMA = "JSONSCHEMA"
    PROTOBUF = "PROTOBUF"


class SubjectNameStrategy(str, Enum):
    """How the name of a subject is derived from the topic and the schema's name."""

    TOPIC_NAME = "TOPIC_NAME"
    RECORD_NAME = "RECORD_NAME"
    TOPIC_RECORD_NAME = "TOPIC_RECORD_NAME"


class Header(Struct, gc=False):
    """A record header; a name may repeat (KIP-82)."""

    name: str
    value: bytes | None


RECORD_OVERHEAD: Final = 500
"""Approximate memory of a record in bytes, besides its key, value and headers."""


class Record(Struct, gc=False):
    """A record as stored in Kafka. ``timestamp`` is None if the record has none.

    ``headers_bytes`` remembers the bytes of all names and values of headers, -1 if they are not counted yet (see
    :func:`kafka_facade.core.records.sizes.headers_bytes`).
    """

    topic_name: str
    partition_id: int
    offset: int
    timestamp: int | None
    headers: list[Header]
    key: bytes | None
    value: bytes | None
    headers_bytes: int = -1


class DataInfo(Struct, gc=False):
    """Information on a key or value that was read: its format, and its schema if it has one.

    ``error`` says why its bytes could not be decoded; then there is no data. ``weight`` is the weight of the decoded
    data.
    """

    format: Format
    schema_id: int | None = None
    subject: str | None = None
    error: str | None = None
    weight: int = 0


class FetchedRecord(Struct, gc=False):
    """A record with decoded key and value; the infos are set if they were decoded with formats of their own.

    ``weight`` is the weight of the decoded data (see ``DecodingBudget``).
    """

    record: Record
    key: object
    value: object
    key_info: DataInfo | None = None
    value_info: DataInfo | None = None
    weight: int = 0


@dataclass(slots=True)
class DataReport:
    """How a key or value was stored: its format, and its serialized size in bytes (-1 for null).

    Formats with schemas also have the subject, the schema's id, and its version in the subject.
    """

    type: Format
    size: int
    subject: str | None = None
    schema_id: int | None = None
    schema_version: int | None = None


@dataclass(slots=True)
class RecordReport:
    """The delivery report of one record; ``offset`` is None if brokers do not acknowledge records (``acks=0``)."""

    cluster_id: str
    topic_name: str
    partition_id: int
    offset: int | None
    timestamp: int | None
    key: DataReport | None
    value: DataReport | None


@dataclass(slots=True)
class SchemaIds:
    """The schema ids of the keys and the values of a request; None if no schema was given."""

    key_schema_id: int | None
    value_schema_id: int | None


@dataclass(frozen=True, slots=True)
class SchemaSelector:
    """Selects a schema by at most one of ``schema_id``, ``schema_version`` and ``schema`` (its text); else the latest.

    The subject, unless given, follows from a strategy: TOPIC_NAME (the default), RECORD_NAME or TOPIC_RECORD_NAME.
    """

    schema_id: int | None = None
    schema_version: int | None = None
    schema: str | None = None
    subject: str | None = None
    subject_name_strategy: SubjectNameStrategy | None = None


class RecordData(Struct, gc=False):
    """A key or value to embed.

    ``data`` is bytes or base64 text for BINARY, text for STRING, any JSON value (None, bool, int, float, str, list,
    dict) for JSON and the formats with schemas. Encoded JSON may be bytes for JSON, or ``msgspec.Raw`` for the
    formats with schemas. None is a null, which a schema encodes or rejects. Without a
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
    """Shared by the requests of one stream, whose records keep the order of the requests within each partition."""

    __slots__ = ("series",)

    def __init__(self) -> None:
        self.series: Any = None
        """The producer's internal state for the stream."""


class Delivery(Struct, gc=False):
    """Where a record ended up; ``timestamp`` is the broker's for topics with LogAppendTime.

    ``offset`` is None if brokers do not acknowledge records (``acks=0``).
    """

    partition: int
    offset: int | None
    timestamp: int | None


class RecordBatch(Struct):
    """Records of one topic. An invalid record is replaced by its error, with the field's path within the record.

    With ``all_or_nothing``, the first invalid record fails the request before any is sent.
    """

    cluster_id: str | None
    topic_name: str
    records: Sequence[RecordToProduce | FacadeError]
    all_or_nothing: bool = False
    order: RecordOrder | None = None


class ProduceRecords(RecordBatch, Request[list[RecordReport | FacadeError]]):
    """Produce records and wait for Kafka; the answer has a report or an error for each, in order."""


class DeliverRecords(RecordBatch, Request[list[Delivery | FacadeError]]):
    """The same for the v2 API: the answer has only the position of each record, or its error."""


class PendingRecords(Protocol):
    """Records that were handed to the producer."""

    @property
    def decided(self) -> bool:
        """Whether all of them are acknowledged or have failed."""

    @property
    def invalid(self) -> int:
        """The number of records that were not sent."""

    def call_when_decided(self, callback: Callable[[], object]) -> None:
        """Call back once all of them are acknowledged or have failed."""

    async def outcomes(self) -> list[Delivery | FacadeError]:
        """Wait until all records are acknowledged or have failed; return the outcome of each, in order."""

    async def reports(self) -> list[RecordReport | FacadeError]:
        """The same, with a report on the stored key and value of each record."""


class StreamRecords(RecordBatch, Request[PendingRecords]):
    """Some records of a stream; answered as soon as they are handed to the producer.

    Unless they are ``reported``, only their outcomes are available.
    """

    reported: bool = True


@dataclass(slots=True)
class ProduceWithSchemas(Request[tuple[list[Delivery | FacadeError], SchemaIds]]):
    """Records of the v2 API, with one schema for all keys and one for all values; their ``RecordData`` have none.

    A selector names a schema by id or by its text; it is None if the caller gave no schema.
    """

    topic_name: str
    format: Format
    records: list[RecordToProduce]
    key_schema: SchemaSelector | None = None
    value_schema: SchemaSelector | None = None


@dataclass(slots=True)
class BatchEntry:
    """A record with an id chosen by the caller; an invalid record is replaced by its error."""

    id: str
    record: RecordToProduce | FacadeError


@dataclass(slots=True)
class BatchReport:
    """The outcomes of a batch's records with the caller's ids, in order."""

    successes: list[tuple[str, RecordReport]]
    failures: list[tuple[str, FacadeError]]


@dataclass(slots=True)
class BatchProduceRecords(Request[BatchReport]):
    """Produce records whose outcomes are identified by ids."""

    cluster_id: str | None
    topic_name: str
    entries: list[BatchEntry]


@dataclass(slots=True)
class ConsumeRecords(Request[AsyncGenerator[list[Record], None]]):
    """Read a topic without a consumer group.

    ``start`` is ``earliest``, ``latest``, ``offset`` (the field ``offset``; a shorter partition starts at its end) or
    ``timestamp`` (the field ``timestamp``; after the last record means the end). Empty ``partitions`` means all.
    Without ``follow`` the stream ends at the offsets that were the end when it began. ``max_records`` and ``max_bytes``
    (as counted by :mod:`kafka_facade.core.records.sizes`) limit each batch.
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
    """The formats of keys and values; None detects the format by the schema id that they start with."""

    key: Format | None
    value: Format | None
