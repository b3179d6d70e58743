"""Encoding of JSON with long keys and values, a piece at a time: native code would hold the interpreter lock."""

from __future__ import annotations

import re
import secrets
from binascii import b2a_base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kafka_facade.core.limits import RECORDS_WEIGHT
from kafka_facade.core.records.decoding_budget import DecodingBudget
from kafka_facade.core.time_slices import time_slice

LONG: Final = 384 * 1024
"""Longer values are encoded in pieces of so many characters or bytes; in base64 each three become four characters."""
# Control characters become six characters each, so pieces of data from records are shorter.
_PIECE: Final = 64 * 1024
_encode = msgspec.json.encode
# What stands for a long value until it is filled in. Callers cannot guess it.
_MARKER: Final = secrets.token_hex(16)
_MARKERS: Final = re.compile(b'"%b_([0-9]+)"' % _MARKER.encode())


class LongValue:
    """A long text, or long bytes, which become base64. No dataclass, because msgspec would encode that itself."""

    __slots__ = ("value",)

    def __init__(self, value: str | bytes) -> None:
        self.value = value


class LongJson:
    """A long value that is encoded already."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


class LongText(str):
    """A long text where a LongValue is not accepted; encoders take it for no text."""

    __slots__ = ()


def marked(value: object) -> object:
    """Return a value that is to be encoded, as a LongValue if it is long."""
    return LongValue(value) if isinstance(value, str | bytes) and len(value) > LONG else value


def whole(value: Any) -> str | bytes | msgspec.Raw:
    """Return what an encoder encodes at once instead of a long value: ``msgspec.json.encode(data, enc_hook=whole)``."""
    if isinstance(value, LongValue):
        return value.value
    if isinstance(value, LongJson):
        return msgspec.Raw(value.text)
    if isinstance(value, LongText):
        return str(value)
    raise NotImplementedError


def long_text(data: str | bytes) -> LongText | None:
    """Return a long text; None if bytes are not UTF-8. Call it in a thread.

    Raises BudgetExceeded if it becomes too large in JSON.
    """
    try:
        text = LongText(data.decode() if isinstance(data, bytes) else data)
    except UnicodeDecodeError:
        return None
    DecodingBudget(0, free=RECORDS_WEIGHT).spend_text(text)
    return text


def encode_long(data: object) -> bytes:
    """Encode data, its long texts in pieces. Call it in a thread. The data must not be used any more."""
    texts: list[str] = []
    holder = [data]
    _take_out(holder, texts)
    first, *others = _MARKERS.split(_encode(holder[0]))
    parts = [first]
    for number, after in zip(others[::2], others[1::2], strict=True):
        parts += [b'"', *_pieces(texts[int(number)]), b'"', after]
    # Joining much does not hold the interpreter lock.
    return b"".join(parts)


def _take_out(data: list[Any], texts: list[str]) -> None:
    """Replace long texts in the data by a marker with their index in ``texts``."""

    def without(text: str) -> str:
        if len(text) <= LONG:
            return text
        texts.append(text)
        return f"{_MARKER}_{len(texts) - 1}"

    waiting: list[Any] = [data]
    while waiting:
        parent = waiting.pop()
        if isinstance(parent, dict) and any(len(name) > LONG for name in parent):
            entries = list(parent.items())
            parent.clear()
            parent.update((without(name), value) for name, value in entries)
        for name, value in parent.items() if isinstance(parent, dict) else enumerate(parent):
            if isinstance(value, str):
                if len(value) > LONG:
                    # The keys stay the same, so this may be done during the iteration.
                    parent[name] = without(value)
            elif isinstance(value, dict | list):
                waiting.append(value)


class LongEncoder:
    """Encodes JSON. It leaves out long values at first, and adds them in time slices."""

    def __init__(self) -> None:
        values: list[str | bytes | LongJson] = []

        # No method: an encoder that refers to this object would make a reference cycle.
        def leave_out(value: Any) -> str:
            if isinstance(value, LongText | LongJson):
                values.append(value)
            elif isinstance(value, LongValue):
                values.append(value.value)
            else:
                raise NotImplementedError
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
            quotation_mark = b"" if isinstance(value, LongJson) else b'"'
            text += quotation_mark
            for piece in _pieces(value):
                await time_slice()
                text += piece
            text += quotation_mark
            text += part


async def encode_in_pieces(data: object) -> bytearray:
    """Encode data, whose long keys and values take time slices."""
    text, encoder = bytearray(), LongEncoder()
    encoder.encode_into(data, text)
    await encoder.fill_in(text)
    return text


def _pieces(value: str | bytes | LongJson) -> Iterator[bytes | memoryview]:
    """Encode a value in pieces, without quotation marks."""
    if isinstance(value, str):
        for start in range(0, len(value), _PIECE):
            yield _encode(value[start : start + _PIECE])[1:-1]
        return
    view = memoryview(value.text if isinstance(value, LongJson) else value)
    for start in range(0, len(view), LONG):
        piece = view[start : start + LONG]
        yield piece if isinstance(value, LongJson) else b2a_base64(piece, newline=False)
