"""Extensions of uvicorn's request/response cycle."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
# Interval (s) of interim responses to a half-closed connection; the system of a caller that is gone rejects them.
_INTERIM_SECONDS: Final = 1.0


class Cycle(RequestResponseCycle):
    """A cycle that still answers a caller that half-closes the connection after its request.

    A half-close cannot be told from a disconnect, so ``receive`` reports a disconnect, but sending continues.
    """

    half_closed = False
    # The application reads the body as a stream.
    streamed = False
    # Whether the caller understands interim responses.
    _interim = True
    _body_delivered = False

    async def run_asgi(self, app: Any) -> None:
        """Run the application. Do not log the expected cancellation at shutdown, or for a caller that has left."""

        async def ended(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                # uvicorn does not start responses to callers that have left.
                if not (self.response_started or self.disconnected):
                    raise
                self.disconnected = True
                self.transport.close()
            else:
                if self.half_closed and self.response_started and not self.response_complete:
                    # A response stream that ends because the caller has closed needs no final chunk.
                    self.disconnected = True
                    self.transport.close()

        await super().run_asgi(ended)

    def half_close(self) -> None:
        """Record that the caller has closed its sending side."""
        self.half_closed = True
        self.message_event.set()

    async def receive(self) -> Any:
        """Return a part of the body, or the disconnect event."""
        if self.half_closed and self._body_delivered:
            return {"type": "http.disconnect"}
        message: Mapping[str, Any] = await super().receive()
        if message["type"] == "http.request":
            if self.half_closed and self._body_delivered:
                return {"type": "http.disconnect"}
            self._body_delivered = not message["more_body"]
        return message

    async def until_lost(self) -> None:
        """Wait until the connection is lost; call this before the response begins, and after the body was read.

        A half-close looks like a disconnect. Interim responses, which a caller ignores (RFC 9110, 15.2), tell them
        apart after a second or two.
        """
        try:
            while not (self.disconnected or self.response_started):
                try:
                    async with asyncio.timeout(_INTERIM_SECONDS if self.half_closed and self._interim else None):
                        await self.message_event.wait()
                except TimeoutError:
                    self.transport.write(_INTERIM)
                self.message_event.clear()
        finally:
            # Wake a later call of ``receive``.
            self.message_event.set()


class Http10Cycle(Cycle):
    """A cycle for HTTP/1.0, which has no chunked coding: a response without a length ends at close (RFC 9112, 6.1)."""

    _interim = False
    _until_close = False

    async def send(self, message: Any) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                self._until_close = True
                self.keep_alive = False
                # Make uvicorn send it as a response of known length, which it counts down.
                self.chunked_encoding = False
                self.expected_content_length = sys.maxsize
        elif self._until_close and not message.get("more_body", False):
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
