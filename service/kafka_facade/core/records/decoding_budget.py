"""Limits on how much data a record may expand to: a few encoded bytes can stand for any amount of data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from kafka_facade.core.limits import RECORDS_WEIGHT
from kafka_facade.core.records.json_numbers import has_long_digits
from kafka_facade.core.time_slices import time_slice

# A weight is roughly the size of the JSON text in bytes. This is the weight of a value besides the text in it.
VALUE_WEIGHT: Final = 16
# The weight of an object or array besides its members.
CONTAINER_WEIGHT: Final = 64
_MEMBER_WEIGHT: Final = 64
# The weight of a member of decoded data, see data_weight.
_DATA_WEIGHT: Final = 10
_BITS_PER_DIGIT: Final = 3
# A payload may expand to _FREE plus _PER_BYTE for each of its bytes, up to the overall limit.
_FREE: Final = 256 * 1024
_PER_BYTE: Final = 200
# Texts are weighed in parts of this many bytes.
_PART: Final = 64 * 1024

JSON_ON_LOOP: Final = 1536 * 1024
"""JSON with a greater weight is decoded in a thread; this much takes about 5 ms."""


# Members that the objects of one JSON text may have: msgspec holds the interpreter lock for about 50 ms for them. A
# record of 1 MB, Kafka's default limit, has fewer.
_MOST_MEMBERS: Final = 200_000
# Integers of 300 digits or more: one of 4300, the most that Python converts, takes 75 us.
_MOST_LONG_NUMBERS: Final = 700
_LONG_NUMBER: Final = re.compile(rb"[:,\[\s]-?[0-9]{300}")
# A member takes at least so many bytes, such as `"":1,`.
_LEAST_MEMBER: Final = 5
# The end of a member's name; a text in a string has a backslash before the quotation mark.
_NAME_END: Final = re.compile(rb'(?<!\\)(?:\\\\)*+"[ \t\r\n]*+:')


_encode = msgspec.json.Encoder().encode


class BudgetExceeded(ValueError):
    """The decoded data is too large."""

    def __init__(self) -> None:
        super().__init__("the data becomes too large when it is decoded")


class DecodingBudget:
    """The remaining weight that a payload may expand to. Used by one decoder at a time."""

    __slots__ = ("_most", "left")

    def __init__(self, payload_size: int, *, free: int = _FREE, per_byte: int = _PER_BYTE) -> None:
        self._most = self.left = min(RECORDS_WEIGHT, free + per_byte * payload_size)

    @property
    def spent(self) -> int:
        """The weight so far."""
        return self._most - self.left

    def spend(self, weight: int) -> None:
        """Subtract a weight. Raises BudgetExceeded if less is left."""
        self.left -= weight
        if self.left < 0:
            raise BudgetExceeded

    def spend_text(self, text: str | memoryview) -> None:
        """Subtract the length of a text, or of its UTF-8 bytes, in JSON: a control character becomes six.

        Call it in a thread for a long text. Raises BudgetExceeded if less is left.
        """
        for start in range(0, len(text), _PART):
            piece = text[start : start + _PART]
            self.spend(len(_encode(piece if isinstance(piece, str) else str(piece, errors="replace"))))


def json_weight(payload: bytes | bytearray, start: int = 0, end: int | None = None) -> int:
    """Return an upper bound of the weight of a JSON text, or of the part from ``start`` to ``end``.

    It counts punctuation, which may also occur inside strings.
    """
    end = len(payload) if end is None else min(end, len(payload))
    containers = payload.count(b"[", start, end) + payload.count(b"{", start, end)
    values = 2 * VALUE_WEIGHT * payload.count(b",", start, end) + _MEMBER_WEIGHT * payload.count(b":", start, end)
    return max(0, end - start) + CONTAINER_WEIGHT * containers + values


async def structure_weight(payload: bytes) -> int:
    """Return the part of :func:`json_weight` that is not text, in time slices."""
    weight = -len(payload)
    for start in range(0, len(payload), _PART):
        if start:
            await time_slice()
        weight += json_weight(payload, start, start + _PART)
    return weight


def weighs_more(payload: bytes | bytearray, most: int) -> bool:
    """Return whether the weight of a JSON text may exceed ``most``, scanning only as much as necessary."""
    # The heaviest text consists of brackets only.
    if len(payload) * (1 + CONTAINER_WEIGHT) <= most:
        return False
    left = most
    for start in range(0, len(payload), _PART):
        left -= json_weight(payload, start, start + _PART)
        if left < 0:
            return True
    return False


async def weighs_more_in_slices(payload: bytes | bytearray | memoryview, most: int) -> bool:
    """Like :func:`weighs_more`, for a large text, in time slices."""
    # The heaviest text consists of brackets only.
    if len(payload) * (1 + CONTAINER_WEIGHT) <= most:
        return False
    left = most
    for start in range(0, len(payload), _PART):
        await time_slice()
        left -= json_weight(bytes(payload[start : start + _PART]))
        if left < 0:
            return True
    return False


async def too_large_at_once(payload: bytes | bytearray | memoryview) -> bool:
    """Return whether a JSON text is too large to be decoded at once, in a thread. Takes time slices."""
    if await weighs_more_in_slices(payload, RECORDS_WEIGHT):
        return True
    for is_slow in _finds_slowness(payload):
        if is_slow:
            return True
        await time_slice()
    return False


def decodes_slowly_at_once(payload: bytes | bytearray | memoryview) -> bool:
    """Return whether a JSON text has too many members or long numbers to be decoded at once."""
    return any(_finds_slowness(payload))


def _finds_slowness(payload: bytes | bytearray | memoryview) -> Iterator[bool]:
    """Search part by part; yield after each whether the text has too many members or long numbers."""
    if len(payload) <= _LEAST_MEMBER * _MOST_MEMBERS:
        return
    # Most texts have so few colons that their strings do not matter.
    colons = members = numbers = 0
    for start in range(0, len(payload), _PART):
        part = bytes(payload[start : start + _PART])
        colons += part.count(b":")
        if has_long_digits(part):
            numbers += len(_LONG_NUMBER.findall(part))
        yield numbers > _MOST_LONG_NUMBERS
    if colons <= _MOST_MEMBERS:
        return
    for start in range(0, len(payload), _PART):
        members += len(_NAME_END.findall(bytes(payload[start : start + _PART])))
        yield members > _MOST_MEMBERS


def data_weight(data: object, most: int) -> int:
    """Return the weight of decoded JSON; stops above ``most``.

    A character counts as 1, a number or a member as 10, and a long integer as its number of digits.
    """
    weight = 0
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            weight += _DATA_WEIGHT * len(value)
            # Copying many members takes long.
            if weight > most:
                return weight
            if isinstance(value, dict):
                weight += sum(map(len, value))
                waiting += value.values()
            else:
                waiting += value
        elif isinstance(value, str):
            weight += len(value)
        elif isinstance(value, msgspec.Raw):
            weight += len(bytes(value))
        elif isinstance(value, int):
            weight += value.bit_length() // _BITS_PER_DIGIT
        if weight > most:
            break
    return weight
