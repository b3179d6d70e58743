"""Patterns of topic names (reference: v2 subscription, ``topic_pattern``)."""

from __future__ import annotations

from collections.abc import Iterable

import re2

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.quoting import quote

# Compiling a longer pattern would take tens of milliseconds.
_MAX_LENGTH = 100_000


class TopicPattern:
    """A regular expression that the whole name of a topic must match.

    Uses RE2, whose matching time is linear, so that a caller's pattern cannot keep the server busy. RE2 has no
    look-around and no back-references. Raises InvalidRequest for an invalid pattern.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > _MAX_LENGTH:
            raise InvalidRequest(f"The topic pattern is longer than {_MAX_LENGTH} characters.", field="topic_pattern")
        options = re2.Options()
        options.log_errors = False
        try:
            self._compiled = re2.compile(pattern, options)
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise InvalidRequest(f"The topic pattern is invalid: {quote(reason)}", field="topic_pattern") from None

    def matching(self, names: Iterable[str]) -> list[str]:
        """The names that match, in order."""
        return [name for name in names if self._compiled.fullmatch(name) is not None]
