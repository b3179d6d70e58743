"""What stands before the paths in links: scheme, host and port, as a caller reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_facade.rest.options import RestOptions
from kafka_facade.web.forwarded import asked


def origin(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], options: RestOptions) -> str:
    """E.g. ``https://proxy.example.org:8082``.

    An advertised listener goes first: that of the request's scheme, or else the first one, for TLS may end before the
    request comes here. Then ``host.name``, with the port that was asked if the caller named one; then what was asked.
    """
    scheme, authority = asked(scope, headers, forwarded=options.forwarded)
    if options.advertised_listeners:
        urls = options.advertised_listeners
        return next((url for url in urls if url.startswith(f"{scheme}://")), urls[0]).rstrip("/")
    if options.host_name:
        host = f"[{options.host_name}]" if ":" in options.host_name else options.host_name
        port = None if authority.port is None else (scope.get("server") or (None, None))[1]
        return f"{scheme}://{host}" + (f":{port}" if port else "")
    return f"{scheme}://{authority}"
