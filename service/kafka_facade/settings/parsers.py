"""Parsers of values in settings. Each raises ValueError with what it expects."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

# A host, also an international or an IPv6 one, and an optional port.
_HOST: Final = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
# What a browser says of a page; a star stands for any part of it. Other text would match no page.
_ORIGIN: Final = re.compile(r"\*|null|[a-z*][a-z0-9+.*-]*://(?:[\w.*-]+|\[[0-9a-f:.*]+\])(?::[0-9*]+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def integer(lowest: int, highest: int = 2**31 - 1) -> Callable[[str], int]:
    """Return a parser of whole numbers."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return value

    return parse


def size(lowest: int) -> Callable[[str], int]:
    """Return a parser of a number of bytes, which may exceed 2 GiB."""
    return integer(lowest, 2**63 - 1)


def seconds(lowest_ms: int) -> Callable[[str], float]:
    """Return a parser that takes milliseconds, as all settings do, and returns seconds."""
    milliseconds = integer(lowest_ms)
    return lambda text: milliseconds(text) / 1000


def boolean(text: str) -> bool:
    """Parse ``true`` or ``false``."""
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def words(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list; it may be empty."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def origins(text: str) -> tuple[str, ...]:
    """Parse comma-separated origins with stars; the list may be empty."""
    entries = words(text)
    if not all(entry.isascii() and _ORIGIN.fullmatch(entry) for entry in entries):
        raise ValueError("comma-separated origins such as https://console.example.org or http://*.example.org, or *")
    return entries


def one_of(*values: str) -> Callable[[str], str]:
    """Return a parser of one of the ``values``."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return text

    return parse


def path(text: str) -> str:
    """Parse the path of a URL, without a slash at its end."""
    if not text.startswith("/") or text == "/" or text.endswith("/"):
        raise ValueError("a path such as /graphql")
    return text


def urls(text: str) -> tuple[str, ...]:
    """Parse comma-separated HTTP URLs."""
    entries = words(text)
    if not all(map(_is_url, entries)):
        raise ValueError("comma-separated URLs with http:// or https:// and a host")
    return entries


def public_urls(text: str) -> tuple[str, ...]:
    """Parse URLs that callers see."""
    entries = urls(text)
    if any("@" in urlsplit(entry).netloc for entry in entries):
        raise ValueError("URLs without user and password, since they appear in responses")
    return entries


def listeners(scheme: str, *, optional_scheme: bool = False) -> Callable[[str], tuple[Address, ...]]:
    """Return a parser of comma-separated addresses with a scheme."""

    def parse(text: str) -> tuple[Address, ...]:
        return tuple(_listener(_with_scheme(entry), scheme) for entry in words(text))

    def _with_scheme(entry: str) -> str:
        return f"{scheme}://{entry}" if optional_scheme and "://" not in entry else entry

    return parse


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = _HOST.fullmatch(parts.netloc.rpartition("@")[2])
        # urlsplit drops tabs and line breaks.
        return parts.scheme in ("http", "https") and host is not None and parts.port != 0 and text.isprintable()
    except ValueError:
        return False


def _listener(entry: str, scheme: str) -> Address:
    expected = f"comma-separated {scheme}://host:port entries"
    try:
        parts = urlsplit(entry)
        port = parts.port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme != scheme or port is None or parts.path not in ("", "/") or "@" in parts.netloc:
        raise ValueError(expected)
    return Address(parts.hostname or "0.0.0.0", port)
