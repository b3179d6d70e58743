"""Estimates the time to compile a JSON schema in this process, and the memory to keep it.

The validator blocks all other threads while it compiles a schema. Most of the cost is in patterns. The estimates are
measurements with jsonschema-rs 0.61, rounded up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

# Cost of each value in a schema.
_VALUE_MICROSECONDS: Final = 1
_VALUE_BYTES: Final = 640
_TEXT_BYTES: Final = 4
MAX_PATTERN: Final = 256
"""Maximum length of a pattern that always compiles in less than a millisecond."""
# A literal text, with or without anchors, needs no automaton.
_PLAIN: Final = re.compile(r"\^?[^\\\[\](){}.*+?|^$]*\$?\Z")
_PLAIN_MICROSECONDS: Final = 20
_PLAIN_BYTES: Final = 5 * 1024
# An automaton of the size that ``json_schema_job`` allows, with the states that it caches in use.
_PATTERN_MICROSECONDS: Final = 150
_CHARACTER_MICROSECONDS: Final = 3
_PATTERN_BYTES: Final = 64 * 1024
# Capturing groups and word boundaries add a table of all states.
_HAS_TABLE: Final = re.compile(r"\((?!\?)|\(\?P?<|\\[bB]")
_TABLE_MICROSECONDS: Final = 100
_TABLE_BYTES: Final = 128 * 1024


class Cost(NamedTuple):
    """Maximum cost of compiling."""

    microseconds: int
    bytes: int
    longest_pattern: int


def cost(documents: Iterable[Any]) -> Cost:
    """Return the cost of schemas that are compiled together."""
    microseconds = size = longest = 0
    waiting = list(documents)
    while waiting:
        part = waiting.pop()
        microseconds += _VALUE_MICROSECONDS
        size += _VALUE_BYTES
        if isinstance(part, dict):
            for pattern in _patterns(part):
                longest = max(longest, len(pattern))
                more_time, more_bytes = _of_pattern(pattern)
                microseconds += more_time
                size += more_bytes
            size += _TEXT_BYTES * sum(map(len, part))
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str):
            size += _TEXT_BYTES * len(part)
    return Cost(microseconds, size, longest)


def _patterns(schema: dict[str, Any]) -> list[str]:
    pattern, named = schema.get("pattern"), schema.get("patternProperties")
    return [*([pattern] if isinstance(pattern, str) else ()), *(named if isinstance(named, dict) else ())]


def _of_pattern(pattern: str) -> tuple[int, int]:
    """Return the time (microseconds) and memory (bytes) of a pattern."""
    if _PLAIN.match(pattern):
        return _PLAIN_MICROSECONDS + len(pattern), _PLAIN_BYTES + 64 * len(pattern)
    time, size = _PATTERN_MICROSECONDS + _CHARACTER_MICROSECONDS * len(pattern), _PATTERN_BYTES
    return (time + _TABLE_MICROSECONDS, size + _TABLE_BYTES) if _HAS_TABLE.search(pattern) else (time, size)
