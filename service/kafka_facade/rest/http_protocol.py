"""HTTP/1.1 as uvicorn speaks it, with JSON for requests that are too broken to reach the application."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

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


class _Place(Enum):
    """Where in the stream of requests the bytes that come next are."""

    BETWEEN = 1
    HEAD = 2
    BODY = 3
    ELSEWHERE = 4
    """The connection speaks another protocol."""


class JsonErrorHttpProtocol(HttpToolsProtocol):
    """Give it to uvicorn as ``http``."""

    _place = _Place.BETWEEN
    # The requests that have begun.
    _begun = 0
    # The fields of the present head that are complete.
    _head_bytes = 0
    # What the parser may hold on to: of a head that isn't complete, or of a body since its last piece.
    _held = 0
    # What is still to be said once the requests before are answered.
    _refusal: tuple[bytes, bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection."""
        joined: Any = JoinedWrites(transport)  # type: ignore[arg-type]
        super().connection_made(joined)
        self._arm()

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from now on, which joins its writes itself."""
        joined: Any = self.transport
        joined.flush()
        self.transport = joined.transport
        self._place = _Place.ELSEWHERE
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """A new request: its head comes now."""
        self._place = _Place.HEAD
        self._begun += 1
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer."""
        self._count(len(name) + len(value) + _FIELD_OVERHEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        super().on_headers_complete()
        self._place = _Place.BODY
        self._held = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._held = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._place = _Place.BETWEEN
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes from the caller; what isn't complete is cut off before it fills the memory."""
        if self._refusal is not None:
            return
        place, begun = self._place, self._begun
        # A piece of a body sets it back.
        self._held += len(data)
        # Or it would be cancelled below.
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        super().data_received(data)
        self._rearm(timer, place is not _Place.BODY and self._begun == begun)
        if self._place is _Place.BETWEEN or self._refusal is not None:
            return
        if self._begun > begun and self._place is _Place.HEAD:
            # Where there was more in front of it, how much of it has come is known of complete fields only.
            alone = place is _Place.BETWEEN and self._begun == begun + 1
            self._held = len(data.lstrip(b"\r\n")) if alone else self._head_bytes
        if self._held > MAX_HEADER_BYTES:
            self._refuse(_TOO_LARGE)

    def _rearm(self, timer: asyncio.TimerHandle | None, waiting: bool) -> None:
        """After bytes came: the caller has so long for the next ones, but ``waiting``, for a head, only as before."""
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self._place is not _Place.ELSEWHERE and not self.transport.is_closing():
            if timer is not None and waiting:
                self.timeout_keep_alive_task = timer
                return
            self._arm()
        if timer is not None:
            timer.cancel()

    def _arm(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEADER_BYTES:
            # The parser turns it into an error of its own, which ends in send_400_response.
            raise _HeaderTooLarge

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that can't be parsed, and close the connection."""
        self._refuse(_TOO_LARGE if self._head_bytes > MAX_HEADER_BYTES else _BAD_REQUEST)

    def on_response_complete(self) -> None:
        """A request is answered: it is the turn of the next, or of the refusal."""
        last = not self.pipeline
        super().on_response_complete()
        if last and self._refusal is not None and not self.transport.is_closing():
            self._say(self._refusal)

    def _refuse(self, refusal: tuple[bytes, bytes]) -> None:
        """Read nothing more; answer the requests before the broken one, then say ``refusal`` and close."""
        self._refusal = refusal
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None:
            self._say(refusal)
        elif self._place is not _Place.BODY:
            if cycle.response_complete:
                self._say(refusal)
        elif self.pipeline and self.pipeline[0][0] is cycle:
            # It waits for those before it, and won't be carried out.
            self.pipeline.popleft()
        else:
            # To the application the caller is gone: what it still sends would come after the refusal.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
            else:
                self._say(refusal)

    def _say(self, refusal: tuple[bytes, bytes]) -> None:
        status, body = refusal
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, len(body), body)
        )
        self.transport.close()
