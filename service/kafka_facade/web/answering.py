"""The requests of an HTTP/1.1 connection, which are answered in order, and the rejection that may end it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from kafka_facade.web.cycle import Cycle
from kafka_facade.web.departures import has_left, is_reset
from kafka_facade.web.reading import Reading
from kafka_facade.web.refusal import Refusal, refusal
from kafka_facade.web.timers import NO_MEMORY, Place, TimedProtocol
from kafka_facade.web.writes import JoinedWrites, UnreadAnswers

# How long (s) the rest of a rejected body is read and dropped.
_LINGER_SECONDS: Final = 1.0
_INCOMPLETE = refusal(HTTPStatus.BAD_REQUEST, "the connection was closed before the request was complete.")


class AnsweringProtocol(TimedProtocol):
    """One connection with its requests, which the parser creates and starts."""

    unread: UnreadAnswers
    # The rejection to send once earlier requests are answered.
    _refusal: Refusal | None = None
    _half_closed = False
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
        if self._place is Place.BODY and self._refusal is None:
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
            taken = not (joined.is_closing() or is_reset(joined))
        finally:
            if not taken:
                joined.abort()
                self._lose()
        if not taken:
            raise ConnectionResetError
        joined.set_write_buffer_limits()

    def _has_left(self) -> bool:
        return self._half_closed or self.transport.is_closing() or has_left(self.transport)

    def _abort(self) -> None:
        joined: Any = self.transport
        if not joined.is_closing():
            joined.abort()
            self._lose()

    async def _until_lost(self) -> None:
        if self._current is not None:
            if not self.pipeline:
                # Nothing else shows the end of the connection. Part of a large body may have paused it.
                self.flow.resume_reading()
            await self._current.until_lost()

    def _stream_body(self) -> None:
        """Record that the application reads the body as a stream, and counts what arrives."""
        if self._current is not None:
            self._current.streamed = True
            if self._current is self.cycle:
                self.arrivals.end(self)

    def _cut_off_stream(self, at_once: bool) -> None:
        """Reject the rest of a streamed body, because memory is short, and end the connection."""
        cycle = self._current
        if cycle is None or cycle.response_complete or self.transport.is_closing():
            return
        if at_once and cycle.response_started:
            joined: Any = self.transport
            joined.abort()
            self._lose()
        elif self._place is Place.BODY and self.cycle is cycle:
            self._refuse(NO_MEMORY)
        elif cycle.response_started:
            cycle.disconnected = True
            self.transport.close()
        else:
            cycle.keep_alive = False

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

    def _start(self, cycle: Cycle) -> None:
        self._current = cycle
        self._start_asgi_task(cycle, self.app)

    def on_response_complete(self) -> None:
        """Continue with the next request, or send the pending rejection."""
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
        elif self._place is not Place.BODY:
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
                self._close()
            else:
                self._say(refusal)

    def _say(self, refusal: Refusal) -> None:
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (refusal.status, refusal.status.phrase.encode(), len(refusal.body), refusal.body)
        )
        self._close()

    def _close(self) -> None:
        """Close the connection so that the caller gets what was written."""
        if self._place is not Place.BODY or self._half_closed or not self.transport.can_write_eof():
            self.transport.close()
            return
        # With unread data the kernel would reset the connection and drop the response (RFC 9112, 9.6).
        joined: Any = self.transport
        joined.flush()
        joined.write_eof()
        self.flow.go_on()
        self.loop.call_later(_LINGER_SECONDS, joined.close)
