"""What stands before the paths in links: scheme, host and port, as a caller reaches them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from kafka_facade.rest.options import RestOptions

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PAIR = re.compile(r"""\s*(\w+)\s*=\s*(?:"([^"]*)"|([^\s;,"]+))""")


def origin(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], options: RestOptions) -> str:
    """E.g. ``https://proxy.example.org:8082``.

    An advertised listener goes first: that of the request's scheme, or else the first one, for TLS may end before the
    request comes here. Then ``host.name``, with the port that was asked if the caller named one; then what was asked.
    """
    scheme, authority = _asked(scope, headers, forwarded=options.forwarded)
    if options.advertised_listeners:
        urls = options.advertised_listeners
        return next((url for url in urls if url.startswith(f"{scheme}://")), urls[0]).rstrip("/")
    if options.host_name:
        host = f"[{options.host_name}]" if ":" in options.host_name else options.host_name
        port = (scope.get("server") or (None, None))[1] if _port(authority) else None
        return f"{scheme}://{host}" + (f":{port}" if port else "")
    return f"{scheme}://{authority}"


def _asked(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], *, forwarded: bool) -> tuple[str, str]:
    scheme = str(scope.get("scheme", "http"))
    authority = headers.get(b"host", b"").decode("latin-1")
    if not authority:
        name, port = scope.get("server") or ("localhost", None)
        authority = f"{name}:{port}" if port else str(name)
    return _forwarded(headers, scheme, authority) if forwarded else (scheme, authority)


def _forwarded(headers: Mapping[bytes, bytes], scheme: str, authority: str) -> tuple[str, str]:
    """What the outermost proxy was asked: ``Forwarded`` (RFC 7239), or ``X-Forwarded-Proto``, ``-Host``, ``-Port``."""
    outermost = _first(headers, b"forwarded")
    pairs = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(outermost)}
    proto = (pairs.get("proto") or _first(headers, b"x-forwarded-proto")).lower()
    if proto in _DEFAULT_PORTS:
        scheme = proto
    host = pairs.get("host") or _first(headers, b"x-forwarded-host")
    port = _first(headers, b"x-forwarded-port")
    if host:
        authority = host
    if port.isascii() and port.isdigit() and not pairs.get("host") and not _port(host):
        name = authority.removesuffix(f":{_port(authority)}")
        authority = name if int(port) == _DEFAULT_PORTS.get(scheme) else f"{name}:{int(port)}"
    return scheme, authority


def _first(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").partition(",")[0].strip()


def _port(authority: str) -> int | None:
    try:
        return urlsplit(f"//{authority}").port
    except ValueError:
        return None
