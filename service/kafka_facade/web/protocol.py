"""uvicorn's HTTP/1.1 protocol, extended to follow RFC 9112 and to reject invalid requests with a JSON error."""

from __future__ import annotations

import asyncio
from enum import Enum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from kafka_facade.core.overload import MESSAGE, Arrivals
from kafka_facade.web.cycle import Cycle, Http10Cycle
from kafka_facade.web.head import CHECKED_FIELDS, UNSUPPORTED_VERSION, check_head, split_target
from kafka_facade.web.options import HttpOptions
from kafka_facade.web.reading import Reading
from kafka_facade.web.refusal import Refusal, refusal
from kafka_facade.web.scope import LOST, PEER_CERTIFICATE, STREAMED_BODY, TAKEN
from kafka_facade.web.writes import JoinedWrites, UnreadAnswers, WatchedWrites

MAX_HEADER_BYTES: Final = 8192
"""The longest request line and header fields together, as in the official proxy (``max.request.header.size``)."""

_FIELD_OVERHEAD = 4
# Stop parsing while more pipelined requests than this wait for earlier ones.
_MOST_WAITING = 100
# Check that after parsing this many bytes, which is about 150 of the smallest requests.
_PIECE = 4096
_BODY_PIECE = 65_536
# How long (s) the rest of a rejected body is read and dropped.
_LINGER_SECONDS = 1.0
# Average overhead allowed for chunk sizes and extensions: per byte of data, and per chunk.
_CHUNK_FACTOR = 3
_CHUNK_OVERHEAD = 16
_BAD_REQUEST = refusal(HTTPStatus.BAD_REQUEST, "the request is not HTTP.")
_INCOMPLETE = refusal(HTTPStatus.BAD_REQUEST, "the connection was closed before the request was complete.")
_TOO_LARGE = refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
_BODY_TIMEOUT = refusal(HTTPStatus.REQUEST_TIMEOUT, "the body took too long.")
_NO_MEMORY = refusal(HTTPStatus.TOO_MANY_REQUESTS, MESSAGE)
# The parser's errors for an unknown version and for the HTTP/2 preface.
_VERSION_ERRORS = ("Invalid HTTP version", "Pause on PRI")


class _Refused(Exception):
    """Raised in a callback to stop the parser."""


class _Place(Enum):
    """The parser's state: what the next bytes belong to."""

    BETWEEN = 1
    HEAD = 2
    BODY = 3
    ELSEWHERE = 4
    """The connection was upgraded to another protocol."""


class HttpProtocolFactory:
    """Creates the protocol of each connection; pass it to uvicorn as ``http``. Picklable until first used."""

    def __init__(self, options: HttpOptions, arrivals: Arrivals | None = None) -> None:
        self._arrivals = arrivals or Arrivals()
        self._body_seconds = options.body_seconds
        self._write_seconds = options.write_seconds
        self._unread: UnreadAnswers | None = None

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> HttpProtocol:
        """Create the protocol of a new connection."""
        if self._unread is None:
            self._unread = UnreadAnswers(self._write_seconds)
        protocol = HttpProtocol(config, server_state, app_state, _loop)
        protocol.unread = self._unread
        protocol.body_seconds = self._body_seconds
        protocol.arrivals = self._arrivals
        return protocol


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    unread: UnreadAnswers
    body_seconds: float
    arrivals: Arrivals
    cycle: Cycle
    flow: Reading
    _unparsed = b""
    _place = _Place.BETWEEN
    # The number of requests begun.
    _begun = 0
    # The size in bytes of the complete fields of the current head.
    _head_bytes = 0
    # Bytes of an incomplete head that the parser may buffer; in a body, bytes that are not data (chunk overhead).
    _held = 0
    # The rejection to send once earlier requests are answered.
    _refusal: Refusal | None = None
    # Why the parser was stopped.
    _fault: Refusal | None = None
    _half_closed = False
    # The current head requests an unsupported upgrade and is parsed again without it.
    _ignoring_upgrade = False
    _body_timer: asyncio.TimerHandle | None = None
    # The request that is running, or the last one that ran.
    _current: Cycle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up a new connection."""
        joined: Any = JoinedWrites(transport, self.unread)  # type: ignore[arg-type]
        super().connection_made(joined)
        self.flow = Reading(joined)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up after the connection is lost."""
        self._stop_body_timer()
        self._lose()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._forget()

    def eof_received(self) -> Any:
        """Handle a half-close: complete requests are still answered (RFC 9112, 9.6)."""
        self._half_closed = True
        self._stop_body_timer()
        # If no response is pending, the loop closes the transport.
        joined: Any = self.transport
        joined.flush()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return None
        if self._place is _Place.BODY and self._refusal is None:
            if not self.pipeline or self.pipeline[0][0] is not cycle:
                return None
            self._refuse(_INCOMPLETE)
        for answering in self._unanswered():
            answering.half_close()
        return True

    def _peer_certificate(self) -> bytes | None:
        session: Any = self.transport.get_extra_info("ssl_object")
        certificate: bytes | None = session.getpeercert(binary_form=True)
        return certificate

    async def _until_taken(self) -> None:
        joined: Any = self.transport
        taken = False
        try:
            joined.flush()
            if not joined.is_closing() and joined.unsent():
                # By default the transport resumes the writer while its buffer is not yet empty.
                joined.set_write_buffer_limits(high=0)
                await self.flow.drain()
            taken = not joined.is_closing()
        finally:
            if not taken:
                joined.abort()
                self._lose()
        if not taken:
            raise ConnectionResetError
        joined.set_write_buffer_limits()

    async def _until_lost(self) -> None:
        if self._current is not None:
            if not self.pipeline:
                # Nothing else shows the end of the connection. Part of a large body may have paused it.
                self.flow.resume_reading()
            await self._current.until_lost()

    def _lose(self) -> None:
        """Mark the running request as disconnected, since its response cannot be sent."""
        if self._current is not None and not self._current.response_complete:
            # uvicorn marks only the last pipelined request.
            self._current.disconnected = True
            self._current.message_event.set()

    def _forget(self) -> None:
        """Drop references to requests: they refer to the connection, and a cycle would have to be garbage-collected."""
        self.pipeline.clear()
        self.cycle = self._current = None  # type: ignore[assignment]
        self.scope = self.parser = None  # type: ignore[assignment]

    def _unanswered(self) -> list[Cycle]:
        """The requests that are running or wait for earlier ones."""
        waiting: Any = [cycle for cycle, _ in self.pipeline]
        return waiting if self._current is None else [self._current, *waiting]

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the websocket protocol, which coalesces writes itself."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._refuse(_BAD_REQUEST)
            return
        self._unset_keepalive_if_required()
        joined: Any = self.transport
        joined.flush()
        watched: Any = WatchedWrites(joined.transport, self.unread)
        self.transport = watched
        self._place = _Place.ELSEWHERE
        self.connections.discard(self)
        assert self.ws_protocol_class is not None
        make: Any = self.ws_protocol_class
        protocol = make(config=self.config, server_state=self.server_state, app_state=self.app_state)
        protocol.message_seconds = self.body_seconds
        protocol.arrivals = self.arrivals
        protocol.connection_made(watched)
        watched.set_protocol(protocol)
        protocol.data_received(self._head_again())
        if not protocol.handshake_initiated:
            # uvicorn would hang if its library cannot parse the handshake, for example because of too many fields.
            self._say(_BAD_REQUEST)

    def on_message_begin(self) -> None:
        """Handle the start of a request head."""
        self._place = _Place.HEAD
        self._begun += 1
        self._head_bytes = 0
        self._checked: list[tuple[bytes, bytes]] = []
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Handle a part of the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Handle a header field, or a trailer field, which is dropped (RFC 9110, 6.5.1)."""
        self._count(len(name) + len(value) + _FIELD_OVERHEAD)
        if self._place is _Place.BODY:
            return
        name = name.lower()
        # The parser does not strip trailing white space.
        value = value.rstrip(b" \t")
        self.headers.append((name, value))
        if name in CHECKED_FIELDS:
            self._checked.append((name, value))

    def on_headers_complete(self) -> None:
        """Handle the end of a request head."""
        self._ignoring_upgrade = self.parser.should_upgrade() and not self._should_upgrade()
        version: str = self.parser.get_http_version()
        method: bytes = self.parser.get_method()
        target = split_target(self.url, method) if method != b"CONNECT" else (self.url, None)
        fault = check_head(version, method, self._checked)
        if fault is None and isinstance(target, Refusal):
            fault = target
        if fault is not None or isinstance(target, Refusal):
            self._fault = fault
            raise _Refused
        self._held = 0
        self._place = _Place.BODY
        if self.parser.should_upgrade():
            self.scope["method"] = method.decode("ascii")
            if not self._ignoring_upgrade and self._has_body():
                self._fault = _BAD_REQUEST
                raise _Refused
        else:
            self._begin(version, method, *target)

    def _has_body(self) -> bool:
        framing = [field for field in self.headers if field[0] in (b"content-length", b"transfer-encoding")]
        return any(field != (b"content-length", b"0") for field in framing)

    def _begin(self, version: str, method: bytes, target: bytes, authority: bytes | None) -> None:
        """Start the request, or queue it behind earlier ones."""
        path, _, query = target.partition(b"#")[0].partition(b"?")
        if authority is not None:
            # It takes precedence over the Host field (RFC 9112, 3.2.2).
            self.headers[:] = [field for field in self.headers if field[0] != b"host"]
            self.headers.append((b"host", authority))
        text = path.decode("ascii")
        scope = self.scope
        scope["method"] = method.decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(text) if "%" in text else text
        scope["raw_path"] = path
        scope["query_string"] = query
        scope[TAKEN] = self._until_taken  # type: ignore[typeddict-unknown-key]
        scope[LOST] = self._until_lost  # type: ignore[typeddict-unknown-key]
        if self.scheme == "https":
            scope[PEER_CERTIFICATE] = self._peer_certificate  # type: ignore[typeddict-unknown-key]
        old = version == "1.0"
        existing = self.cycle
        self.cycle = (Http10Cycle if old else Cycle)(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=not old and any(name == b"expect" for name, _ in self._checked),
            keep_alive=not old and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if existing is None or existing.response_complete:
            self._start(self.cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start(self, cycle: Cycle) -> None:
        self._current = cycle
        self._start_asgi_task(cycle, self.app)

    def on_body(self, body: bytes) -> None:
        """Handle a piece of the body."""
        self._held = max(0, self._held - _CHUNK_FACTOR * len(body) - _CHUNK_OVERHEAD)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle the end of a request."""
        self._place = _Place.BETWEEN
        self._stop_body_timer()
        if not self._ignoring_upgrade:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, with limits on how much of an incomplete request is buffered."""
        if self._refusal is None:
            self._unparsed += data
            self._parse()

    def _parse(self) -> None:
        data, self._unparsed = self._unparsed, b""
        begin = 0
        while begin < len(data) and len(self.pipeline) <= _MOST_WAITING:
            size = _BODY_PIECE if self._place is _Place.BODY else _PIECE
            begin += self._take(data[begin : begin + size])
            if self._refusal is not None or self._place is _Place.ELSEWHERE:
                return
        if begin < len(data):
            self._unparsed = data[begin:]
            self.flow.stop()

    def _parse_on(self) -> None:
        if self.transport.is_closing():
            return
        self._parse()
        if not self._unparsed and self._place is not _Place.ELSEWHERE:
            self.flow.go_on()

    def _take(self, data: bytes) -> int:
        """Parse bytes and return how many were consumed."""
        place, begun = self._place, self._begun
        # on_body reduces it again.
        self._held += len(data)
        # Keep the timer: uvicorn would cancel it while it parses.
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        taken = self._feed(data)
        self._rearm(timer, place is not _Place.BODY and self._begun == begun)
        if self._refusal is not None or self._place is _Place.BETWEEN or self._place is _Place.ELSEWHERE:
            return taken
        if self._place is _Place.HEAD:
            if self._begun > begun:
                # If other requests preceded it in this data, only the size of its complete fields is known.
                alone = place is _Place.BETWEEN and self._begun == begun + 1
                self._held = len(data.lstrip(b"\r\n")) if alone else self._head_bytes
        elif self._body_timer is None:
            self._body_timer = self.loop.call_later(self.body_seconds, self._body_timed_out)
            self.arrivals.begin(self, self._cut_off)
        if self._held > MAX_HEADER_BYTES:
            self._refuse(_TOO_LARGE)
        return taken

    def _feed(self, data: bytes) -> int:
        taken = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._ignoring_upgrade:
                self._feed(self._without_upgrade())
                taken = upgrade.args[0]
            else:
                self.handle_websocket_upgrade()
        except httptools.HttpParserError as error:
            if self._fault is None and str(error).startswith(_VERSION_ERRORS):
                self._fault = UNSUPPORTED_VERSION
            self.send_400_response("")
        return taken

    def _without_upgrade(self) -> bytes:
        """Return the current head without the upgrade, for a new parser: the old one would not parse the body."""
        self._ignoring_upgrade = False
        self._begun -= 1
        self.parser = httptools.HttpRequestParser(self)
        # As in uvicorn: data after a request with "Connection: close" is not an error.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return self._head_again(without=b"upgrade")

    def _head_again(self, without: bytes = b"") -> bytes:
        head = [b"%b %b HTTP/1.1\r\n" % (self.scope["method"].encode(), self.url)]
        head += [b"%b: %b\r\n" % field for field in self.headers if field[0] != without]
        return b"".join(head) + b"\r\n"

    def _body_timed_out(self) -> None:
        self._body_timer = None
        if self._place is not _Place.BODY:
            return
        # The application may be slow to read, or the request waits for earlier ones.
        patient = self.flow.read_paused or self.cycle.scope.get(STREAMED_BODY)
        if patient and not self.cycle.response_complete:
            self._body_timer = self.loop.call_later(self.body_seconds, self._body_timed_out)
        else:
            self._refuse(_BODY_TIMEOUT)

    def _cut_off(self) -> None:
        """Reject a request whose body is incomplete, because memory is short; a streamed body is cut off elsewhere."""
        if self._place is _Place.BODY and not self.cycle.scope.get(STREAMED_BODY):
            self._refuse(_NO_MEMORY)

    def _stop_body_timer(self) -> None:
        self.arrivals.end(self)
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _rearm(self, timer: asyncio.TimerHandle | None, waiting: bool) -> None:
        """Restart the idle timer after data.

        ``waiting`` for the rest of a request head keeps the old timer: a slow head must not extend its own deadline.
        """
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
            # The parser converts it into its own error, and uvicorn calls send_400_response.
            self._fault = _TOO_LARGE
            raise _Refused

    def send_400_response(self, msg: str) -> None:
        """Reject a request that cannot be parsed, and close the connection."""
        self._refuse(self._fault or _BAD_REQUEST)

    def on_response_complete(self) -> None:
        """Continue with the next request, or send the pending rejection."""
        if self._unparsed:
            self.loop.call_soon(self._parse_on)
        if self.pipeline and not self.transport.is_closing():
            self._current = self.pipeline[-1][0]  # type: ignore[assignment]
            super().on_response_complete()
            return
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._refusal is not None:
            self._say(self._refusal)
        elif self._half_closed:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Stop reading, answer the requests before the invalid one, then send ``refusal`` and close."""
        self._refusal = refusal
        self._stop_body_timer()
        cycle: Cycle | None = self.cycle
        if cycle is None:
            self._say(refusal)
        elif self._place is not _Place.BODY:
            if cycle.response_complete:
                self._say(refusal)
        elif self.pipeline and self.pipeline[0][0] is cycle:
            # The invalid request is still queued: drop it.
            self.pipeline.popleft()
        else:
            # Report a disconnect to the application; its output would follow the rejection.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
            else:
                self._say(refusal)

    def _say(self, refusal: Refusal) -> None:
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (refusal.status, refusal.status.phrase.encode(), len(refusal.body), refusal.body)
        )
        if self._place is not _Place.BODY or self._half_closed or not self.transport.can_write_eof():
            self.transport.close()
            return
        # With unread data the kernel would reset the connection and drop the response (RFC 9112, 9.6).
        joined: Any = self.transport
        joined.flush()
        joined.write_eof()
        self.flow.go_on()
        self.loop.call_later(_LINGER_SECONDS, joined.close)
