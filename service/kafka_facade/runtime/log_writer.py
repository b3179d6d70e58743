"""Writes the log to standard error in a thread, so that a reader who stops reading blocks nothing else."""

from __future__ import annotations

import logging
import os
import queue
import select
import signal
from collections import deque
from collections.abc import Callable
from logging.handlers import QueueHandler, QueueListener
from typing import Final

_STDERR: Final = 2
# Maximum characters of lines that wait, and what each line counts besides its own.
_MOST_CHARACTERS: Final = 4 * 1024 * 1024
_LINE_OVERHEAD: Final = 500


def _cost(line: logging.LogRecord) -> int:
    return _LINE_OVERHEAD + len(line.msg)


class _Lines(queue.Queue[logging.LogRecord]):
    """Formatted lines that wait to be written; its size is their total cost.

    Once a line did not fit, all are dropped until the others are written. A finalizer may log whenever an object is
    created, so none is created while the mutex is held.
    """

    _held: deque[logging.LogRecord]
    _size: int
    _dropped: int

    def offer(self, line: logging.LogRecord) -> None:
        """Add a line, or drop it."""
        with self.mutex:
            if self._dropped or (self._held and self._size + _cost(line) > self.maxsize):
                self._dropped += 1
                return
            self._put(line)
            self.unfinished_tasks += 1
            self.not_empty.notify()

    def take_dropped(self) -> int:
        """Return how many lines were dropped, once all others were taken; the next ones are kept again."""
        with self.mutex:
            if self._held:
                return 0
            dropped = self._dropped
            self._dropped = 0
            return dropped

    def wait_empty(self, seconds: float) -> None:
        """Wait until all lines are written, for at most so long."""
        with self.all_tasks_done:
            self.all_tasks_done.wait_for(lambda: not self.unfinished_tasks, seconds)

    def _init(self, maxsize: int) -> None:
        self._held = deque()
        self._size = self._dropped = 0

    def _qsize(self) -> int:
        return self._size

    def _put(self, line: logging.LogRecord) -> None:
        self._held.append(line)
        self._size += _cost(line)

    def _get(self) -> logging.LogRecord:
        line = self._held.popleft()
        self._size -= _cost(line)
        return line


class _Listener(QueueListener):
    """Writes to the file descriptor itself: a lock of a stream or handler would be held while the write blocks.

    ``missing`` makes a line of the number of lines that were dropped.
    """

    def __init__(self, lines: _Lines, missing: Callable[[int], logging.LogRecord]) -> None:
        super().__init__(lines)
        self._lines = lines
        self._missing = missing

    def handle(self, record: logging.LogRecord) -> None:
        self._write(record)
        if dropped := self._lines.take_dropped():
            self._write(self._missing(dropped))

    def _write(self, record: logging.LogRecord) -> None:
        left = memoryview(f"{record.msg}\n".encode(errors="backslashreplace"))
        while left:
            try:
                left = left[os.write(_STDERR, left) :]
            except BlockingIOError:
                select.select([], [_STDERR], [])
            except OSError:
                # Its reader is gone.
                return


class LogWriter(QueueHandler):
    """A handler that never blocks. Formatting takes place in the thread that logs; lines keep their order."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._lines = _Lines(_MOST_CHARACTERS)
        super().__init__(self._lines)
        self.setFormatter(formatter)
        # A signal that this thread took would interrupt no other.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            _Listener(self._lines, self._missing).start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def enqueue(self, record: logging.LogRecord) -> None:
        """Add a line, or count it as dropped."""
        self._lines.offer(record)

    def wait_written(self, seconds: float) -> None:
        """Wait until all lines are written, for at most so long."""
        self._lines.wait_empty(seconds)

    def _missing(self, lines: int) -> logging.LogRecord:
        said = f"{lines} log lines were dropped, because standard error was blocked"
        line: logging.LogRecord = self.prepare(
            logging.LogRecord(__name__, logging.WARNING, __file__, 0, said, None, None)
        )
        return line
