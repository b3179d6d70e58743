"""Encoding of responses: JSON in pieces, timestamps, and compression."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from kafka_facade.core.records.long_values import LongEncoder
from kafka_facade.core.time_slices import time_slice

_encoder = msgspec.json.Encoder()
encode: Final = _encoder.encode

_Item = TypeVar("_Item")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GZIP_LEVEL = 6
# The largest window, with the header of gzip.
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16
# Yield to the event loop after encoding this many bytes of an array; takes a few tenths of a millisecond.
_PIECE: Final = 32 * 1024
# Number of small items to encode in one call.
_TOGETHER: Final = 8
_OPEN: Final = ord("[")
_COMMA: Final = ord(",")
# Bytes of a long array to hand on at once.
_PART: Final = 1024 * 1024
MIN_COMPRESSED_BYTES: Final = 32
"""Minimum size of a body to compress."""


async def encode_array(
    found: Sequence[_Item],
    document: Callable[[_Item], object],
    before: bytes = b"",
    after: bytes = b"",
    take: Callable[[bytearray, float], Awaitable[None]] | None = None,
) -> bytearray:
    """Encode documents as a JSON array between ``before`` and ``after``, yielding to the event loop between pieces.

    They may have values of the type LongValue. A long array is handed to ``take`` in parts, each with the share of the
    documents that are encoded, except for the last part, which is returned.
    """
    array, encoder = bytearray(before), LongEncoder()
    position, count, pause = 0, 1, 0
    while position < len(found):
        if take is not None and len(array) >= _PART:
            await take(array, position / len(found))
            array, pause = bytearray(), 0
        if len(array) >= pause:
            await time_slice()
            pause = len(array) + _PIECE
        start = len(array)
        encoder.encode_into([document(item) for item in found[position : position + count]], array, -1)
        await encoder.fill_in(array, start)
        # Each piece is encoded as an array: turn its "[" into a comma, except for the first, and drop its "]".
        array[start] = _COMMA if position else _OPEN
        array.pop()
        position += count
        # Encode large items one by one.
        count = _TOGETHER if len(array) - start < _PIECE else 1
    array += (b"]" if position else b"[]") + after
    return array


@lru_cache(maxsize=4096)
def timestamp_text(milliseconds: int | None) -> str | None:
    """Format a record's timestamp as RFC 3339 in UTC, with milliseconds unless they are 0."""
    if milliseconds is None:
        return None
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    text = moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"


def timestamp_milliseconds(moment: datetime) -> int:
    """Convert to Unix milliseconds, rounding down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def compress(body: bytes | bytearray) -> bytes:
    """Compress a body with gzip."""
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


def compressor() -> Callable[[bytes | bytearray, bool], bytes]:
    """Return a function that compresses the parts of a body with gzip; its flag tells whether a part is the last."""
    state = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)

    def compress_part(part: bytes | bytearray, last: bool) -> bytes:
        return state.compress(part) + state.flush() if last else state.compress(part)

    return compress_part


def accepts_gzip(accept_encoding: bytes | None) -> bool:
    """Return whether an Accept-Encoding header accepts gzip (RFC 9110, 12.5.3)."""
    if not accept_encoding:
        return False
    wanted = False
    for part in accept_encoding.decode("latin-1").lower().split(","):
        coding, _, parameters = part.partition(";")
        coding = coding.strip()
        if coding in ("gzip", "x-gzip", "*"):
            name, _, value = parameters.replace(" ", "").partition("=")
            refused = name == "q" and value.rstrip("0").rstrip(".") in ("", "0")
            if coding != "*":
                return not refused
            wanted = not refused
    return wanted
