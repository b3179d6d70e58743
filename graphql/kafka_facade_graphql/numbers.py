"""Lossless numbers: a number that a float would round is kept as JSON text."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Final

import msgspec

from kafka_facade.core.quoting import quote
from kafka_facade.core.records.decoding_budget import JSON_ON_LOOP, weighs_more

# A double represents all decimal numbers with this many digits, except for large exponents.
_DIGITS: Final = 15
_plain = msgspec.json.Decoder().decode
_DIGIT, _EXPONENT, _SIGN, _OTHER = b"0", b"e", b"-", b" "
# Maps each byte to its role in a number.
_KINDS: Final = bytes(
    (_DIGIT if byte in b"0123456789." else _EXPONENT if byte in b"eE" else _SIGN if byte in b"+-" else _OTHER)[0]
    for byte in range(256)
)
# How many numbers are compared digit by digit on the event loop; this many take about 5 ms.
_MOST_COMPARED: Final = 5_000
_MAY_ROUND: Final = (_DIGIT * (_DIGITS + 2), b"0e00", b"0e-00")


def exact_number(text: str) -> float | msgspec.Raw:
    """Parse a JSON number to a float, or keep its text if a float would round it. Raises ValueError on overflow."""
    number = float(text)
    if not isfinite(number):
        raise ValueError("out of range")
    if len(text) <= _DIGITS and "e" not in text and "E" not in text:
        return number
    try:
        is_same = Decimal(text) == Decimal(repr(number))
    except InvalidOperation:
        is_same = False
    return number if is_same else msgspec.Raw(text.encode())


_exact = msgspec.json.Decoder(float_hook=exact_number).decode


def decode_exactly(text: str | bytes) -> object:
    """Decode JSON; a number that a float would round becomes a msgspec.Raw. Raises msgspec's errors."""
    data = text.encode() if isinstance(text, str) else text
    return _exact(data) if _may_round(data) else _plain(data)


def why_not(text: str | bytes, error: Exception) -> tuple[str, str | None]:
    """Return why :func:`decode_exactly` raised an error, and the path of a number that is out of range."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply", None
    if isinstance(error, msgspec.ValidationError) and (found := _out_of_range(text)) is not None:
        path, number = found
        return f"the number {quote(number)} is out of range", quote(path)
    return quote(error), None


class _OutOfRange:
    """A number that no float can hold."""

    def __init__(self, text: str) -> None:
        self.text = text


_COMPLEX: Final = (dict, list, _OutOfRange)


def _float_or_text(text: str) -> float | _OutOfRange:
    number = float(text)
    return number if isfinite(number) else _OutOfRange(text)


_leniently = msgspec.json.Decoder(float_hook=_float_or_text).decode


def _out_of_range(text: str | bytes) -> tuple[str, str] | None:
    """Return the path and text of a number that is out of range."""
    try:
        waiting: list[tuple[str, Any]] = [("", _leniently(text))]
    except (msgspec.DecodeError, RecursionError):
        return None
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _OutOfRange):
            return path, value.text
        # Most values are plain and need no path.
        if isinstance(value, dict):
            members = [(f".{name}", member) for name, member in value.items() if isinstance(member, _COMPLEX)]
        elif isinstance(value, list):
            members = [(f"[{index}]", item) for index, item in enumerate(value) if isinstance(item, _COMPLEX)]
        else:
            continue
        waiting += [((path + step).removeprefix("."), member) for step, member in members]
    return None


def decodes_slowly(data: bytes) -> bool:
    """Return whether :func:`decode_exactly` may take too long for the event loop."""
    return weighs_more(data, JSON_ON_LOOP) or (
        len(data) > _MOST_COMPARED and data.count(b",") + data.count(b":") > _MOST_COMPARED and _may_round(data)
    )


def _may_round(data: bytes) -> bool:
    kinds = data.translate(_KINDS)
    return any(kind in kinds for kind in _MAY_ROUND)
