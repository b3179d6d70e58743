"""Requested formats of keys and values, and messages for decoded data."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kafka_facade.core.records.long_values import LongJson
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Format, ReadFormats
from kafka_facade.rpc.convert import to_timestamp
from kafka_facade.rpc.frames import LARGE, Encoded, Frame, data_field, field
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2, record_pb2
from kafka_facade.rpc.records import format_of, write_headers

# Formats in which keys and values are sent as they are stored, with their fields in RecordData.
_FIELDS_AS_STORED = {Format.BINARY: "binary", Format.STRING: "text", Format.JSON: "json"}
_encode = msgspec.json.Encoder().encode


def read_formats(
    message: record_pb2.ConsumeRequest | consumer_instance_pb2.FetchRecordsRequest,
) -> ReadFormats | None:
    """Return the requested formats, or None if none is requested. The registry detects a format of None."""
    if not (message.key_format or message.value_format or message.decode_with_registry):
        return None
    return ReadFormats(format_of(message.key_format, "key_format"), format_of(message.value_format, "value_format"))


def error_of(info: DataInfo | None) -> str | None:
    """Return why a key or value could not be decoded."""
    return None if info is None else info.error


def large_data(number: int, payload: bytes | None, data: object, info: DataInfo | None) -> list[bytes]:
    """Return a large key or value as the encoded field ``number``; nothing if it is small."""
    if payload is None or info is None:
        return []
    if isinstance(data, LongJson) and info.format not in _FIELDS_AS_STORED:
        return data_field(number, data.text, "json", _decoded_with(info))
    if len(payload) <= LARGE:
        return []
    kind = "binary" if info.error is not None else _FIELDS_AS_STORED.get(info.format)
    return [] if kind is None else data_field(number, payload, kind)


def write_data(payload: bytes | None, data: object, info: DataInfo | None) -> record_pb2.RecordData | None:
    """Return a key or value in its format, or as bytes if it could not be decoded."""
    if payload is None or info is None:
        return None
    if info.error is not None or info.format is Format.BINARY:
        return record_pb2.RecordData(binary=payload)
    if info.format is Format.STRING:
        return record_pb2.RecordData(text=payload.decode())
    if info.format is Format.JSON:
        # Pass the JSON text on unchanged, to keep all digits of its numbers.
        return record_pb2.RecordData(json=payload.decode())
    shown = _decoded_with(info)
    shown.json = _encode(data).decode()
    return shown


def _decoded_with(info: DataInfo) -> record_pb2.RecordData:
    """Return the format and schema of decoded data."""
    schema = record_pb2.SchemaSelector(schema_id=info.schema_id or 0, subject=info.subject)
    return record_pb2.RecordData(format=record_pb2.Format.Value(f"FORMAT_{info.format.value}"), schema=schema)


async def write_decoded(records: Sequence[FetchedRecord]) -> Encoded:
    """Build a ConsumeResponse from decoded records; keys and values that were not decoded stay bytes."""
    frame, kind = Frame(record_pb2.ConsumeResponse()), record_pb2.Record
    for fetched in records:
        record = fetched.record
        key_shown, value_shown = _is_decoded(fetched.key_info), _is_decoded(fetched.value_info)
        key, value = (record.key, fetched.key, fetched.key_info), (record.value, fetched.value, fetched.value_info)
        large_key = _large(*key, kind.KEY_FIELD_NUMBER, kind.DECODED_KEY_FIELD_NUMBER)
        large_value = _large(*value, kind.VALUE_FIELD_NUMBER, kind.DECODED_VALUE_FIELD_NUMBER)
        message = frame.add(
            topic_name=record.topic_name,
            partition_id=record.partition_id,
            offset=record.offset,
            timestamp=to_timestamp(record.timestamp),
            key=None if key_shown or large_key else record.key,
            value=None if value_shown or large_value else record.value,
            decoded_key=None if large_key else _shown(*key),
            decoded_value=None if large_value else _shown(*value),
            key_error=error_of(fetched.key_info),
            value_error=error_of(fetched.value_info),
        )
        await write_headers(message.headers, record.headers)
        if large_key or large_value:
            frame.extend(large_key + large_value)
    return await frame.finished()


def _large(payload: bytes | None, data: object, info: DataInfo | None, as_stored: int, decoded: int) -> list[bytes]:
    """Return a large key or value as one of the encoded fields of these numbers; nothing if it is small."""
    if payload is None or len(payload) <= LARGE or _is_decoded(info):
        return large_data(decoded, payload, data, info)
    return field(as_stored, [payload])


def _shown(payload: bytes | None, data: object, info: DataInfo | None) -> record_pb2.RecordData | None:
    return write_data(payload, data, info) if _is_decoded(info) else None


def _is_decoded(info: DataInfo | None) -> bool:
    return info is not None and info.error is None and info.format is not Format.BINARY
