"""Transports that join writes, and notice a caller that doesn't read.

uvicorn writes the head and the body of an answer one after the other, and uvloop sends each at once: two system calls,
two segments, and a peer that is woken twice.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

logger = logging.getLogger("kafka_facade.web")

# More than this (bytes) goes out at once, so that a peer that doesn't read is noticed.
_MOST = 65_536
_LONGEST_PAUSE = 1.0


class UnreadAnswers:
    """Aborts connections whose peer takes nothing of what waits for it for so many seconds. One for an event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = min(_LONGEST_PAUSE, seconds / 4)
        self._waiting: set[WatchedWrites] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, writes: WatchedWrites) -> None:
        """Something was written."""
        self._waiting.add(writes)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for writes in list(self._waiting):
            if not writes.unsent():
                self._waiting.discard(writes)
            elif writes.stuck_since(now) + self._seconds <= now:
                self._waiting.discard(writes)
                limit = f"{self._seconds:g} s (response.write.timeout.ms)"
                logger.info("a connection was aborted: the client read nothing for %s", limit)
                writes.transport.abort()
        self._timer = loop.call_later(self._pause, self._look) if self._waiting else None


class WatchedWrites:
    """Stands before a transport of the running loop; all that it doesn't know goes to that."""

    def __init__(self, transport: asyncio.Transport, unread: UnreadAnswers) -> None:
        self.transport = transport
        self._unread = unread
        self._handed_over = 0
        self._taken = -1
        self._taken_at = 0.0
        # Called with every request.
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send it."""
        self._handed_over += len(data)
        self.transport.write(data)
        self._unread.add(self)

    def unsent(self) -> int:
        """The bytes that the peer's system hasn't taken yet."""
        return self.transport.get_write_buffer_size()

    def stuck_since(self, now: float) -> float:
        """When the peer's system last took something, as far as the calls of this method show; ``now`` the first time.

        What is written meanwhile is no progress: pings go out to a peer that reads nothing, too.
        """
        taken = self._handed_over - self.unsent()
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        return self._taken_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class JoinedWrites(WatchedWrites):
    """Sends what is written within one turn of the event loop in one go."""

    def __init__(self, transport: asyncio.Transport, unread: UnreadAnswers) -> None:
        super().__init__(transport, unread)
        self._call_soon = asyncio.get_running_loop().call_soon
        self._written: list[bytes] = []
        self._size = 0

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
                super().write(data)

    def close(self) -> None:
        """Send what was written, then close."""
        self.flush()
        self.transport.close()
