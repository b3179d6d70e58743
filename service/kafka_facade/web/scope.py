"""Keys by which this package and the faces communicate in the ASGI scope."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

STREAM_BODY: Final = "kafka_facade.stream_body"
"""A function for :func:`stream_body`."""

CUT_OFF: Final = "kafka_facade.cut_off"
"""A function for :func:`cut_off`."""

ABORT: Final = "kafka_facade.abort"
"""A function for :func:`abort`."""

ENCODED_TEXT: Final = "kafka_facade.encoded_text"
"""True if the server takes websocket messages with their text in UTF-8, bytes or a bytearray, under this key."""

CROSS_ORIGIN: Final = "kafka_facade.cross_origin"
"""True if the request comes from an origin that CORS does not allow: it must not change anything."""

TAKEN: Final = "kafka_facade.taken"
"""A coroutine function for :func:`until_taken`."""

LOST: Final = "kafka_facade.lost"
"""A coroutine function for :func:`until_lost`."""

LEFT: Final = "kafka_facade.left"
"""A function for :func:`has_left`."""

PEER_CERTIFICATE: Final = "kafka_facade.peer_certificate"
"""A function for :func:`peer_certificate`."""


def stream_body(scope: Mapping[str, Any]) -> None:
    """Declare that the body is read as a stream, which has its own limits on time and memory."""
    declare: Callable[[], None] | None = scope.get(STREAM_BODY)
    if declare is not None:
        declare()


def cut_off(scope: Mapping[str, Any], *, at_once: bool = False) -> None:
    """Reject the rest of a streamed body, because memory is short, and end the connection.

    ``at_once``: drop what the caller has not read of a response that has begun.
    """
    end: Callable[[bool], None] | None = scope.get(CUT_OFF)
    if end is not None:
        end(at_once)


def abort(scope: Mapping[str, Any]) -> None:
    """Abort the connection, because the peer takes a large response too slowly."""
    end: Callable[[], None] | None = scope.get(ABORT)
    if end is not None:
        end()


async def until_taken(scope: Mapping[str, Any]) -> None:
    """Wait until the response has been handed to the network.

    Raises ConnectionError if the connection is lost. The connection is aborted if the wait is cancelled.
    """
    wait: Callable[[], Awaitable[None]] | None = scope.get(TAKEN)
    if wait is not None:
        await wait()


async def until_lost(scope: Mapping[str, Any]) -> None:
    """Wait until the connection is lost; a half-close is no loss.

    Call this after the body was read, and end the wait before the response begins.
    """
    wait: Callable[[], Awaitable[None]] | None = scope.get(LOST)
    if wait is None:
        # This server does not report lost connections.
        await asyncio.get_running_loop().create_future()
    else:
        await wait()


def has_left(scope: Mapping[str, Any]) -> bool:
    """Return whether the caller has closed its side of the connection, also if the event loop does not know it yet."""
    look: Callable[[], bool] | None = scope.get(LEFT)
    return look is not None and look()


def peer_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """Return the TLS certificate that the caller presented, in DER; None without one."""
    read: Callable[[], bytes | None] | None = scope.get(PEER_CERTIFICATE)
    return None if read is None else read()
