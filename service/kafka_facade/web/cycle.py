"""One request and its answer, where uvicorn's own falls short."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Cycle(RequestResponseCycle):
    """A caller that has closed its side after the whole request still gets the answer.

    Its closing looks the same as its end, so whoever waits for a disconnection is told of one; sending goes on.
    """

    half_closed = False
    _body_delivered = False

    async def run_asgi(self, app: Any) -> None:
        """Have the request carried out. The server cancels what is left at its end, which is no fault to log."""

        async def ended(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not self.response_started:
                    raise
                self.disconnected = True
                self.transport.close()
            else:
                if self.half_closed and self.response_started and not self.response_complete:
                    # A stream that ends because its caller has closed its side needs no end.
                    self.disconnected = True
                    self.transport.close()

        await super().run_asgi(ended)

    def half_close(self) -> None:
        """The caller sends nothing more."""
        self.half_closed = True
        self.message_event.set()

    async def receive(self) -> Any:
        """A part of the body, or the disconnection."""
        if self.half_closed and self._body_delivered:
            return {"type": "http.disconnect"}
        message: Mapping[str, Any] = await super().receive()
        if message["type"] == "http.request":
            if self.half_closed and self._body_delivered:
                return {"type": "http.disconnect"}
            self._body_delivered = not message["more_body"]
        return message


class Http10Cycle(Cycle):
    """An answer without ``Content-Length`` ends with the connection: HTTP/1.0 has no chunks (RFC 9112, 6.1)."""

    _until_close = False

    async def send(self, message: Any) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                self._until_close = True
                self.keep_alive = False
                # To uvicorn it is an answer of known length, which it counts down.
                self.chunked_encoding = False
                self.expected_content_length = sys.maxsize
        elif self._until_close and not message.get("more_body", False):
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
