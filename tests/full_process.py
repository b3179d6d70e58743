"""A process in which no further Kafka client can be created."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def thread_keys_but_one_taken() -> Iterator[None]:
    library = ctypes.CDLL(None)
    taken: list[ctypes.c_uint] = []
    try:
        while not library.pthread_key_create(ctypes.byref(key := ctypes.c_uint()), None):
            taken.append(key)
        library.pthread_key_delete(taken.pop())
        yield
    finally:
        for key in taken:
            library.pthread_key_delete(key)
