"""Decoding of JSON whose numbers may have large exponents.

msgspec takes about 10 us for a number such as ``9e300``, and holds the interpreter lock for the whole text. A text that
may have such numbers is decoded with a hook, which is faster for them and gives up the lock between numbers.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final, Generic, TypeVar, overload

import msgspec

_T = TypeVar("_T")
Text = bytes | bytearray | memoryview

# Maps digits to 0, and E and + to e; a number with a large exponent then contains the mark.
_DIGITS: Final = bytes.maketrans(b"123456789E+", b"000000000ee")
_MARK: Final = b"e000"
_LONG: Final = b"0" * 300
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# So short a text takes less time with such numbers than a record takes otherwise.
_SHORT: Final = 64
# Texts are searched in pieces, so that other threads can run in between.
_PIECE: Final = 1024 * 1024
_OVERLAP: Final = len("e+000") - 1


def parse_number(text: str) -> float:
    """Parse a JSON number like msgspec. Raises ValueError with msgspec's message if it is out of range."""
    number = float(text)
    if not isfinite(number):
        raise ValueError("Number out of range")
    return number


def has_large_exponents(text: Text) -> bool:
    """Return whether a JSON text may have numbers that take long, counting text in strings."""
    if len(text) <= _SHORT:
        return False
    if len(text) <= _PIECE and not isinstance(text, memoryview):
        return _MARK in text.translate(_DIGITS)
    return any(
        _MARK in bytes(text[start : start + _PIECE + _OVERLAP]).translate(_DIGITS)
        for start in range(0, len(text), _PIECE)
    )


def has_long_digits(text: bytes) -> bool:
    """Return whether a JSON text has hundreds of digits in sequence; long integers take long to convert."""
    return _LONG in text.translate(_DIGITS)


def slow_numbers(text: Text) -> int:
    """Return at least how many times 10 us the numbers in a JSON text take."""
    found = _slow(bytes(text))
    # Strings, such as names in hexadecimal digits, may look like numbers.
    return found and _slow(_STRING.sub(b"", bytes(text)))


def _slow(text: bytes) -> int:
    kinds = text.translate(_DIGITS)
    return kinds.count(_MARK) + kinds.count(_LONG)


class JsonDecoder(Generic[_T]):
    """Decodes JSON like ``msgspec.json.Decoder``; numbers of any exponent take little time.

    A field of the type float is an exception: hooks do not apply to it.
    """

    @overload
    def __init__(self: JsonDecoder[Any]) -> None: ...

    @overload
    def __init__(self, type_: type[_T], *, strict: bool = True) -> None: ...

    def __init__(self, type_: Any = Any, *, strict: bool = True) -> None:
        self._plain: msgspec.json.Decoder[_T] = msgspec.json.Decoder(type_, strict=strict)
        self._hooked: msgspec.json.Decoder[_T] = msgspec.json.Decoder(type_, strict=strict, float_hook=parse_number)

    def decode(self, text: Text | str) -> _T:
        """Decode a text. Raises msgspec's errors."""
        # Most records are short: calling a function for them would take as long as decoding.
        if type(text) is bytes and len(text) <= _PIECE:
            slow = len(text) > _SHORT and _MARK in text.translate(_DIGITS)
        else:
            text = text.encode(errors="surrogatepass") if isinstance(text, str) else text
            slow = has_large_exponents(text)
        return self._hooked.decode(text) if slow else self._plain.decode(text)
