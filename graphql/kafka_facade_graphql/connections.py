"""Pages of lists (Relay connections)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from kafka_facade.core import paging
from kafka_facade.core.errors import InvalidRequest

_Item = TypeVar("_Item")


def page(
    items: Sequence[_Item], key: Callable[[_Item], str], first: int | None, after: str | None
) -> paging.Page[_Item]:
    """Return the page selected by a connection's arguments. Raises InvalidRequest."""
    if first is not None and first < 1:
        raise InvalidRequest("first must be at least 1.", field="first")
    try:
        return paging.paginate(items, key, size=first or 0, token=after or "")
    except InvalidRequest:
        raise InvalidRequest("after is not a valid cursor.", field="after") from None
