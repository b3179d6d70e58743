"""Adjusts Protobuf's JSON parser: how it looks for surrogates, and what its errors say."""

from __future__ import annotations

import re
from typing import Final

from google.protobuf import json_format

# Strings are checked in pieces of so many characters, so that other threads can run in between.
_PIECE: Final = 1024 * 1024
_PATTERN: Final = "_UNPAIRED_SURROGATE_PATTERN"
_CHAIN: Final = re.compile(r"(?:Failed to parse \S+ field: )*")
# Errors in terms of JSON and Protobuf; others are in terms of Python.
_CLEAR: Final = ("Message type ", "Message too deep", "Invalid enum value ", 'Expected "true"', "Unpaired surrogate")


class _Surrogates:
    """Replaces the parser's regular expression, which holds the interpreter lock for 26 ns for each character."""

    @staticmethod
    def search(value: str) -> bool:
        """Return whether a string has a surrogate. A pair is invalid too: decoded JSON has none."""
        if value.isascii():
            return False
        try:
            for start in range(0, len(value), _PIECE):
                value[start : start + _PIECE].encode()
        except UnicodeEncodeError:
            return True
        return False


if not hasattr(json_format, _PATTERN):
    raise ImportError(f"this version of protobuf has no json_format.{_PATTERN}")
setattr(json_format, _PATTERN, _Surrogates)


def in_json_terms(error: Exception) -> str:
    """Return what an error of the parser says, without terms of Python."""
    text = str(error)[: 16 * 1024]
    chain = _CHAIN.match(text)
    text = text[chain.end() if chain else 0 :].partition("\n")[0].rstrip(".")
    if text.startswith(_CLEAR):
        return text
    _, at, path = text.rpartition(" at ")
    # The path begins with the name of the message.
    field = path.partition(".")[2] if at else ""
    return f"{field or 'the value'}: the value doesn't fit the field"
