"""Media types and the Accept header (RFC 9110, 8.3.1 and 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

UNICODE = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
"""Charset names that mean UTF-8, or a subset of it."""

LATIN_1 = frozenset({"iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "l1"})
"""The names of ISO-8859-1."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_QUALITIES = ("q", "qs")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A lower-case media type or range; ``quality`` is the ``q`` parameter, ``parameters`` are all others."""

    type: str
    charset: str | None = None
    quality: float = 1.0
    parameters: str = ""


def parse_media_type(text: str) -> MediaType | None:
    """Parse a media type with its parameters. Return None if the text is invalid."""
    name, *parameters = text.split(";")
    name = name.strip().lower()
    main, slash, sub = name.partition("/")
    if not (main and slash and sub) or "/" in sub or " " in name or (main == "*" and sub != "*"):
        return None
    charset = None
    quality = 1.0
    others: dict[str, str] = {}
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        key = key.strip().lower()
        value = value.strip().strip('"')
        if key == "charset":
            charset = value.lower()
        elif key == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
            if not 0 <= quality <= 1:
                return None
        if key not in _QUALITIES and _TOKEN.fullmatch(key) and _TOKEN.fullmatch(value):
            others[key] = value
    if charset not in UNICODE:
        others.pop("charset", None)
    return MediaType(name, charset, quality, "".join(f";{key}={value}" for key, value in sorted(others.items())))


def parse_accept(text: str) -> list[MediaType]:
    """Parse the ranges of an Accept header, skipping invalid ones."""
    ranges = (parse_media_type(part) for part in text.split(","))
    return [range_ for range_ in ranges if range_ is not None]


def best_range(offer: str, ranges: Iterable[MediaType]) -> MediaType | None:
    """Return the most specific range that matches an offer; of several, the one with the highest quality."""
    wildcard = offer.partition("/")[0] + "/*"
    best, found = 0, None
    for range_ in ranges:
        rank = 3 if range_.type == offer else 2 if range_.type == wildcard else 1 if range_.type == "*/*" else 0
        if rank > best or (rank and rank == best and found is not None and range_.quality > found.quality):
            best, found = rank, range_
    return found
