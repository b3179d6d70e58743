"""Look-ups in ordered lists."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

_Item = TypeVar("_Item")


def find_in_order(items: Sequence[_Item], wanted: Any, key: Callable[[_Item], Any]) -> _Item | None:
    """Return the first of ``items``, which are ordered by ``key``, that has the wanted key; None if none has it."""
    place = bisect_left(items, wanted, key=key)
    return items[place] if place < len(items) and key(items[place]) == wanted else None
