"""Termination of a process after a signal, by a hard deadline, even if the event loop hangs.

Python runs signal handlers in the main thread between bytecodes, so a blocked main thread runs none. Therefore SIGTERM
and SIGINT are blocked in all threads, and a dedicated thread waits for them. Native code that never releases the
interpreter lock blocks that thread too: if it uses CPU time, a kernel timer ends the process; if it sleeps, another
process does: the supervisor of several workers, or the sentinel of one.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from kafka_facade.runtime import sentinel
from kafka_facade.runtime.log import flush_log

logger = logging.getLogger("kafka_facade.runtime")

_LINUX = sys.platform == "linux"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# The size of ``sigset_t`` in the C library.
_SIGNAL_SET_BYTES = 128
# How long (s) before the hard deadline Python logs the reason and exits.
_TELLING_SECONDS = 0.3
# How long (s) output may take to be written when the process ends, and at the hard deadline.
_FLUSH_SECONDS = 1.0
_LAST_FLUSH_SECONDS = 0.2
# Heartbeat interval (s) of Python code.
_BEAT_SECONDS = 0.25
# Minimum CPU time (s) per processor without a heartbeat before the process is ended.
_MISSED_SECONDS = 0.5
# Pause (s) before another sentinel is started.
_RESTART_SECONDS = 1.0

_armed = threading.Lock()


class Signals:
    """Waits for SIGTERM and SIGINT in a thread. Create it in the main thread before any other threads."""

    def __init__(self, timeout: float, supervised: bool) -> None:
        """``supervised``: whether another process ends this one if need be, ``timeout`` (s) after a signal."""
        self._timeout = timeout
        self._listeners: list[Callable[[int, float], None]] = []
        self._received: list[tuple[int, float]] = []
        self._lock = threading.Lock()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        _end_if_locked(timeout)
        if _LINUX and not supervised:
            threading.Thread(target=_keep_sentinel, args=(timeout,), name="sentinel", daemon=True).start()
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    def tell(self, listener: Callable[[int, float], None]) -> None:
        """Register a listener, called in a thread with the signal number and the deadline (``time.monotonic``)."""
        with self._lock:
            for received in self._received:
                listener(*received)
            self._listeners.append(listener)

    def _wait(self) -> None:
        deadline: float | None = None
        arrived = _arrivals() if _LINUX else None
        while True:
            if arrived is not None:
                # The signal stays in the kernel's queue until Python code runs: the sentinel looks at that.
                arrived.poll()
            number = signal.sigwait(_SIGNALS)
            if deadline is None:
                deadline = time.monotonic() + self._timeout
                end_within(self._timeout)
            with self._lock:
                self._received.append((number, deadline))
                for listener in self._listeners:
                    listener(number, deadline)


def _keep_sentinel(timeout: float) -> None:
    while True:
        try:
            process = sentinel.start(timeout)
        except OSError as error:
            logger.warning("no other process can end this one if native code blocks it: %s", error)
            return
        sentinel.wait_for_end(process)
        logger.warning("the process that ends this one if native code blocks it was stopped; starting another")
        time.sleep(_RESTART_SECONDS)


def _arrivals() -> select.poll:
    """Return what to poll for the signals, without taking them."""
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = ctypes.create_string_buffer(_SIGNAL_SET_BYTES)
    libc.sigemptyset(wanted)
    for number in _SIGNALS:
        libc.sigaddset(wanted, int(number))
    descriptor = libc.signalfd(-1, wanted, os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    arrivals = select.poll()
    arrivals.register(descriptor, select.POLLIN)
    return arrivals


def end_within(seconds: float) -> None:
    """Exit with status 1 after this long, even if Python code no longer runs; only the first call has an effect."""
    if not _armed.acquire(blocking=False):
        return
    # faulthandler's thread needs no interpreter lock. It also prints the stacks of all threads.
    faulthandler.dump_traceback_later(seconds, exit=True, file=_stderr())
    timer = threading.Timer(max(0.0, seconds - _TELLING_SECONDS), _exit_late)
    timer.daemon = True
    timer.start()


def _end_if_locked(seconds: float) -> None:
    """Exit once the process has used this much CPU time (s) without running Python code.

    CPU time does not advance while the process is stopped or its container is paused.
    """
    seconds = max(seconds, _MISSED_SECONDS * (os.cpu_count() or 1))
    # The default action of a signal does not end PID 1 of a container, but the C library's _exit does.
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGPROF, libc._exit)
    # Print the stacks of all threads, then call the handler set above.
    faulthandler.register(signal.SIGPROF, file=_stderr(), all_threads=True, chain=True)

    def beat() -> None:
        while True:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            time.sleep(_BEAT_SECONDS)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


def _stderr() -> TextIO:
    """Return a file for the stacks of all threads: a full pipe or a stopped terminal must not keep the process."""
    if sys.__stderr__ is None:
        return open(os.devnull, "w")
    try:
        descriptor = sys.__stderr__.fileno()
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor):
            # Opened anew, because the flags of a descriptor are shared with other processes.
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
            return open(os.open(f"/proc/self/fd/{descriptor}", flags), "w")
    except OSError:
        pass
    return sys.__stderr__


def _exit_late() -> None:
    logger.error("the process did not end within shutdown.timeout.ms; stopping it")
    exit_now(1, _LAST_FLUSH_SECONDS)


def exit_now(status: int, seconds: float = _FLUSH_SECONDS) -> None:
    """Exit, without joining threads or freeing a large heap object by object; output has ``seconds`` to be written."""
    flushing = threading.Thread(target=_flush, args=(seconds,), daemon=True)
    flushing.start()
    flushing.join(seconds)
    os._exit(status)


def _flush(seconds: float) -> None:
    flush_log(seconds)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
