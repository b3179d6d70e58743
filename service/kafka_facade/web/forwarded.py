"""The scheme and authority that a caller requested, from the request itself or from proxy headers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from kafka_facade.web.authority import DEFAULT_PORTS, Authority, parse_authority

# Possessive quantifiers and the look-behind avoid backtracking: matching takes linear time.
_PAIR: Final = re.compile(r"""(?<!\w)(\w++)\s*+=\s*+(?:"([^"]*+)"|([^\s;,"]++))""")


def asked(
    scheme: str, server: tuple[str, int | None] | None, fields: Sequence[tuple[bytes, bytes]], *, forwarded: bool
) -> tuple[str, Authority]:
    """Return scheme and authority of a request, such as ``https`` and ``proxy.example.org:8082``.

    Without ``forwarded``, those are ``scheme`` and the Host header, or else ``server``, the address of the listener.
    With it, take those that the outermost proxy received, from ``Forwarded`` (RFC 7239) or
    ``X-Forwarded-Proto``, ``-Host`` and ``-Port``. Invalid values are ignored. ``fields`` are all header fields in
    order; of repeated ones the first is from the outermost proxy.
    """
    headers = dict(reversed(fields))
    authority = parse_authority(headers.get(b"host", b"").decode("latin-1"))
    if authority is None:
        name, port = server or ("localhost", None)
        authority = Authority(f"[{name}]" if ":" in name else name, port)
    return _forwarded(headers, scheme, authority) if forwarded else (scheme, authority)


def _forwarded(headers: Mapping[bytes, bytes], scheme: str, authority: Authority) -> tuple[str, Authority]:
    outermost = _first(headers, b"forwarded")
    pairs = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(outermost)}
    proto = (pairs.get("proto") or _first(headers, b"x-forwarded-proto")).lower()
    if proto in DEFAULT_PORTS:
        scheme = proto
    standard = _host(pairs.get("host", ""))
    if standard is not None:
        return scheme, standard
    named = _host(_first(headers, b"x-forwarded-host"))
    port = _first(headers, b"x-forwarded-port")
    found = named or authority
    if (named is None or named.port is None) and port.isascii() and port.isdigit() and len(port) <= 5:
        number = int(port)
        if 0 < number <= 65535:
            found = Authority(found.host, None if number == DEFAULT_PORTS[scheme] else number)
    return scheme, found


def _host(text: str) -> Authority | None:
    found = parse_authority(text)
    return None if found is None or found.port == 0 else found


def _first(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").partition(",")[0].strip()
