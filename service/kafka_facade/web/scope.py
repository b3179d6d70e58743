"""What the entry and the faces tell each other in an ASGI scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

STREAMED_BODY: Final = "kafka_facade.streamed_body"
"""True where the face reads the body as a stream, whose time has a limit of its own."""

CROSS_ORIGIN: Final = "kafka_facade.cross_origin"
"""True where a page of another origin asks, which CORS doesn't allow: nothing may change for it."""

TAKEN: Final = "kafka_facade.taken"
"""How to wait until the caller's system has all that was sent; see :func:`until_taken`."""


async def until_taken(scope: Mapping[str, Any]) -> None:
    """Wait until the caller's system has all that was sent.

    ConnectionError where the connection is lost before. It is aborted where the wait is given up.
    """
    wait: Callable[[], Awaitable[None]] | None = scope.get(TAKEN)
    if wait is not None:
        await wait()
