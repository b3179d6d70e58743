"""Limits the use of pthread thread-specific keys, of which each Kafka client takes one.

Linux has 1,024 per process (PTHREAD_KEYS_MAX). When they are exhausted, libraries abort the process or fail in
unexpected places, so some must be left free.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator

from kafka_facade.core.errors import TooManyRequests

_RESERVE = 2
# Opened once, because each opening leaves classes in a reference cycle.
_LIBRARY = ctypes.CDLL(None)

_lock = threading.Lock()
# Clients that are being created, each of which may not have its key yet.
_creating = 0


@contextlib.contextmanager
def taking() -> Iterator[None]:
    """Surround the creation of a client, in any thread.

    Raises TooManyRequests if it would take one of the last keys.
    """
    global _creating
    with _lock:
        if not _are_free(_RESERVE + _creating + 1):
            raise TooManyRequests("This process has reached its Kafka client limit; retry.")
        _creating += 1
    try:
        yield
    finally:
        with _lock:
            _creating -= 1


def _are_free(keys: int) -> bool:
    library = _LIBRARY
    with contextlib.ExitStack() as taken:
        for _ in range(keys):
            key = ctypes.c_ulong()
            if library.pthread_key_create(ctypes.byref(key), None):
                return False
            taken.callback(library.pthread_key_delete, key)
    return True
