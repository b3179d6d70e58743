"""Options of the HTTP entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_facade.settings import shared
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import Address, boolean, listeners, origins, seconds, words


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """HTTP, for REST and GraphQL."""

    listeners: Sequence[Address] = setting("listeners", "http://0.0.0.0:8082", listeners("http"))
    """Addresses for REST and GraphQL, such as ``http://0.0.0.0:8082``, comma-separated."""

    idle_seconds: float = setting("idle.timeout.ms", "30000", seconds(1000))
    """Idle timeout of an HTTP connection, also for an incomplete request head."""

    body_seconds: float = shared.REQUEST_BODY_TIMEOUT.field()

    write_seconds: float = shared.RESPONSE_WRITE_TIMEOUT.field()


@dataclass(frozen=True, slots=True)
class CrossOriginOptions:
    """Pages in browsers."""

    allow_origins: Sequence[str] = setting("access.control.allow.origin", "", origins)
    """Comma-separated origins whose pages may call REST, GraphQL and its websocket from a browser, such as
    ``https://console.example.org,http://*.example.org``; ``*`` allows all. If empty, pages of other origins can neither
    read nor change anything."""

    allow_methods: Sequence[str] = setting("access.control.allow.methods", "", words)
    """Methods that pages of these origins may use in addition to simple requests; empty means ``GET,POST,HEAD``."""

    allow_headers: Sequence[str] = setting("access.control.allow.headers", "", words)
    """Request header fields that pages of these origins may set; ``*`` allows any, empty means
    ``X-Requested-With,Content-Type,Accept,Origin``."""

    expose_headers: Sequence[str] = setting("access.control.expose.headers", "", words)
    """Response header fields that pages of these origins may read in addition to the CORS-safelisted ones."""

    own_hosts: Sequence[str] = setting("access.control.own.hosts", "", words)
    """Host names under which browsers reach the gateway over plain HTTP, such as ``gateway,*.example.org``. The names
    in ``advertised.listeners`` and ``host.name``, ``localhost`` and IP addresses are always accepted. Pages under other
    names cannot change anything."""

    skip_options: bool = setting("access.control.skip.options", "true", boolean)
    """Let ``OPTIONS`` requests bypass authentication; no effect yet."""

    own_origins: Sequence[str] = shared.ADVERTISED_LISTENERS.field()

    host_name: str = shared.HOST_NAME.field()

    forwarded: bool = shared.FORWARDED.field()

    closed_path: str = ""
    """A path below which other origins may not read either; navigation to it by a link is still allowed."""
