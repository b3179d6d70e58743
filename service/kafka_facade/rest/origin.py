"""Scheme, host and port of links, as seen by the caller."""

from __future__ import annotations

from kafka_facade.rest.connection import Connection
from kafka_facade.rest.options import RestOptions
from kafka_facade.web.forwarded import asked


def origin(connection: Connection, options: RestOptions) -> str:
    """Return for example ``https://proxy.example.org:8082``.

    In order of precedence: an advertised listener with the request's scheme; the first advertised listener, because TLS
    may be terminated in front of the gateway; ``host.name`` with the requested port; the requested authority.
    """
    scheme, authority = asked(
        connection.scheme, connection.server, connection.header_fields, forwarded=options.forwarded
    )
    if options.advertised_listeners:
        urls = options.advertised_listeners
        return next((url for url in urls if url.startswith(f"{scheme}://")), urls[0]).rstrip("/")
    if options.host_name:
        host = f"[{options.host_name}]" if ":" in options.host_name else options.host_name
        port = None if authority.port is None else (connection.server or (None, None))[1]
        return f"{scheme}://{host}" + (f":{port}" if port else "")
    return f"{scheme}://{authority}"
