"""How much a record may become when it is decoded: a few bytes can stand for any amount of data."""

from __future__ import annotations

from typing import Final

# Weights are about the bytes of the JSON text; this much for each value besides the texts in it.
VALUE_WEIGHT: Final = 16
# The memory of an object or array, besides its members.
CONTAINER_WEIGHT: Final = 64
_MEMBER_WEIGHT: Final = 64
# What any record may become, whatever its size, and what each of its bytes may become, up to the limit for all.
_FREE: Final = 256 * 1024
_PER_BYTE: Final = 200
MOST_JSON: Final = 64 * 1024 * 1024
"""What a JSON text, or anything that is decoded, may become at the most."""

# Texts are weighed in parts of so many bytes.
_PART: Final = 64 * 1024

JSON_ON_LOOP: Final = 1536 * 1024
"""JSON that becomes more is for a thread: so much is decoded in some 5 ms."""


class BudgetExceeded(ValueError):
    """The data becomes too large."""

    def __init__(self) -> None:
        super().__init__("the data becomes too large when it is decoded")


class DecodingBudget:
    """What is left of the weight that a payload may become. Used by one decoder at a time."""

    __slots__ = ("_most", "left")

    def __init__(self, payload_size: int, *, free: int = _FREE, per_byte: int = _PER_BYTE) -> None:
        self._most = self.left = min(MOST_JSON, free + per_byte * payload_size)

    @property
    def spent(self) -> int:
        """The weight so far."""
        return self._most - self.left

    def spend(self, weight: int) -> None:
        """BudgetExceeded where that is more than is left."""
        self.left -= weight
        if self.left < 0:
            raise BudgetExceeded


def json_weight(payload: bytes, start: int = 0, end: int | None = None) -> int:
    """What a JSON text becomes at the most, about: its punctuation may stand in texts, too.

    ``start`` and ``end`` are for a part of it.
    """
    end = len(payload) if end is None else min(end, len(payload))
    containers = payload.count(b"[", start, end) + payload.count(b"{", start, end)
    values = 2 * VALUE_WEIGHT * payload.count(b",", start, end) + _MEMBER_WEIGHT * payload.count(b":", start, end)
    return max(0, end - start) + CONTAINER_WEIGHT * containers + values


def weighs_more(payload: bytes, most: int) -> bool:
    """Whether a JSON text may become more than so much; no more of it is looked at than that needs."""
    # No text weighs more than its bytes would as brackets.
    if len(payload) * (1 + CONTAINER_WEIGHT) <= most:
        return False
    left = most
    for start in range(0, len(payload), _PART):
        left -= json_weight(payload, start, start + _PART)
        if left < 0:
            return True
    return False
