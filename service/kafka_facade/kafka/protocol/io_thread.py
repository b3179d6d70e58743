"""The thread in which kafka-python does the I/O of all connections of a process."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kafka.net.selector import NetworkSelector

_STOP_SECONDS: Final = 5.0


class IoThread:
    """Starts the thread at the first use, and another one if it has ended. Its methods block: call them in threads."""

    def __init__(self) -> None:
        self._selector: NetworkSelector | None = None
        self._lock = threading.Lock()

    def selector(self) -> NetworkSelector:
        """Return the selector of the running thread."""
        # Importing kafka-python takes half a second.
        from kafka.net.selector import NetworkSelector

        with self._lock:
            if self._selector is not None and not _runs(self._selector):
                # What broke its thread may break this too.
                with contextlib.suppress(Exception):
                    _close(self._selector)
                self._selector = None
            if self._selector is None:
                self._selector = NetworkSelector(client_id="kafka-facade")
                self._selector.start()
            return self._selector

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            if self._selector is not None:
                _close(self._selector)
                self._selector = None


def _runs(selector: NetworkSelector) -> bool:
    try:
        selector.call_soon_threadsafe(_nothing)
    except Exception:
        return False
    return True


def _nothing() -> None: ...


def _close(selector: NetworkSelector) -> None:
    selector.stop(timeout_ms=int(_STOP_SECONDS * 1000))
    selector.close()
