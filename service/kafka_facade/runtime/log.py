"""Logging: to standard error, and not the same thing many times a second."""

from __future__ import annotations

import logging
import sys
import time

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_REPEAT_SECONDS = 30.0
_KEY_CHARACTERS = 60
_MOST_KEYS = 1000


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


def configure_logging(level: str) -> None:
    """Set up the root logger of this process; once more is the same."""
    logging.basicConfig(level=level.upper(), format=_FORMAT, stream=sys.stderr, force=True)
    # It tells of each connection in many lines, and at lower levels of all that goes over it.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("kafka.net.manager").setLevel(logging.WARNING)
    # A filter of a logger doesn't hold for those below it.
    for name in ("kafka_facade.kafka", "kafka.net.manager"):
        client = logging.getLogger(name)
        if not client.filters:
            client.addFilter(Repeats())
