"""Lossless numbers: a number that a float would round is kept as JSON text."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Final

import msgspec

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


def decodes_slowly(data: bytes) -> bool:
    """Return whether :func:`decode_exactly` may take too long for the event loop."""
    return weighs_more(data, JSON_ON_LOOP) or (
        len(data) > _MOST_COMPARED and data.count(b",") + data.count(b":") > _MOST_COMPARED and _may_round(data)
    )


def _may_round(data: bytes) -> bool:
    kinds = data.translate(_KINDS)
    return any(kind in kinds for kind in _MAY_ROUND)
