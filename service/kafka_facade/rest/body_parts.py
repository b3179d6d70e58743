"""The parts of a request body, which are joined without holding the interpreter lock."""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8
from typing import Final

# A part of this many bytes is not copied again until all are joined.
_PART: Final = 256 * 1024
# To join fewer bytes takes less than 1 ms.
_LARGE: Final = 1024 * 1024


class BodyParts:
    """Collects what arrives of a body; ``size`` is in bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []
        # Small parts are joined, since each would take memory of its own.
        self._last = bytearray()

    def add(self, data: bytes) -> None:
        """Add what has arrived."""
        self.size += len(data)
        self._last += data
        if len(self._last) >= _PART:
            self._parts.append(bytes(self._last))
            self._last.clear()

    async def joined(self) -> bytes:
        """Return the body without a byte order mark (RFC 8259, 8.1), and forget its parts."""
        parts, self._parts = [*self._parts, bytes(self._last)], []
        self._last.clear()
        # The first part is shorter than the mark only if it is the only one.
        parts[0] = parts[0].removeprefix(BOM_UTF8)
        if self.size <= _LARGE:
            return b"".join(parts)
        return await asyncio.to_thread(_join, parts)


def _join(parts: list[bytes]) -> bytes:
    # Joining much does not hold the interpreter lock.
    body = b"".join(parts)
    parts.clear()
    return body
