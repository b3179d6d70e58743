"""How a process ends: told by a signal, and at its deadline at the latest, whatever its event loop does.

Python runs signal handlers in the main thread, between two bytecodes: one that is blocked runs none. So SIGTERM and
SIGINT are blocked everywhere and a thread of its own waits for them. Native code that never releases the interpreter
lock keeps that thread from running too: a timer of the kernel ends such a process if the code spins. If it waits, only
another process can.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

logger = logging.getLogger("kafka_facade.runtime")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# The log says why so long (s) before the process is ended without Python's help.
_TELLING_SECONDS = 0.3
# How often (s) the process shows that Python still runs.
_BEAT_SECONDS = 0.25
# How long (s) all processors may work for the process between two such signs.
_MISSED_SECONDS = 0.5

_armed = threading.Lock()


class Signals:
    """Waits for SIGTERM and SIGINT from when it is made, in the main thread, before there are others."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._listeners: list[Callable[[int, float], None]] = []
        self._received: list[tuple[int, float]] = []
        self._lock = threading.Lock()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        _end_if_locked(timeout)
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    def tell(self, listener: Callable[[int, float], None]) -> None:
        """Have it called, in a thread, with each signal and the time (``time.monotonic``) by which to have ended."""
        with self._lock:
            for received in self._received:
                listener(*received)
            self._listeners.append(listener)

    def _wait(self) -> None:
        deadline: float | None = None
        while True:
            number = signal.sigwait(_SIGNALS)
            if deadline is None:
                deadline = time.monotonic() + self._timeout
                end_within(self._timeout)
            with self._lock:
                self._received.append((number, deadline))
                for listener in self._listeners:
                    listener(number, deadline)


def end_within(seconds: float) -> None:
    """End the process after so long with exit status 1, even if Python runs no more; the first call counts."""
    if not _armed.acquire(blocking=False):
        return
    # Its thread needs no interpreter. It prints where each thread was.
    faulthandler.dump_traceback_later(seconds, exit=True, file=_stderr())
    timer = threading.Timer(max(0.0, seconds - _TELLING_SECONDS), _exit_late)
    timer.daemon = True
    timer.start()


def _end_if_locked(seconds: float) -> None:
    """End the process once it has used so much processor time (s) without Python running in between.

    Processor time stands still while the process is stopped, or its container is paused.
    """
    seconds = max(seconds, _MISSED_SECONDS * (os.cpu_count() or 1))
    # The default action of a signal doesn't end the first process of a container; the C library's _exit does.
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGPROF, libc._exit)
    # It prints where each thread is, and calls the handler from before.
    faulthandler.register(signal.SIGPROF, file=_stderr(), all_threads=True, chain=True)

    def beat() -> None:
        while True:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            time.sleep(_BEAT_SECONDS)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


def _stderr() -> TextIO:
    return sys.__stderr__ if sys.__stderr__ is not None else open(os.devnull, "w")


def _exit_late() -> None:
    logger.error("the process didn't end within shutdown.timeout.ms and is stopped")
    exit_now(1)


def exit_now(status: int) -> None:
    """End the process: nothing waits for threads, and nobody frees a large heap object by object."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)
