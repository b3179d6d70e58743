"""The interface between the REST face and an HTTP server: one request and its response.

Handlers use nothing else of the server. :mod:`kafka_facade.rest.asgi` implements the interface on ASGI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kafka_facade.web.body import Read

Headers = Sequence[tuple[bytes, bytes]]


class Connection(Protocol):
    """One HTTP request on a connection, and its response."""

    @property
    def method(self) -> str:
        """The request method, in upper case."""

    @property
    def path(self) -> str:
        """The requested path, percent-encoded. Raises InvalidRequest if it is not ASCII."""

    @property
    def query(self) -> bytes:
        """The query without the question mark."""

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """The request headers by lower-case name; of repeated ones the last."""

    @property
    def header_fields(self) -> Sequence[tuple[bytes, bytes]]:
        """All request headers in order."""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""

    @property
    def server(self) -> tuple[str, int | None] | None:
        """Host and port of the listener."""

    @property
    def cross_origin(self) -> bool:
        """Whether the request comes from an origin that CORS does not allow: it must not change anything."""

    @property
    def peer_certificate(self) -> bytes | None:
        """The caller's TLS certificate in DER, None without one."""

    @property
    def started(self) -> bool:
        """Whether the response has begun, so that no other one can be sent."""

    def stream_body(self) -> None:
        """Declare that the body is read as a stream, which may pause and has its own time limits."""

    def cut_off(self, *, at_once: bool = False) -> None:
        """Reject the rest of a streamed body, because memory is short, and end the connection.

        ``at_once``: drop what the caller has not read. A response that has begun stays incomplete; without one the
        caller gets status 429.
        """

    @property
    def read(self) -> Read:
        """Returns the next part of the body and whether more follow; raises ClientDisconnected."""

    def abort(self) -> None:
        """Abort the connection, because the caller takes the response too slowly."""

    async def start(self, status: int, headers: Headers) -> None:
        """Begin the response."""

    async def write(self, data: bytes) -> None:
        """Send a part of the response body, with flow control. Does nothing once the caller has left."""

    async def finish(self, data: bytes = b"") -> None:
        """Send the last part of the response body."""

    async def taken(self) -> None:
        """Wait until what was written has been handed to the network. Raises ConnectionError if that fails."""

    def has_left(self) -> bool:
        """Whether the caller has closed its side of the connection, also if :meth:`gone` does not know it yet."""

    async def gone(self) -> None:
        """Wait until the caller disconnects; call this only after the body was read."""
