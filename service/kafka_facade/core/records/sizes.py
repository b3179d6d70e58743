"""How many bytes records take in an encoded answer: upper bounds, cheap enough to compute for every record."""

from __future__ import annotations

import msgspec

from kafka_facade.core.errors import RecordTooLarge
from kafka_facade.core.records.model import FetchedRecord, Format, Record

_encode_json = msgspec.json.Encoder().encode
# Numbers, tags and lengths of a record, and of one of its headers, in the Protobuf encoding (bytes, rounded up).
_RECORD_OVERHEAD = 96
_HEADER_OVERHEAD = 20
# What is said of a key or value besides texts.
_INFO_OVERHEAD = 32
# Their keys and values stand in an answer byte for byte.
_AS_STORED = (Format.BINARY, Format.JSON, Format.STRING)


def record_size(record: Record) -> int:
    """The bytes of a record whose key and value are sent as they are stored."""
    size = _RECORD_OVERHEAD + len(record.topic_name) + len(record.key or b"") + len(record.value or b"")
    for header in record.headers:
        name = header.name
        size += _HEADER_OVERHEAD + len(header.value or b"")
        size += len(name) if name.isascii() else len(name.encode(errors="replace"))
    return size


def fetched_size(fetched: FetchedRecord) -> int:
    """The bytes of a record whose key and value are sent as they were decoded, or as stored where they weren't."""
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
            size += len(_encode_json(data)) - len(payload)
    return size


def require_taken(record: Record, size: int, limit: int) -> None:
    """RecordTooLarge for a record of so many bytes where the caller takes no more than the limit."""
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
