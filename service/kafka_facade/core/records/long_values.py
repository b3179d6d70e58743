"""Encoding of JSON with long keys and values, a piece at a time: native code would hold the interpreter lock."""

from __future__ import annotations

import secrets
from binascii import b2a_base64
from typing import Any, Final

import msgspec

from kafka_facade.core.time_slices import time_slice

# Longer values are encoded in pieces of so many characters or bytes; in base64 each three become four characters.
_PIECE: Final = 384 * 1024
_encode = msgspec.json.encode
# What stands for a long value until it is filled in. Callers cannot guess it.
_MARKER: Final = secrets.token_hex(16)


class LongValue:
    """A long text, or long bytes, which become base64. No dataclass, because msgspec would encode that itself."""

    __slots__ = ("value",)

    def __init__(self, value: str | bytes) -> None:
        self.value = value


def marked(value: object) -> object:
    """Return a value that is to be encoded, as a LongValue if it is long."""
    return LongValue(value) if isinstance(value, str | bytes) and len(value) > _PIECE else value


def whole(value: Any) -> str | bytes:
    """Return what an encoder encodes at once instead of a long value: ``msgspec.json.encode(data, enc_hook=whole)``."""
    if isinstance(value, LongValue):
        return value.value
    raise NotImplementedError


class LongEncoder:
    """Encodes JSON. It leaves out long values at first, and adds them in time slices."""

    def __init__(self) -> None:
        values: list[str | bytes] = []

        # No method: an encoder that refers to this object would make a reference cycle.
        def leave_out(value: Any) -> str:
            if not isinstance(value, LongValue):
                raise NotImplementedError
            values.append(value.value)
            return _MARKER

        self._values = values
        self._encoder = msgspec.json.Encoder(enc_hook=leave_out)

    def encode_into(self, data: object, text: bytearray, start: int = 0) -> None:
        """Encode data into a text from ``start`` on; -1 is its end."""
        self._encoder.encode_into(data, text, start)

    async def fill_in(self, text: bytearray, start: int = 0) -> None:
        """Fill in the long values of what was encoded from ``start`` on."""
        if not self._values:
            return
        first, *others = bytes(text[start:]).split(b'"%b"' % _MARKER.encode())
        values = self._values.copy()
        self._values.clear()
        del text[start:]
        text += first
        for value, part in zip(values, others, strict=True):
            text += b'"'
            for begin in range(0, len(value), _PIECE):
                await time_slice()
                text += _encoded(value[begin : begin + _PIECE])
            text += b'"'
            text += part


def _encoded(piece: str | bytes) -> bytes:
    return b2a_base64(piece, newline=False) if isinstance(piece, bytes) else _encode(piece)[1:-1]
