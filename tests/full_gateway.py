"""`kafka-facade serve` that uses up its memory after SIGUSR1: `full_gateway.py serve ...`."""

from __future__ import annotations

import signal
import threading

from kafka_facade.cli import main

_SIZE = 256 * 1024 * 1024
_used: list[bytes] = []


def _use() -> None:
    signal.sigwait([signal.SIGUSR1])
    _used.append(b"x" * _SIZE)


# Of all threads, so that only the one that waits for the signal gets it.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
threading.Thread(target=_use, daemon=True).start()
main()
