"""How all JSON schemas are checked."""

from __future__ import annotations

from typing import Final

import jsonschema_rs

PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)
"""A pattern may not backtrack for ever."""
