"""Reading of request bodies, part by part, independent of the server's interface."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from kafka_facade.core.outcome import CallerGone

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

Read = Callable[[], Awaitable[tuple[bytes, bool]]]
"""Returns the next part of a body and whether more follow; not called after the last. Raises ClientDisconnected."""


class ClientDisconnected(CallerGone):
    """The caller has closed the connection."""


def from_asgi(receive: Receive) -> Read:
    """Return a reader over the ``receive`` of an ASGI application."""

    async def read() -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        return message.get("body", b""), message.get("more_body", False)

    return read


def to_asgi(read: Read) -> Receive:
    """Return a ``receive`` for an ASGI application that reads one body."""

    async def receive() -> Message:
        try:
            body, more = await read()
        except ClientDisconnected:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": more}

    return receive
