"""Logging to standard error, with filters for repeated lines and secrets."""

from __future__ import annotations

import atexit
import logging
import re
import time
from collections.abc import Iterable
from typing import Final

from kafka_facade.core.secrets import redact
from kafka_facade.runtime.log_writer import LogWriter

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LINE_BREAK: Final = re.compile("[\t\n]")
# Other controls (C0, DEL and C1), separators of lines and paragraphs, and marks, embeddings and isolates of directions.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_REPEAT_SECONDS = 30.0
_KEY_CHARACTERS = 60
_MOST_KEYS = 1000
# At debug level these log all headers and frames of callers, including credentials.
_TALKATIVE = ("uvicorn", "uvicorn.error", "websockets")
# How long (s) a process that ends waits for its log to be written.
_FLUSH_SECONDS = 1.0
# HTTP clients, which log the URL of each request, and headers.
_CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "authlib")


class Repeats(logging.Filter):
    """Passes similar lines (those with the same beginning) once in 30 s.

    While Kafka is unavailable, its client logs every connection attempt.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        key = (record.levelno, record.getMessage()[:_KEY_CHARACTERS])
        now = time.monotonic()
        if now - self._seen.get(key, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return False
        if len(self._seen) >= _MOST_KEYS:
            self._seen.clear()
        self._seen[key] = now
        return True


def _of_present_callers(record: logging.LogRecord) -> bool:
    """Return False for gRPC's error about a response to a call that was cancelled.

    gRPC logs a traceback if it notices the cancellation late.
    """
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ExecuteBatchError"


class SafeFormatter(logging.Formatter):
    """Redacts credentials in log lines and tracebacks, as a safety net for code that should not log any.

    Escapes control characters, as ``repr`` does: a message may quote callers, and their text must not add a line,
    control a terminal or reorder text. Only a traceback has line breaks.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(_FORMAT)
        self._secrets = frozenset(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Format, redact and escape a record."""
        return _CONTROL.sub(_escape, redact(super().format(record), self._secrets))

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Format the line without a traceback."""
        # Redact first, because an escaped secret may not be recognized.
        return _LINE_BREAK.sub(_escape, redact(super().formatMessage(record), self._secrets))


def _escape(characters: re.Match[str]) -> str:
    return repr(characters[0])[1:-1]


# The thread of a writer may be blocked for good, so a process has one.
_writer: LogWriter | None = None


def configure_logging(level: str, secrets: Iterable[str] = ()) -> None:
    """Set up the root logger of this process; idempotent. The ``secrets`` are redacted."""
    global _writer
    if _writer is None:
        _writer = LogWriter(SafeFormatter(secrets))
        atexit.register(flush_log)
    else:
        _writer.setFormatter(SafeFormatter(secrets))
    logging.basicConfig(level=level.upper(), handlers=[_writer], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(level.upper())))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # kafka-python logs many lines per connection, and all data at lower levels.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("kafka.net.manager").setLevel(logging.WARNING)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_of_present_callers)
    # A logger's filter does not apply to its child loggers.
    for name in ("kafka_facade.kafka", "kafka_facade.schemas", "kafka.net.manager"):
        client = logging.getLogger(name)
        if not client.filters:
            client.addFilter(Repeats())


def flush_log(seconds: float = _FLUSH_SECONDS) -> None:
    """Wait until the log is written, for at most so long."""
    if _writer is not None:
        _writer.wait_written(seconds)
