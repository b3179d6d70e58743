"""uvicorn's websocket protocol, with bounds on how much is parsed at once, and on how long a message may take."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.streams import StreamReader

from kafka_facade.core.arrivals import Arrivals
from kafka_facade.core.overload import MESSAGE
from kafka_facade.core.time_slices import time_slice
from kafka_facade.web.scope import ABORT, ENCODED_TEXT

# Bytes to parse at once (a frame can be as short as six bytes), and parse time (s) per iteration of the loop.
_PIECE: Final = 1024
_TURN_SECONDS: Final = 0.002
# Longer texts (bytes) are sent as several fragments (RFC 6455, 5.4), each of whole characters.
_FRAGMENT: Final = 256 * 1024
# How bytes within a character of UTF-8 begin.
_CONTINUES, _CONTINUATION = 0xC0, 0x80
# Where the parser waits between frames.
_BETWEEN_FRAMES: Final = StreamReader.at_eof.__name__


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection. Data is parsed in pieces, and only while no message is queued and the peer reads.

    A message must arrive within ``message_seconds`` of its first byte.
    """

    message_seconds: float
    arrivals: Arrivals
    _message_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unparsed: deque[memoryview] = deque()
        self._scheduled = False
        self._sending = asyncio.Lock()

    def data_received(self, data: bytes) -> None:
        """Buffer and parse received bytes; the handshake is passed in whole."""
        if not self.handshake_initiated:
            super().data_received(data)
            return
        self._unparsed.append(memoryview(data))
        if not self._scheduled:
            self._parse()

    def _parse(self) -> None:
        self._scheduled = False
        ends = time.perf_counter() + _TURN_SECONDS
        while self._unparsed and self._may_parse():
            if time.perf_counter() > ends:
                self._parse_soon()
                break
            data = self._unparsed.popleft()
            if len(data) > _PIECE:
                self._unparsed.appendleft(data[_PIECE:])
            super().data_received(bytes(data[:_PIECE]))
            self._watch_message()
        if self.transport.is_closing():
            self._unparsed.clear()
        elif (bool(self._unparsed) or self._waits()) is not self.read_paused:
            self.read_paused = not self.read_paused
            (self.transport.pause_reading if self.read_paused else self.transport.resume_reading)()

    def _may_parse(self) -> bool:
        return not self._waits() and self.writable.is_set() and not self.transport.is_closing()

    def _waits(self) -> bool:
        """Whether a message is queued for the application; after it has closed, it accepts none."""
        return not self.queue.empty() and not self.close_sent

    def _watch_message(self) -> None:
        """Start the timer if a frame or a message is incomplete, else stop it."""
        # The generator in which the parser waits for more.
        waiting: Any = self.conn.parser
        while waiting.gi_yieldfrom is not None:
            waiting = waiting.gi_yieldfrom
        between = self.conn.current_size is None and waiting.__name__ == _BETWEEN_FRAMES
        if between or self.transport.is_closing():
            self._stop_message_timer()
        elif self._message_timer is None:
            self._message_timer = self.loop.call_later(self.message_seconds, self._message_timed_out)
            self.arrivals.begin(self, self._cut_off)

    def _cut_off(self) -> None:
        """Close a connection whose message is incomplete, because memory is short."""
        if not self.transport.is_closing():
            self._fail(CloseCode.TRY_AGAIN_LATER, MESSAGE)

    def _message_timed_out(self) -> None:
        self._message_timer = None
        if self.transport.is_closing():
            return
        if not self._may_parse():
            # The gateway does not read on.
            self._message_timer = self.loop.call_later(self.message_seconds, self._message_timed_out)
            return
        self._fail(CloseCode.POLICY_VIOLATION, "the message took too long.")

    def _stop_message_timer(self) -> None:
        self.arrivals.end(self)
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None

    def send_receive_event_to_app(self) -> None:
        """Queue a complete message, or close the connection if a text is not UTF-8 (RFC 6455, 8.1)."""
        self._stop_message_timer()
        if self.close_sent or self.curr_msg_data_type != "text":
            super().send_receive_event_to_app()
            return
        data, self.frames = b"".join(self.frames), []
        try:
            text = data.decode()
        except UnicodeDecodeError:
            # uvicorn would log it with a traceback, and fail if the peer has closed behind the message.
            self._fail(CloseCode.INVALID_DATA, "the message is not UTF-8.")
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close the connection because of an error, and tell the application."""
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _parse_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._parse)

    async def receive(self) -> Any:
        """Return the next message."""
        message = await self.queue.get()
        if self.queue.empty() and (self.read_paused or self._unparsed):
            self._parse_soon()
        return message

    async def send(self, message: Any) -> None:
        """Send a message. Raises ClientDisconnected if the connection has ended, unless the message closes it."""
        await self.writable.wait()
        # An invalid frame closes the connection while the application is about to send.
        if self.disconnected or (self.close_sent and self.initial_response is None):
            if message["type"] == "websocket.close":
                return
            raise ClientDisconnected
        if message["type"] != "websocket.send":
            await super().send(message)
            return
        encoded = message.get(ENCODED_TEXT)
        text = message.get("text") if encoded is None else encoded
        if text is None or len(text) <= _FRAGMENT:
            if encoded is not None:
                message = {"type": "websocket.send", "text": encoded.decode()}
            async with self._sending:
                await super().send(message)
            return
        async with self._sending:
            # Finish the message even if the sender is cancelled: no other can be sent before its end.
            data = text.encode() if isinstance(text, str) else text
            sending = asyncio.create_task(self._send_fragments(data), name="fragments of a message")
            del text, data, message, encoded
            if not await _to_the_end(sending):
                raise ClientDisconnected

    async def _send_fragments(self, text: bytes | bytearray) -> bool:
        """Send a long text in time slices and with flow control; return whether the connection still exists."""
        view, start = memoryview(text), 0
        while start < len(view):
            await time_slice()
            await self.writable.wait()
            if self.disconnected or self.close_sent or self.conn.state is not State.OPEN:
                return False
            end = start + _FRAGMENT
            while end < len(view) and view[end] & _CONTINUES == _CONTINUATION:
                end -= 1
            (self.conn.send_continuation if start else self.conn.send_text)(bytes(view[start:end]), end >= len(view))
            self.transport.write(b"".join(self.conn.data_to_send()))
            start = end
        return True

    def resume_writing(self) -> None:
        """Continue parsing when the peer reads again."""
        super().resume_writing()
        if self._unparsed:
            self._parse_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up after the connection is lost."""
        self._unparsed.clear()
        self._stop_message_timer()
        super().connection_lost(exc)

    def handle_connect(self, event: Any) -> None:
        """Handle the handshake, and start the application."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            scope: Any = self.scope
            scope[ABORT], scope[ENCODED_TEXT] = self.transport.abort, True

    def handle_close(self, event: Any) -> None:
        """Handle a close frame. What is being sent ends."""
        super().handle_close(event)
        self.writable.set()

    def shutdown(self) -> None:
        """Close the connection, because the server stops. What is being sent ends."""
        super().shutdown()
        self.writable.set()

    def handle_text(self, event: Any) -> None:
        """Handle a text message or its first fragment."""
        super().handle_text(event)
        self._join(event)

    def handle_bytes(self, event: Any) -> None:
        """Handle a binary message or its first fragment."""
        super().handle_bytes(event)
        self._join(event)

    def _join(self, event: Any) -> None:
        if not event.fin:
            self.frames: Any = [bytearray(event.data)]

    def handle_cont(self, event: Any) -> None:
        """Handle a continuation. Fragments are joined at once, because empty ones are not bounded by a size."""
        self.frames[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()


async def _to_the_end(sending: asyncio.Task[bool]) -> bool:
    """Await what sends a message; a cancellation takes effect at its end."""
    cancelled: asyncio.CancelledError | None = None
    while not sending.done():
        try:
            await asyncio.wait({sending})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return sending.result()
