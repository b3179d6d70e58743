"""Another worker, and whether it responds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc

from kafka_facade.core.deadlines import Deadlines, Limit
from kafka_facade.peers import wire
from kafka_facade.peers.transport import Transport

SILENCE_SECONDS: Final = 8.0
"""How long a worker may take to answer a ping; the event loop is never blocked for nearly as long."""
_PING_SECONDS: Final = 2.0


class SilentPeerError(Exception):
    """A worker has not answered a ping in time: its process is stopped, or its event loop hangs."""


class Peer:
    """The channel to another worker, and the calls in flight with it, in either direction.

    A read may last for weeks, so its deadline does not tell whether the other worker still works on it. Therefore the
    worker is pinged while there are calls: one ping for all of them, which its event loop has to answer. If it does
    not, they end.
    """

    def __init__(self, transport: Transport, address: str, deadlines: Deadlines, silence_seconds: float) -> None:
        self.channel = transport.open_channel(address)
        self._address = address
        self._deadlines = deadlines
        self._silence_seconds = silence_seconds
        self._calls: set[Limit] = set()
        self._used_at = time.monotonic()
        self._pinging = asyncio.create_task(self._ping_during_calls(), name="pings to a worker")

    @contextmanager
    def in_flight(self, seconds: float) -> Iterator[None]:
        """Cancel the block if the worker is silent. Raises SilentPeerError then, TimeoutError after ``seconds``."""
        limit = self._deadlines.limit(seconds)
        self._calls.add(limit)
        try:
            with limit:
                yield
        except TimeoutError:
            if limit in self._calls:
                raise
            raise SilentPeerError(f"the worker at {self._address} does not respond") from None
        finally:
            self._calls.discard(limit)
            self._used_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last call; 0 while there are calls."""
        return 0.0 if self._calls else time.monotonic() - self._used_at

    async def close(self) -> None:
        """Stop pinging, and close the channel."""
        self._pinging.cancel()
        await asyncio.gather(self._pinging, return_exceptions=True)
        await self.channel.close()

    async def _ping_during_calls(self) -> None:
        while True:
            await asyncio.sleep(min(_PING_SECONDS, self._silence_seconds))
            if self._calls and not await self._responds():
                while self._calls:
                    self._calls.pop().expire()

    async def _responds(self) -> bool:
        ping: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(wire.PING_PATH)
        try:
            await ping(b"", timeout=self._silence_seconds)
        except grpc.aio.AioRpcError as error:
            # gRPC itself ends the calls of a worker that has died.
            return error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        return True
