"""Text from outside (a caller, Kafka, the Schema Registry) in messages: never more of it than helps to find it."""

from __future__ import annotations

import json
import re
from typing import Final

QUOTE_LENGTH: Final = 200
"""The characters of a quotation, at most."""
MESSAGE_LENGTH: Final = 1_000
"""The characters of a whole message, at most."""

_LONG_WORD: Final = re.compile(rf"\S{{{QUOTE_LENGTH + 1},}}")
_TAIL: Final = 40
_GAP: Final = "..."
# Iteration over the pieces of a value's JSON stops here.
_ENOUGH: Final = 4 * QUOTE_LENGTH


def quote(text: object, limit: int = QUOTE_LENGTH) -> str:
    """The text, or where it is longer than the limit its beginning and its end."""
    shown = text if isinstance(text, str) else str(text)
    if len(shown) <= limit:
        return shown
    return shown[: limit - _TAIL - len(_GAP)] + _GAP + shown[-_TAIL:]


def shorten(message: str) -> str:
    """A whole message, cut as in :func:`quote`, and so is each word: what Kafka says may repeat what it was sent."""
    if len(message) > QUOTE_LENGTH:
        message = _LONG_WORD.sub(lambda word: quote(word[0]), message)
    return quote(message, MESSAGE_LENGTH)


def showable(text: str) -> str:
    """The text, with question marks for halves of surrogate pairs: no answer can hold them."""
    return text.encode(errors="replace").decode()


def quote_json(value: object) -> str:
    """The JSON text of a value, cut as in :func:`quote`; of a large value only the beginning is written."""
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
