"""How all JSON schemas are checked."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import jsonschema_rs

_MAX_PATTERN_BYTES: Final = 1024 * 1024

PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000, size_limit=_MAX_PATTERN_BYTES)
"""A pattern may not backtrack for ever."""
_LINEAR: Final = jsonschema_rs.RegexOptions(size_limit=_MAX_PATTERN_BYTES)


@lru_cache(maxsize=1000)
def is_linear(pattern: str) -> bool:
    """Whether a text is matched in linear time: not where the pattern looks around or back."""
    try:
        jsonschema_rs.Draft7Validator({"pattern": pattern}, offline=True, pattern_options=_LINEAR)
    except ValueError:
        return False
    return True
