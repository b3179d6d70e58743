"""The connection of the REST face on ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import quote

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.rest.connection import Headers
from kafka_facade.web.body import Message, Receive, from_asgi
from kafka_facade.web.scope import (
    CROSS_ORIGIN,
    abort,
    cut_off,
    has_left,
    peer_certificate,
    stream_body,
    until_taken,
)

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class AsgiConnection:
    """Implements :class:`kafka_facade.rest.connection.Connection` for one ASGI request."""

    __slots__ = ("_receive", "_scope", "_send", "headers", "method", "read", "started")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.read = from_asgi(receive)
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started = False

    @property
    def header_fields(self) -> Sequence[tuple[bytes, bytes]]:
        """All request headers in order."""
        found: Sequence[tuple[bytes, bytes]] = self._scope["headers"]
        return found

    @property
    def path(self) -> str:
        """The requested path, percent-encoded. Raises InvalidRequest if it is not ASCII."""
        raw: Any = self._scope.get("raw_path")
        if raw is None:
            return quote(self._scope["path"])
        try:
            return bytes(raw).decode("ascii")
        except UnicodeDecodeError:
            raise InvalidRequest("Bad URI: the path isn't percent-encoded.") from None

    @property
    def query(self) -> bytes:
        """The query without the question mark."""
        query: bytes = self._scope.get("query_string", b"")
        return query

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "https" if self._scope.get("scheme") == "https" else "http"

    @property
    def server(self) -> tuple[str, int | None] | None:
        """Host and port of the listener."""
        server: tuple[str, int | None] | None = self._scope.get("server")
        return server

    @property
    def cross_origin(self) -> bool:
        """Whether the request comes from an origin that CORS does not allow."""
        return bool(self._scope.get(CROSS_ORIGIN))

    @property
    def peer_certificate(self) -> bytes | None:
        """The caller's TLS certificate in DER, None without one."""
        return peer_certificate(self._scope)

    def stream_body(self) -> None:
        """Declare that the body is read as a stream."""
        stream_body(self._scope)

    def cut_off(self, *, at_once: bool = False) -> None:
        """Reject the rest of a streamed body, because memory is short, and end the connection."""
        cut_off(self._scope, at_once=at_once)

    def abort(self) -> None:
        """Abort the connection, because the caller takes the response too slowly."""
        abort(self._scope)

    async def start(self, status: int, headers: Headers) -> None:
        """Begin the response."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a part of the response body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last part of the response body."""
        await self._send({"type": "http.response.body", "body": data})

    async def taken(self) -> None:
        """Wait until what was written has been handed to the network. Raises ConnectionError if that fails."""
        await until_taken(self._scope)

    def has_left(self) -> bool:
        """Whether the caller has closed its side of the connection."""
        return has_left(self._scope)

    async def gone(self) -> None:
        """Wait until the caller disconnects."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
