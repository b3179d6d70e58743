"""Calls that end because their client takes a large message too slowly, while others wait for memory."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import unquote

import grpc

from kafka_facade.core.errors import TooManyRequests
from kafka_facade.core.outgoing import SLOW, use_peer
from kafka_facade.rpc.errors import abort

# How long (s) the status may take: gRPC sends it after the message.
_STATUS_SECONDS: Final = 2.0
_DESCRIPTORS: Final = "/dev/fd"
# How addresses of IPv4 begin on sockets of IPv6 (RFC 4291, 2.5.5.2).
_MAPPED: Final = "::ffff:"


@asynccontextmanager
async def taking(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Scope of the messages of one call. If it is cut off, it ends with RESOURCE_EXHAUSTED, or the connection ends."""
    task, is_cut_off = asyncio.current_task(), False

    def cut_off() -> None:
        nonlocal is_cut_off
        is_cut_off = True
        if task is not None:
            task.cancel()

    # Once the call is aborted, gRPC may not know it any more.
    peer = context.peer()
    use_peer(peer, cut_off)
    try:
        yield
    except asyncio.CancelledError:
        # gRPC cancels the task too, when the client is gone.
        if not is_cut_off or task is None or task.uncancel():
            raise
    else:
        return
    try:
        async with asyncio.timeout(_STATUS_SECONDS):
            await abort(context, TooManyRequests(SLOW))
    except (TimeoutError, asyncio.CancelledError):
        # While gRPC is sending a message it takes no status, and it has no means to drop the message.
        # OSError: no descriptor is left. The status must not be set again for it.
        with suppress(OSError):
            await asyncio.to_thread(shut_down, peer)
        raise asyncio.CancelledError from None


def close_connection(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """Begin to close the connection of a call."""
    asyncio.get_running_loop().run_in_executor(None, shut_down, context.peer())


def shut_down(peer: str) -> None:
    """Shut down the connection to a client, such as ``ipv4:127.0.0.1:1234`` or ``ipv6:%5B::1%5D:1234``.

    Do nothing for a client without a port, such as one of a Unix socket, whose connection cannot be told from others.
    """
    host, _, port = unquote(peer).partition(":")[2].rpartition(":")
    if not port.isdecimal():
        return
    wanted = host.strip("[]"), int(port)
    for name in os.listdir(_DESCRIPTORS):
        # A duplicate, because gRPC may close its own meanwhile.
        with suppress(OSError, ValueError), _duplicate(int(name)) as connection:
            address, number = connection.getpeername()[:2]
            if (address.removeprefix(_MAPPED), number) == wanted:
                connection.shutdown(socket.SHUT_RDWR)


def _duplicate(descriptor: int) -> socket.socket:
    duplicate = os.dup(descriptor)
    try:
        return socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise
