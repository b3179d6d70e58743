"""Pagination of ordered lists (AIP-158).

Tokens hold a sort key, not a position, so pages stay correct while items are added and removed.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from kafka_facade.core.errors import InvalidRequest

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000

_Item = TypeVar("_Item")


@dataclass(slots=True)
class Page(Generic[_Item]):
    """``next_token`` is empty on the last page; ``total`` counts all items."""

    items: list[_Item]
    next_token: str
    has_previous: bool
    total: int


def encode_token(key: Any) -> str:
    """Encode an item's sort key as an opaque token."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_token(token: str) -> Any:
    """Return the sort key in a token. Raises InvalidRequest for an invalid token."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("The page token is invalid.", field="page_token") from error


def paginate(
    items: Sequence[_Item],
    key: Callable[[_Item], Any],
    *,
    size: int = 0,
    token: str = "",
    fits: Callable[[_Item], bool] | None = None,
) -> Page[_Item]:
    """Return the page of ``items`` (ordered by ``key``) after ``token``.

    A ``size`` of 0 is the default, a larger one than the maximum is reduced to it, and a negative one is
    InvalidRequest. ``fits`` is called for each item in order, and the page ends before the first item for which it
    returns False; it must accept the first item of a page.
    """
    if size < 0:
        raise InvalidRequest("The page size must not be negative.", field="page_size")
    limit = min(size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    after = decode_token(token) if token else None
    try:
        start = 0 if after is None else bisect_right(items, after, key=key)
    except TypeError as error:
        raise InvalidRequest("The page token is invalid.", field="page_token") from error
    page = list(items[start : start + limit])
    if fits is not None:
        page = list(itertools.takewhile(fits, page))
    more = start + len(page) < len(items)
    return Page(page, encode_token(key(page[-1])) if more else "", start > 0, len(items))
