"""HTTP/1.1 as uvicorn speaks it, with JSON for requests that are too broken to reach the application."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kafka_facade.rest.joined_writes import JoinedWrites

MAX_HEADER_BYTES: Final = 8192
"""The longest request line and header fields together, as in the official proxy (``max.request.header.size``)."""

_FIELD_OVERHEAD = 4
_BAD_REQUEST = (b"400 Bad Request", b'{"error_code":400,"message":"HTTP 400 Bad Request: the request is not HTTP."}')
_TOO_LARGE = (
    b"431 Request Header Fields Too Large",
    b'{"error_code":431,"message":"HTTP 431 Request Header Fields Too Large"}',
)


class _HeaderTooLarge(Exception):
    pass


class JsonErrorHttpProtocol(HttpToolsProtocol):
    """Give it to uvicorn as ``http``."""

    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection."""
        joined: Any = JoinedWrites(transport)  # type: ignore[arg-type]
        super().connection_made(joined)

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from now on, which joins its writes itself."""
        joined: Any = self.transport
        joined.flush()
        self.transport = joined.transport
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """A new request: its head comes now."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        self._count(len(name) + len(value) + _FIELD_OVERHEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes from the caller; a field that doesn't end is cut off before it fills the memory."""
        super().data_received(data)
        if self._in_head and len(data) > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._head_bytes = MAX_HEADER_BYTES + 1
            self.send_400_response("")

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEADER_BYTES:
            # The parser turns it into an error of its own, which ends in send_400_response.
            raise _HeaderTooLarge

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that can't be parsed, and close the connection."""
        status, body = _TOO_LARGE if self._head_bytes > MAX_HEADER_BYTES else _BAD_REQUEST
        self._in_head = False
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, len(body), body)
        )
        self.transport.close()
