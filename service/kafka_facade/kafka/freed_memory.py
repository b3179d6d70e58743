"""Memory that clients have freed goes back to the system.

The C library keeps what was freed for later, in a heap for each few threads, and a client has several: after hundreds
of them the process would stay as large as it has ever been.
"""

from __future__ import annotations

import asyncio
import ctypes
from typing import Final

from kafka_facade.kafka.blocking import Blocking

# Only the GNU C library has it (malloc_trim(3)).
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
# So long (s) it is waited for others that go at the same time.
_PAUSE_SECONDS: Final = 5.0


class FreedMemory:
    """Gives memory back a moment after clients have gone, in a thread."""

    def __init__(self, blocking: Blocking) -> None:
        self._blocking = blocking
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def give_back_soon(self) -> None:
        """To be called on the event loop when a client is gone."""
        if _trim is not None and self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._give_back)

    def close(self) -> None:
        """Give back no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _give_back(self) -> None:
        self._timer = None
        assert _trim is not None
        self._blocking.begin(_trim, 0)
