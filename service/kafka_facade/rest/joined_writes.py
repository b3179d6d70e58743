"""A transport that sends what is written within one turn of the event loop in one go.

uvicorn writes the head and the body of an answer one after the other, and uvloop sends each at once: two system calls,
two segments, and a peer that is woken twice.
"""

from __future__ import annotations

import asyncio
from typing import Any

# More than this (bytes) goes out at once, so that a peer that doesn't read is noticed.
_MOST = 65_536


class JoinedWrites:
    """Stands before a transport of the running loop; all that it doesn't know goes to that."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._written: list[bytes] = []
        self._size = 0
        # Called with every request.
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send it by the end of this turn."""
        if not self._written:
            self._call_soon(self.flush)
        self._written.append(data)
        self._size += len(data)
        if self._size > _MOST:
            self.flush()

    def flush(self) -> None:
        """Send what was written now."""
        if self._written:
            data = b"".join(self._written)
            self._written.clear()
            self._size = 0
            # The peer may be gone by now.
            if not self.transport.is_closing():
                self.transport.write(data)

    def close(self) -> None:
        """Send what was written, then close."""
        self.flush()
        self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)
