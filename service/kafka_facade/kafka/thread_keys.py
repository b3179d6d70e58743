"""Limits the use of pthread thread-specific keys, of which each Kafka client takes one.

Linux has 1,024 per process (PTHREAD_KEYS_MAX). When they are exhausted, libraries abort the process or fail in
unexpected places, so some must be left free.
"""

from __future__ import annotations

import contextlib
import ctypes

_RESERVE = 2
# Opened once, because each opening leaves classes in a reference cycle.
_LIBRARY = ctypes.CDLL(None)


def are_scarce() -> bool:
    """Return whether another client would take one of the last keys."""
    library = _LIBRARY
    with contextlib.ExitStack() as taken:
        for _ in range(_RESERVE + 1):
            key = ctypes.c_ulong()
            if library.pthread_key_create(ctypes.byref(key), None):
                return True
            taken.callback(library.pthread_key_delete, key)
    return False
