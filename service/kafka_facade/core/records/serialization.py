"""Serialization and deserialization of formats without schemas.

Formats with schemas are in :mod:`kafka_facade.core.records.schemas`.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from kafka_facade.core.errors import InvalidRequest, NotImplementedYet
from kafka_facade.core.quoting import quote_json
from kafka_facade.core.records import json_text
from kafka_facade.core.records.model import Format, RecordData

_encode_json = msgspec.json.Encoder().encode
_JSON, _BINARY, _STRING = Format.JSON, Format.BINARY, Format.STRING


class SchemaNeeded(Exception):
    """The data can only be serialized with a schema."""


def serialize(data: RecordData, which: str = "value") -> bytes | None:
    """Serialize a key or value (``which``); None for null.

    Raises InvalidRequest for the field ``value.data`` or ``key.data`` if the data does not fit its format, and
    SchemaNeeded.
    """
    if data.schema is not None:
        raise SchemaNeeded
    value = data.data
    if value is None:
        return None
    # Compare by identity: comparing or hashing members of a string enum costs more than all the rest.
    format = data.format
    if format is _JSON:
        return _encode_json(value)
    if format is _BINARY:
        return value if isinstance(value, bytes) else _from_base64(value, which)
    if format is _STRING:
        if not isinstance(value, str):
            raise InvalidRequest(f"Bad Request: data={quote_json(value)} is not a string.", field=f"{which}.data")
        return value.encode()
    raise SchemaNeeded


def _from_base64(value: object, which: str) -> bytes:
    if not isinstance(value, str):
        raise InvalidRequest(f"Bad Request: data={quote_json(value)} is not a base64 string.", field=f"{which}.data")
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"Bad Request: data={quote_json(value)} is not a valid base64 string.", field=f"{which}.data"
        ) from None


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
