"""Whether the peer of a connection has closed or reset it, before the event loop learns of it."""

from __future__ import annotations

import asyncio
import select
from typing import Any, Final

_RESET: Final = getattr(select, "POLLHUP", 0) | getattr(select, "POLLERR", 0)
_CLOSED: Final = _RESET | getattr(select, "POLLRDHUP", 0)


def has_left(transport: asyncio.BaseTransport) -> bool:
    """Return whether the peer has closed its side of the connection, or reset the connection."""
    return bool(_events(transport) & _CLOSED)


def is_reset(transport: asyncio.BaseTransport) -> bool:
    """Return whether the connection is reset, such as after data has arrived at a peer that had closed it."""
    return bool(_events(transport) & _RESET)


def _events(transport: asyncio.BaseTransport) -> int:
    socket: Any = transport.get_extra_info("socket")
    if socket is None or not hasattr(select, "poll"):
        return 0
    descriptor = socket.fileno()
    if descriptor < 0:
        return _RESET
    poller = select.poll()
    poller.register(descriptor, _CLOSED)
    return next((events for _, events in poller.poll(0)), 0)
