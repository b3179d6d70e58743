"""Upper bounds of the encoded size of records in a response, cheap enough to compute for every record."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kafka_facade.core.errors import RecordTooLarge
from kafka_facade.core.records.headers import count_bytes
from kafka_facade.core.records.long_values import LongJson
from kafka_facade.core.records.model import FetchedRecord, Format, Record

_encode_json = msgspec.json.Encoder().encode
# Protobuf overhead in bytes, rounded up, of a record and of a header: numbers, tags and lengths.
_RECORD_OVERHEAD = 96
_HEADER_OVERHEAD = 20
# Overhead in bytes of the information on a decoded key or value, besides its texts.
_INFO_OVERHEAD = 32
# Formats whose keys and values are sent unchanged.
_AS_STORED = (Format.BINARY, Format.JSON, Format.STRING)


def record_size(record: Record) -> int:
    """The size of a record that is sent without decoding."""
    size = _RECORD_OVERHEAD + len(record.topic_name) + len(record.key or b"") + len(record.value or b"")
    return size + headers_bytes(record) + _HEADER_OVERHEAD * len(record.headers) if record.headers else size


def headers_bytes(record: Record) -> int:
    """The bytes of all names and values of headers; they are counted once."""
    if record.headers_bytes < 0:
        record.headers_bytes = count_bytes(record.headers)
    return record.headers_bytes


def stored_bytes(found: Iterable[FetchedRecord]) -> int:
    """The bytes of all keys, values and headers, as they are stored."""
    return sum(
        len(entry.record.key or b"")
        + len(entry.record.value or b"")
        + (headers_bytes(entry.record) if entry.record.headers else 0)
        for entry in found
    )


def fetched_size(fetched: FetchedRecord) -> int:
    """The size of a decoded record; keys and values that were not decoded count as stored."""
    size = record_size(fetched.record)
    record = fetched.record
    for payload, data, info in (
        (record.key, fetched.key, fetched.key_info),
        (record.value, fetched.value, fetched.value_info),
    ):
        if payload is None or info is None:
            continue
        size += _INFO_OVERHEAD + len((info.subject or "").encode()) + len((info.error or "").encode(errors="replace"))
        if info.error is None and info.format not in _AS_STORED:
            size += len(data.text if isinstance(data, LongJson) else _encode_json(data)) - len(payload)
    return size


def require_taken(record: Record, size: int, limit: int) -> None:
    """Raise RecordTooLarge if the size in bytes exceeds what the caller accepts."""
    if size > limit:
        raise RecordTooLarge(
            f"The record at offset {record.offset} of {record.topic_name}-{record.partition_id} needs {size} bytes, "
            f"more than the {limit} that are sent. A max_bytes of {size} allows it, where the client takes such "
            f"messages; or read on at offset {record.offset + 1}.",
            topic_name=record.topic_name,
            partition_id=str(record.partition_id),
            offset=str(record.offset),
            size=str(size),
        )
