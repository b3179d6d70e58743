"""Transports that coalesce writes and detect peers that stop reading.

uvicorn writes the head and the body of a response separately, and uvloop sends each immediately: two system calls, two
segments, and two wake-ups of the peer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

logger = logging.getLogger("kafka_facade.web")

# Flush immediately above this size (bytes), so that write flow control takes effect.
_MOST = 65_536
_LONGEST_PAUSE = 1.0


class UnreadAnswers:
    """Aborts connections whose peer reads nothing of the buffered data for ``seconds``. One per event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = min(_LONGEST_PAUSE, seconds / 4)
        self._waiting: set[WatchedWrites] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, writes: WatchedWrites) -> None:
        """Watch a transport after a write."""
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
    """Wraps a transport of the running loop and delegates everything else to it."""

    def __init__(self, transport: asyncio.Transport, unread: UnreadAnswers) -> None:
        self.transport = transport
        self._unread = unread
        self._handed_over = 0
        self._taken = -1
        self._taken_at = 0.0
        # Bound once, because it is called for every request.
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write the data."""
        self._handed_over += len(data)
        self.transport.write(data)
        self._unread.add(self)

    def unsent(self) -> int:
        """Bytes in the write buffer, which the operating system has not accepted yet."""
        return self.transport.get_write_buffer_size()

    def close(self) -> None:
        """Close once data is written. Transports of asyncio with TLS fail after a second close."""
        if not self.transport.is_closing():
            self.transport.close()

    def stuck_since(self, now: float) -> float:
        """Return when the write buffer last drained, as observed by calls of this method; ``now`` at the first call.

        New writes do not count as progress: pings are written even to a peer that reads nothing.
        """
        taken = self._handed_over - self.unsent()
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        return self._taken_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class JoinedWrites(WatchedWrites):
    """Sends all data written within one iteration of the event loop at once."""

    def __init__(self, transport: asyncio.Transport, unread: UnreadAnswers) -> None:
        super().__init__(transport, unread)
        self._call_soon = asyncio.get_running_loop().call_soon
        self._written: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write the data at the end of this iteration."""
        if not self._written:
            self._call_soon(self.flush)
        self._written.append(data)
        self._size += len(data)
        if self._size > _MOST:
            self.flush()

    def flush(self) -> None:
        """Write buffered data now."""
        if self._written:
            data = b"".join(self._written)
            self._written.clear()
            self._size = 0
            # The peer may have disconnected meanwhile.
            if not self.transport.is_closing():
                super().write(data)

    def close(self) -> None:
        """Write buffered data, then close."""
        self.flush()
        super().close()
