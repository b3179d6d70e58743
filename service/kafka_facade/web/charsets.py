"""Request bodies in ISO-8859-1: they go on as UTF-8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


def from_latin_1(receive: Receive) -> Receive:
    """``receive`` with the body in UTF-8. Each byte is a character, so that pieces may end anywhere."""

    async def receive_utf_8() -> Message:
        message = await receive()
        body: bytes = message.get("body", b"")
        # All that is ASCII is the same in both.
        return message if body.isascii() else {**message, "body": body.decode("latin-1").encode()}

    return receive_utf_8
