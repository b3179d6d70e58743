"""Parsing of host and port in a ``Host`` field, a request target or a proxy's header (RFC 3986, 3.2)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LONGEST = 262
# Without percent-encoding and sub-delimiters: they do not occur in DNS names, and links would have to escape them.
_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,255}|\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\])(?::(?P<port>[0-9]{0,5}))?")


@dataclass(frozen=True, slots=True)
class Authority:
    """``host`` is unchanged, with an IPv6 address in brackets; ``port`` is None if absent."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def endpoint(self, scheme: str) -> tuple[str, int | None]:
        """Host and port for comparisons, with the default port of the scheme if none is given."""
        return self.host.lower(), DEFAULT_PORTS.get(scheme) if self.port is None else self.port


def parse_authority(text: str) -> Authority | None:
    """Parse ``host`` or ``host:port``. Return None for anything else, such as user information."""
    return _parse(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=512)
def _parse(text: str) -> Authority | None:
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    if match["ipv6"] is not None:
        try:
            ipaddress.IPv6Address(match["ipv6"])
        except ValueError:
            return None
    port = int(match["port"]) if match["port"] else None
    return None if port is not None and port > 65535 else Authority(match["host"], port)
