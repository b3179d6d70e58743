"""Conversion of v3 records from JSON documents, and of their reports to JSON documents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from kafka_facade.core.errors import ClusterNotFound, FacadeError, InvalidRequest, MalformedBody, UnprocessableEntity
from kafka_facade.core.quoting import quote_json
from kafka_facade.core.records.model import (
    DataReport,
    Format,
    Header,
    RecordData,
    RecordReport,
    RecordToProduce,
    SchemaSelector,
    SubjectNameStrategy,
)
from kafka_facade.rest.bodies import BodyDecoder, Int32, StrictBody, plain_data
from kafka_facade.rest.body_errors import mismatch
from kafka_facade.rest.encoding import encode, timestamp_milliseconds, timestamp_text
from kafka_facade.rest.errors import ErrorBody, error_body

_WITHOUT_SCHEMA: Final = frozenset({Format.BINARY, Format.JSON, Format.STRING})
_SCHEMA_MEMBERS: Final = ("subject", "subject_name_strategy", "schema_id", "schema_version", "schema")
_NONE: Final = (None,) * len(_SCHEMA_MEMBERS)
_MAX_INT64: Final = 2**63 - 1
# Bounded because each answer repeats it; Kafka's own ids have 22 characters.
_MAX_CLUSTER_ID: Final = 249


class V3Header(StrictBody):
    """A record header; ``value`` is base64."""

    name: str
    value: bytes | None = None


class V3Data(StrictBody):
    """A key or value of a record."""

    type: Format | None = None
    subject: str | None = None
    subject_name_strategy: SubjectNameStrategy | None = None
    schema_id: Int32 | None = None
    schema_version: Int32 | None = None
    schema: str | None = None
    data: Any = msgspec.UNSET


class V3Record(StrictBody):
    """One record of a v3 produce stream; ``timestamp`` is text (RFC 3339) or a number of seconds."""

    partition_id: Int32 | None = None
    headers: list[V3Header] | None = None
    key: V3Data | None = None
    value: V3Data | None = None
    # A field of the type float would be slow for large exponents, and may be repeated in a body.
    timestamp: Any = None


_decode = BodyDecoder(V3Record).decode
_encode_lines = msgspec.json.Encoder().encode_lines
_Moment = Annotated[datetime, Meta(tz=True)]


class ReportedData(Struct, gc=False):
    """How a key or value was stored."""

    type: Format
    size: int


class ReportedSchemaData(Struct, gc=False):
    """The same for a format with schemas."""

    type: Format
    subject: str
    schema_id: int | None
    schema_version: int | None
    size: int


class Report(Struct, gc=False):
    """The answer for a record that Kafka has acknowledged."""

    error_code: int
    cluster_id: str
    topic_name: str
    partition_id: int
    offset: int
    timestamp: str | None
    key: ReportedData | ReportedSchemaData | UnsetType = UNSET
    value: ReportedData | ReportedSchemaData | UnsetType = UNSET


Answer = RecordReport | FacadeError


def decode_record(document: bytes | bytearray) -> RecordToProduce:
    """Decode the record in a document of a stream. Raises InvalidRequest, which applies to this record only."""
    try:
        record = _decode(document)
    except UnprocessableEntity as error:
        # In a stream an unknown member is 400 instead of 422.
        raise MalformedBody(error.message, **error.metadata) from None
    except RecursionError:
        raise MalformedBody("JSON is nested too deeply.") from None
    return record_of(record)


def decode_large_record(document: bytes | bytearray) -> RecordToProduce:
    """Do the same and encode JSON again, which is done in a thread for a large document."""
    record = decode_record(document)
    for data in (record.key, record.value):
        if data is not None and data.format is Format.JSON and isinstance(data.data, dict | list):
            data.data = encode(data.data)
    return record


def record_of(record: V3Record) -> RecordToProduce:
    """Convert a record. Raises InvalidRequest if its members contradict each other."""
    return RecordToProduce(
        None if record.key is None else _data(record.key, "key"),
        None if record.value is None else _data(record.value, "value"),
        record.partition_id,
        [Header(header.name, header.value) for header in record.headers] if record.headers else [],
        None if record.timestamp is None else moment(record.timestamp),
    )


def _data(given: V3Data, which: str) -> RecordData:
    data = given.data
    if data is UNSET:
        raise InvalidRequest(f"Null data: {which} has no member data.", field=f"{which}.data")
    format = given.type
    if format in _WITHOUT_SCHEMA:
        members = (given.subject, given.subject_name_strategy, given.schema_id, given.schema_version, given.schema)
        if members != _NONE:
            name = next(name for name, member in zip(_SCHEMA_MEMBERS, members, strict=True) if member is not None)
            raise InvalidRequest(f"{name} cannot be used with type={format.value}.", field=f"{which}.{name}")
        if format is not Format.JSON and not isinstance(data, str):
            data = plain_data(data)
        return RecordData(format, data)
    return RecordData(
        format,
        data,
        SchemaSelector(given.schema_id, given.schema_version, given.schema, given.subject, given.subject_name_strategy),
    )


def moment(given: object) -> int:
    """Convert a timestamp, RFC 3339 text or a number of seconds, to Unix milliseconds. Raises InvalidRequest."""
    if isinstance(given, str):
        try:
            return timestamp_milliseconds(msgspec.convert(given, _Moment))
        except msgspec.ValidationError:
            raise InvalidRequest(
                f"Cannot deserialize value of type `Timestamp` from String {quote_json(given)}: "
                "not a valid time of RFC 3339 with an offset",
                field="timestamp",
            ) from None
    if isinstance(given, msgspec.Raw):
        given = float(bytes(given))
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise mismatch(given, "Number or String", "timestamp")
    if abs(given) * 1000 <= _MAX_INT64:
        return int(given * 1000)
    raise InvalidRequest("The timestamp is out of range.", field="timestamp")


def named_cluster(parameters: Mapping[str, str]) -> str:
    """Return the cluster id in the path of a produce request. Answers repeat it, but it is not checked.

    All other operations check it. Raises ClusterNotFound if it is too long to repeat.
    """
    cluster_id = parameters["cluster_id"]
    if len(cluster_id) > _MAX_CLUSTER_ID:
        raise ClusterNotFound.of(cluster_id)
    return cluster_id


def encode_answers(answers: list[Answer], cluster_id: str) -> bytes:
    """Encode answers as one JSON document per line; ``cluster_id`` is the one given by the caller."""
    return _encode_lines([_document(answer, cluster_id) for answer in answers])


def _document(answer: Answer, cluster_id: str) -> Report | ErrorBody:
    if isinstance(answer, FacadeError):
        return error_body(answer, 3)
    return Report(
        200,
        cluster_id,
        answer.topic_name,
        answer.partition_id,
        reported_offset(answer.offset),
        timestamp_text(answer.timestamp),
        UNSET if answer.key is None else reported(answer.key),
        UNSET if answer.value is None else reported(answer.value),
    )


def reported_offset(offset: int | None) -> int:
    """Return the offset, or -1 if the broker returned none, as Kafka's Java client does."""
    return -1 if offset is None else offset


def reported(data: DataReport) -> ReportedData | ReportedSchemaData:
    """Convert the report on a key or value, with its schema if it has one."""
    if data.subject is None:
        return ReportedData(data.type, data.size)
    return ReportedSchemaData(data.type, data.subject, data.schema_id, data.schema_version, data.size)
