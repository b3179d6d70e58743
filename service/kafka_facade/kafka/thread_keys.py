"""The thread-local keys of this process, of which each Kafka client takes one.

There are 1,024 of them on Linux (PTHREAD_KEYS_MAX). Libraries that find none left end the process, or fail where they
are least expected to, so clients leave some.
"""

from __future__ import annotations

import contextlib
import ctypes

_RESERVE = 2
# Opened once: each opening leaves classes in a reference cycle.
_LIBRARY = ctypes.CDLL(None)


def are_scarce() -> bool:
    """Whether a client more would take one of the last keys."""
    library = _LIBRARY
    with contextlib.ExitStack() as taken:
        for _ in range(_RESERVE + 1):
            key = ctypes.c_ulong()
            if library.pthread_key_create(ctypes.byref(key), None):
                return True
            taken.callback(library.pthread_key_delete, key)
    return False
