"""Encoding of responses with records, whose large keys and values are copied once.

Protobuf copies a value into its message, and several times more while it encodes that, all with the interpreter lock.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from google.protobuf.message import Message

from kafka_facade.rpc.gen.v1 import record_pb2

LARGE: Final = 1024 * 1024
"""Keys and values of more bytes do not become part of a message."""

Encoded = Message | bytes
"""A response, which may be encoded already."""

_RECORDS: Final = 1
_LENGTH: Final = 2


class Frame:
    """A response whose first field is a list of records."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._parts: list[bytes] = []

    def add(self, **fields: Any) -> Any:
        """Add a record and return its message."""
        return self._response.records.add(**fields)

    def extend(self, fields: list[bytes]) -> None:
        """Add encoded fields to the last record."""
        last = self._response.records.pop()
        self._parts.append(self._response.SerializeToString())
        self._parts += field(_RECORDS, [last.SerializeToString(), *fields])
        self._response.Clear()

    async def finished(self) -> Encoded:
        """Return the response."""
        if not self._parts:
            response: Message = self._response
            return response
        self._parts.append(self._response.SerializeToString())
        # Joining much does not hold the interpreter lock.
        return await asyncio.to_thread(b"".join, self._parts)


def field(number: int, content: list[bytes]) -> list[bytes]:
    """Return the parts of an encoded field that has a length; ``number`` is its number."""
    return [_varint(number << 3 | _LENGTH) + _varint(sum(map(len, content))), *content]


def data_field(number: int, payload: bytes, kind: str, others: record_pb2.RecordData | None = None) -> list[bytes]:
    """Return the parts of an encoded field of the type RecordData, of which ``payload`` is the field ``kind``."""
    data = field(record_pb2.RecordData.DESCRIPTOR.fields_by_name[kind].number, [payload])
    return field(number, data if others is None else [*data, others.SerializeToString()])


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode(response: Encoded) -> bytes:
    """Return the encoded response."""
    return response if isinstance(response, bytes) else response.SerializeToString()


def size_of(response: Encoded) -> int:
    """Return the size of the response in bytes."""
    return len(response) if isinstance(response, bytes) else response.ByteSize()
