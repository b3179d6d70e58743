"""Pagination of ordered lists (AIP-158).

Tokens hold a sort key, not a position, so pages stay correct while items are added and removed. Of long keys, such as
names of consumer groups of up to 32,767 characters, they hold the start and a digest, so that each token is short.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

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


class _Shortened(msgspec.Struct, forbid_unknown_fields=True):
    """The start of a long key, and a digest of the whole key."""

    start: list[str | int]
    digest: str


_Key = str | int | list[str | int]

# Texts of a key from this length are shortened to it; names of topics have at most 249 characters.
_LONG_TEXT: Final = 256
# The key of an ACL has three texts, whose characters take up to 6 bytes each (as \u0000). The rest is short.
_LONGEST_JSON: Final = 3 * 6 * _LONG_TEXT + 256
_LONGEST_TOKEN: Final = -(-_LONGEST_JSON // 3) * 4
_decoder: Final[msgspec.json.Decoder[_Key | _Shortened]] = msgspec.json.Decoder(_Key | _Shortened)


def encode_token(key: Any) -> str:
    """Encode an item's sort key (a text, an integer or a list of them) as an opaque token."""
    start = _shorten(key)
    if start == _parts(key):
        return _encode(key)
    return _encode(_Shortened(start, _digest(key)))


def _encode(content: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(content)).decode().rstrip("=")


def _decode(token: str) -> _Key | _Shortened:
    """Return what :func:`encode_token` has put into a token. Raises InvalidRequest for any other text."""
    try:
        if len(token) > _LONGEST_TOKEN:
            raise ValueError("too long")
        content = _decoder.decode(base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True))
        if _encode(content) != token:
            raise ValueError("not encoded here")
    except ValueError as error:
        raise InvalidRequest("The page token is invalid.", field="page_token") from error
    return content


def _parts(key: Any) -> list[str | int]:
    return key if isinstance(key, list) else [key]


def _shorten(key: Any) -> list[str | int]:
    """Return the key's parts up to the first long text, and the start of that. The order of keys stays the same."""
    parts = _parts(key)
    for place, part in enumerate(parts):
        if isinstance(part, str) and len(part) >= _LONG_TEXT:
            return [*parts[:place], part[:_LONG_TEXT]]
    return parts


def _digest(key: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(key)).hexdigest()


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
    try:
        start = _place_after(items, key, _decode(token)) if token else 0
    except TypeError as error:
        raise InvalidRequest("The page token is invalid.", field="page_token") from error
    page = list(items[start : start + limit])
    if fits is not None:
        page = list(itertools.takewhile(fits, page))
    more = start + len(page) < len(items)
    return Page(page, encode_token(key(page[-1])) if more else "", start > 0, len(items))


def _place_after(items: Sequence[_Item], key: Callable[[_Item], Any], after: _Key | _Shortened) -> int:
    """Return the place of the first item after a key.

    If the item of a shortened key was removed, return the first item with the same start: some are repeated, none is
    missed.
    """
    if not isinstance(after, _Shortened):
        return bisect_right(items, after, key=key)
    first = bisect_left(items, after.start, key=lambda item: _shorten(key(item)))
    for place in range(first, len(items)):
        found = key(items[place])
        if _shorten(found) != after.start:
            break
        if _digest(found) == after.digest:
            return place + 1
    return first
