"""Logging: to standard error, and not the same thing many times a second."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable

from kafka_facade.core.secrets import redact

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_REPEAT_SECONDS = 30.0
_KEY_CHARACTERS = 60
_MOST_KEYS = 1000
# At debug level these tell of each header and frame that callers send, credentials and all.
_TALKATIVE = ("uvicorn", "uvicorn.error", "websockets")
# HTTP clients: they tell of each request with its URL, and of headers.
_CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "authlib")


class Repeats(logging.Filter):
    """Lets a line through once in 30 s; lines that begin alike count as the same.

    While Kafka is away its client reports every attempt to connect.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        key = (record.levelno, record.getMessage()[:_KEY_CHARACTERS])
        now = time.monotonic()
        if now - self._seen.get(key, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return False
        if len(self._seen) >= _MOST_KEYS:
            self._seen.clear()
        self._seen[key] = now
        return True


def _of_present_callers(record: logging.LogRecord) -> bool:
    """Whether a line of gRPC's is not about an answer to a caller that has left.

    It logs those with a traceback where it learns late that the call was cancelled.
    """
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ExecuteBatchError"


class WithoutSecrets(logging.Formatter):
    """Writes log lines, with their tracebacks, without credentials: a guard behind those who should not log any."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__(_FORMAT)
        # A secret that another one begins with comes after it.
        self._secrets = sorted(secrets, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return redact(super().format(record), self._secrets)


def configure_logging(level: str, secrets: Iterable[str] = ()) -> None:
    """Set up the root logger of this process; once more is the same. None of the ``secrets`` is ever written."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(WithoutSecrets(secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(level.upper())))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It tells of each connection in many lines, and at lower levels of all that goes over it.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("kafka.net.manager").setLevel(logging.WARNING)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_of_present_callers)
    # A filter of a logger doesn't hold for those below it.
    for name in ("kafka_facade.kafka", "kafka_facade.schemas", "kafka.net.manager"):
        client = logging.getLogger(name)
        if not client.filters:
            client.addFilter(Repeats())
