"""Conversion of request bodies from ISO-8859-1 to UTF-8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


def from_latin_1(receive: Receive) -> Receive:
    """Wrap ``receive`` to return the body in UTF-8. Each byte is one character, so pieces may end anywhere."""

    async def receive_utf_8() -> Message:
        message = await receive()
        body: bytes = message.get("body", b"")
        # ASCII is the same in both encodings.
        return message if body.isascii() else {**message, "body": body.decode("latin-1").encode()}

    return receive_utf_8
