"""Serialization and deserialization of formats without schemas.

Formats with schemas are in :mod:`kafka_facade.core.records.schemas`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Final

import msgspec

from kafka_facade.core.errors import InvalidRequest, NotImplementedYet
from kafka_facade.core.quoting import quote_json
from kafka_facade.core.records import json_text
from kafka_facade.core.records.model import Format, RecordData
from kafka_facade.core.time_slices import time_slice

_encode_json = msgspec.json.Encoder().encode
_JSON, _BINARY, _STRING = Format.JSON, Format.BINARY, Format.STRING


# Texts of more characters are converted in time slices, in pieces of so many.
_PIECE: Final = 512 * 1024


class NotAtOnce(Exception):
    """The data can only be serialized with a schema, or in time slices."""


def serialize(data: RecordData, which: str = "value") -> bytes | None:
    """Serialize a key or value (``which``); None for null.

    Raises InvalidRequest for the field ``value.data`` or ``key.data`` if the data does not fit its format, and
    NotAtOnce.
    """
    if data.schema is not None:
        raise NotAtOnce
    value = data.data
    if value is None:
        return None
    # Compare by identity: comparing or hashing members of a string enum costs more than all the rest.
    format = data.format
    if format is _JSON:
        if isinstance(value, str) and len(value) > _PIECE:
            raise NotAtOnce
        return value if isinstance(value, bytes) else _encode_json(value)
    if format is _BINARY:
        if isinstance(value, bytes):
            return value
        if is_long(data):
            raise NotAtOnce
        return _from_base64(value, which)
    if format is _STRING:
        if not isinstance(value, str):
            raise InvalidRequest(f"Bad Request: data={quote_json(value)} is not a string.", field=f"{which}.data")
        if is_long(data):
            raise NotAtOnce
        return value.encode()
    raise NotAtOnce


def is_long(data: RecordData) -> bool:
    """Return whether data is a text for :func:`serialize_long`."""
    if data.schema is not None or not isinstance(data.data, str) or len(data.data) <= _PIECE:
        return False
    return data.format is _BINARY or data.format is _STRING or data.format is _JSON


async def serialize_long(data: RecordData, which: str) -> bytes:
    """Encode a long text, or decode it from base64, in time slices. Raises InvalidRequest."""
    text: str = data.data  # type: ignore[assignment]
    last = (len(text) - 1) // _PIECE * _PIECE
    parts = []
    for start in range(0, len(text), _PIECE):
        await time_slice()
        piece = text[start : start + _PIECE]
        if data.format is _STRING:
            parts.append(piece.encode())
            continue
        if data.format is _JSON:
            parts.append(_encode_json(piece)[1:-1])
            continue
        if start < last and "=" in piece:
            raise _not_base64(text, which)
        parts.append(_decode(piece, text, which))
    if data.format is _JSON:
        parts = [b'"', *parts, b'"']
    # Joining much does not hold the interpreter lock.
    return await asyncio.to_thread(b"".join, parts)


def _from_base64(value: object, which: str) -> bytes:
    if not isinstance(value, str):
        raise InvalidRequest(f"Bad Request: data={quote_json(value)} is not a base64 string.", field=f"{which}.data")
    return _decode(value, value, which)


def _decode(piece: str, value: str, which: str) -> bytes:
    try:
        return base64.b64decode(piece + "=" * (-len(piece) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _not_base64(value, which) from None


def _not_base64(value: str, which: str) -> InvalidRequest:
    return InvalidRequest(f"Bad Request: data={quote_json(value)} is not a valid base64 string.", field=f"{which}.data")


def deserialize(format: Format, payload: bytes) -> object:
    """Deserialize bytes: to bytes for BINARY, a text for STRING, a JSON value for JSON.

    Raises ValueError if the bytes are invalid or a response cannot contain them, and NotImplementedYet for a format
    with schemas.
    """
    if format is _BINARY:
        return payload
    try:
        if format is _STRING:
            return payload.decode()
        if format is _JSON:
            return json_text.decode(payload)
    except UnicodeDecodeError:
        raise ValueError("the bytes are not UTF-8") from None
    raise NotImplementedYet(f"The format {format.value} is not implemented yet.", format=format.value)
