"""Incremental decompression of gzip request bodies (RFC 9110, 8.4), with limits."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any, Final

from kafka_facade.core.errors import MalformedBody, PayloadTooLarge, UnsupportedMediaType
from kafka_facade.web.body import Read

_GZIP: Final = (b"gzip", b"x-gzip")
_IDENTITY: Final = (b"", b"identity")
# Bytes to decode at once; takes a fraction of a millisecond.
_SLICE: Final = 256 * 1024
# Beyond the free bytes, reject a body that grows by more than this ratio; real JSON stays far below.
_FREE_BYTES: Final = 1024 * 1024
_MAX_RATIO: Final = 200
# Each gzip member has a fixed cost. A body normally has one, or one per concatenated file.
_MAX_MEMBERS: Final = 1000
_WBITS: Final = 16 + zlib.MAX_WBITS


def decoded(headers: Mapping[bytes, bytes], read: Read) -> Read:
    """Wrap ``read`` to undo ``Content-Encoding``. Raises UnsupportedMediaType for codings other than gzip.

    The wrapper raises MalformedBody for invalid gzip and PayloadTooLarge for an excessive compression ratio. It returns
    bounded slices however large the received piece is, so that the reader can enforce its own limit.
    """
    coding = headers.get(b"content-encoding")
    if coding is None or coding.lower() in _IDENTITY:
        return read
    if coding.lower() not in _GZIP:
        raise UnsupportedMediaType("HTTP 415 Unsupported Media Type: gzip is the only content coding here.")
    return Gunzip(read)


def largest_inflated(data: bytes) -> int:
    """Return the size beyond which :class:`Gunzip` rejects what is compressed in ``data``."""
    return max(_FREE_BYTES, _MAX_RATIO * len(data))


class Gunzip:
    """A reader of what the gzip from ``read`` contains; see :func:`decoded`."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._input = b""
        self._more = True
        self._member: Any = None
        self._members = 0
        self._taken = 0
        self._given = 0

    async def __call__(self) -> tuple[bytes, bool]:
        """Return the next slice of the body, and whether more follow."""
        while True:
            if not self._input and self._more:
                self._input, self._more = await self._read()
                self._taken += len(self._input)
            else:
                # A few bytes may expand to a long body: yield to other tasks.
                await asyncio.sleep(0)
            data = self._decode()
            more = bool(self._input) or self._more
            if not more and self._member is not None and not self._member.eof:
                raise MalformedBody("The body ends before its gzip stream does.")
            if data or not more:
                return data, more

    def _decode(self) -> bytes:
        """Decode at most one slice of the available input."""
        if not self._input:
            return b""
        if self._member is None or self._member.eof:
            self._members += 1
            if self._members > _MAX_MEMBERS:
                raise PayloadTooLarge("The body has too many gzip members.")
            self._member = zlib.decompressobj(_WBITS)
        try:
            data: bytes = self._member.decompress(self._input, _SLICE)
        except zlib.error:
            raise MalformedBody("The body isn't gzip, which Content-Encoding says it is.") from None
        self._input = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        self._given += len(data)
        if self._given > _FREE_BYTES and self._given > _MAX_RATIO * self._taken:
            raise PayloadTooLarge("The body grows out of proportion when it is decompressed.")
        return data
