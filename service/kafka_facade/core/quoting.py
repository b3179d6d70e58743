"""Truncation of external text (from callers, Kafka, the Schema Registry) that is quoted in messages."""

from __future__ import annotations

import json
import re
from typing import Final

QUOTE_LENGTH: Final = 200
"""Maximum number of characters of a quotation."""
MESSAGE_LENGTH: Final = 1_000
"""Maximum number of characters of a whole message."""

_LONG_WORD: Final = re.compile(rf"\S{{{QUOTE_LENGTH + 1},}}")
_TAIL: Final = 40
_GAP: Final = "..."
# Stop encoding a value to JSON after this many characters.
_ENOUGH: Final = 4 * QUOTE_LENGTH


def quote(text: object, limit: int = QUOTE_LENGTH) -> str:
    """Return the text; if it exceeds the limit, only its beginning and its end."""
    shown = text if isinstance(text, str) else str(text)
    if len(shown) <= limit:
        return shown
    return shown[: limit - _TAIL - len(_GAP)] + _GAP + shown[-_TAIL:]


def shorten(message: str) -> str:
    """Truncate a message, and each word of it, as :func:`quote` does: Kafka's messages may echo the request."""
    if len(message) > QUOTE_LENGTH:
        message = _LONG_WORD.sub(lambda word: quote(word[0]), message)
    return quote(message, MESSAGE_LENGTH)


def showable(text: str) -> str:
    """Replace unpaired surrogates with question marks, because they cannot be encoded as UTF-8."""
    return text.encode(errors="replace").decode()


def quote_json(value: object) -> str:
    """Return the JSON text of a value, truncated as :func:`quote` does; only the start of a large value is encoded."""
    if isinstance(value, str):
        return quote(json.dumps(quote(value, _ENOUGH)))
    pieces: list[str] = []
    length = 0
    for piece in json.JSONEncoder(default=str).iterencode(value):
        pieces.append(quote(piece, _ENOUGH))
        length += len(pieces[-1])
        if length > _ENOUGH:
            break
    return quote("".join(pieces))
