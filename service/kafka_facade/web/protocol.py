"""uvicorn's HTTP/1.1 protocol, extended to follow RFC 9112 and to reject invalid requests with a JSON error."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from kafka_facade.core.arrivals import Arrivals
from kafka_facade.web.answering import AnsweringProtocol
from kafka_facade.web.cycle import Cycle, Http10Cycle
from kafka_facade.web.head import CHECKED_FIELDS, UNSUPPORTED_VERSION, check_head, split_target
from kafka_facade.web.options import HttpOptions
from kafka_facade.web.refusal import Refusal, refusal
from kafka_facade.web.scope import ABORT, CUT_OFF, LEFT, LOST, PEER_CERTIFICATE, STREAM_BODY, TAKEN
from kafka_facade.web.timers import Place
from kafka_facade.web.writes import UnreadAnswers, WatchedWrites

MAX_HEADER_BYTES: Final = 8192
"""The longest request line and header fields together, as in the official proxy (``max.request.header.size``)."""

_FIELD_OVERHEAD = 4
# Stop parsing while more pipelined requests than this wait for earlier ones.
_MOST_WAITING = 100
# Check that after parsing this many bytes, which is about 150 of the smallest requests.
_PIECE = 4096
_BODY_PIECE = 65_536
# Average overhead allowed for chunk sizes and extensions: per byte of data, and per chunk.
_CHUNK_FACTOR = 3
_CHUNK_OVERHEAD = 16
_BAD_REQUEST = refusal(HTTPStatus.BAD_REQUEST, "the request is not HTTP.")
_TOO_LARGE = refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
# The parser's errors for an unknown version and for the HTTP/2 preface.
_VERSION_ERRORS = ("Invalid HTTP version", "Pause on PRI")


class _Refused(Exception):
    """Raised in a callback to stop the parser."""


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


class HttpProtocol(AnsweringProtocol):
    """One connection with its parser."""

    _unparsed = b""
    # The number of requests begun.
    _begun = 0
    # The size in bytes of the complete fields of the current head.
    _head_bytes = 0
    # Bytes of an incomplete head that the parser may buffer; in a body, bytes that are not data (chunk overhead).
    _held = 0
    # Why the parser was stopped.
    _fault: Refusal | None = None
    # The current head requests an unsupported upgrade and is parsed again without it.
    _ignoring_upgrade = False

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
        self._place = Place.ELSEWHERE
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
        # The connection does not tell this protocol when it is lost.
        self._forget()

    def on_message_begin(self) -> None:
        """Handle the start of a request head."""
        self._place = Place.HEAD
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
        if self._place is Place.BODY:
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
        self._place = Place.BODY
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
        scope[LEFT] = self._has_left  # type: ignore[typeddict-unknown-key]
        scope[STREAM_BODY] = self._stream_body  # type: ignore[typeddict-unknown-key]
        scope[ABORT] = self._abort  # type: ignore[typeddict-unknown-key]
        scope[CUT_OFF] = self._cut_off_stream  # type: ignore[typeddict-unknown-key]
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

    def on_body(self, body: bytes) -> None:
        """Handle a piece of the body."""
        self._held = max(0, self._held - _CHUNK_FACTOR * len(body) - _CHUNK_OVERHEAD)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle the end of a request."""
        self._place = Place.BETWEEN
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
            size = _BODY_PIECE if self._place is Place.BODY else _PIECE
            begin += self._take(data[begin : begin + size])
            if self._refusal is not None or self._place is Place.ELSEWHERE:
                return
        if begin < len(data):
            self._unparsed = data[begin:]
            self.flow.stop()

    def _parse_on(self) -> None:
        if self.transport.is_closing():
            return
        self._parse()
        if not self._unparsed and self._place is not Place.ELSEWHERE:
            self.flow.go_on()

    def _take(self, data: bytes) -> int:
        """Parse bytes and return how many were consumed."""
        place, begun = self._place, self._begun
        # on_body reduces it again.
        self._held += len(data)
        # Keep the timer: uvicorn would cancel it while it parses.
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        taken = self._feed(data)
        self._rearm(timer, place is not Place.BODY and self._begun == begun)
        if self._refusal is not None or self._place is Place.BETWEEN or self._place is Place.ELSEWHERE:
            return taken
        if self._place is Place.HEAD:
            if self._begun > begun:
                # If other requests preceded it in this data, only the size of its complete fields is known.
                alone = place is Place.BETWEEN and self._begun == begun + 1
                self._held = len(data.lstrip(b"\r\n")) if alone else self._head_bytes
        else:
            self._start_body_timer()
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
        """Parse on, and continue with the next request, or send the pending rejection."""
        if self._unparsed:
            self.loop.call_soon(self._parse_on)
        super().on_response_complete()
