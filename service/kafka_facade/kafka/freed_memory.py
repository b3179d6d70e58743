"""Returns memory freed by clients to the operating system.

The C library keeps freed memory in per-thread heaps, and each client has several threads. After hundreds of clients
have been closed, the process would keep its peak size.
"""

from __future__ import annotations

import asyncio
import ctypes
from typing import Final

from kafka_facade.kafka.blocking import Blocking

# Only in the GNU C library (malloc_trim(3)).
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
# Wait this long (s) for further clients to close.
_PAUSE_SECONDS: Final = 5.0


def trim() -> None:
    """Return freed memory now; this takes up to a second."""
    if _trim is not None:
        _trim(0)


class FreedMemory:
    """Trims the heap in a thread shortly after clients were closed."""

    def __init__(self, blocking: Blocking) -> None:
        self._blocking = blocking
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def give_back_soon(self) -> None:
        """Schedule a trim; call this on the event loop when a client was destroyed."""
        if _trim is not None and self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._give_back)

    def close(self) -> None:
        """Cancel a scheduled trim."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _give_back(self) -> None:
        self._timer = None
        self._blocking.begin(trim)
