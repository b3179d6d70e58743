"""Turns of operations with large responses: all entries of a list begin in one iteration of the event loop."""

from __future__ import annotations

import asyncio
from typing import Final

from kafka_facade.core.errors import TooManyRequests

# Maximum number of operations that build large responses at a time.
_AT_A_TIME: Final = 2
# A response is large if its lists have more entries than this in all.
_FEW_ENTRIES: Final = 50
# Maximum number of operations that wait for their turn.
_MOST_WAITING: Final = 100
_WAIT_SECONDS: Final = 30.0
_TOO_MANY: Final = "Too many large responses are being built. Try again later."


class Turns:
    """The turns of all operations."""

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(_AT_A_TIME)
        self.waiting = 0


class Turn:
    """The turn of one operation, which it takes once its lists are long."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._entries = 0
        self._taking: asyncio.Task[None] | None = None
        self.needed = True
        """Whether the operation takes a turn. A subscription does not: it would keep it while nobody reads."""

    async def take(self, entries: int) -> None:
        """Wait for the turn, before a list with so many entries is completed.

        Raises TooManyRequests after 30 s, and if too many operations wait.
        """
        self._entries += entries
        if self._entries <= _FEW_ENTRIES or not self.needed:
            return
        if self._taking is None:
            self._taking = asyncio.create_task(self._take(), name="turn of a large response")
        # The lists of the operation have it in common: one that is cancelled leaves it to the others.
        await asyncio.shield(self._taking)

    async def _take(self) -> None:
        if self._turns.waiting >= _MOST_WAITING:
            raise TooManyRequests(_TOO_MANY)
        self._turns.waiting += 1
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._turns.free.acquire()
        except TimeoutError:
            raise TooManyRequests(_TOO_MANY) from None
        finally:
            self._turns.waiting -= 1

    def end(self) -> None:
        """Give the turn back, if it was taken."""
        taking, self._taking, self._entries = self._taking, None, 0
        if taking is None:
            return
        if taking.done() and not taking.cancelled() and taking.exception() is None:
            self._turns.free.release()
        elif not taking.done():
            taking.add_done_callback(self._give_back)
            taking.cancel()

    def _give_back(self, taken: asyncio.Task[None]) -> None:
        """Release a turn that came while it was given up."""
        if not taken.cancelled() and taken.exception() is None:
            self._turns.free.release()
