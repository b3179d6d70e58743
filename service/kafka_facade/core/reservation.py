"""The memory of one request or response, as a part of a budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

from kafka_facade.core.errors import FacadeError, TooManyRequests
from kafka_facade.core.memory_budget import SMALL, TOO_MANY, Holder, MemoryBudget

# Maximum number of requests in progress that grow.
_MOST_GROWING: Final = 8
# A request that waits for Kafka, or for its caller, for longer than this counts apart from the budget.
_SLOW_SECONDS: Final = 1.0


class Reservation(Holder):
    """The part of the budget that a request holds. Requests on one connection have the same ``caller``."""

    __slots__ = ("_budget", "_failed", "_size", "_taking", "_timer", "_waits")

    def __init__(self, budget: MemoryBudget, caller: object) -> None:
        self._budget = budget
        super().__init__(caller)
        self._size = 0
        self._taking = asyncio.Lock()
        self._failed = False
        self._waits = 0
        self._timer: asyncio.TimerHandle | None = None

    def another(self) -> Reservation:
        """Return an empty reservation for another request of the same caller."""
        return Reservation(self._budget, self.caller)

    async def resize(self, size: int, *, lasting: bool = False) -> None:
        """Hold so many bytes, none if they are few. An empty reservation waits for them, see MemoryBudget.take."""
        size = min(size, self._budget.total) if size > SMALL else 0
        if self._size:
            held, self._size = self._size, size
            self._budget.give_back(held - size, self)
        elif size:
            await self._budget.take(size, self, lasting=lasting)
            self._size = size

    async def grow(self, size: int) -> None:
        """Hold so many bytes more, once there are, and meanwhile what is held; see MemoryBudget.take."""
        size = min(size, self._budget.total)
        await self._budget.take(size, self)
        self._size += size

    def grow_anyway(self, size: int) -> None:
        """Hold so many bytes more without waiting, even if they are not free."""
        self._budget.take_anyway(size, self)
        self._size += size

    def hold_at_once(self, size: int) -> bool:
        """Hold so many bytes, even if they are few, unless an empty reservation would have to wait for them."""
        if not self._budget.take_at_once(size, self):
            return False
        self._size = size
        return True

    async def hold(self, size: int) -> None:
        """Hold so many bytes, even if they are few, once there are. Never rejected."""
        size = min(size, self._budget.total)
        await self._budget.take(size, self, patient=True)
        self._size = size

    def shrink(self, size: int) -> None:
        """Give back what is held beyond so many bytes."""
        if self._size > size:
            held, self._size = self._size, size
            self._budget.give_back(held - size, self)

    def count_apart(self) -> bool:
        """Take what is held out of the budget until it shrinks. Return False if too much counts apart already."""
        return self._budget.count_apart(self)

    @property
    def counts_apart(self) -> bool:
        """Whether what is held counts apart."""
        return self._budget.counts_apart(self)

    def resize_at_once(self, size: int) -> bool:
        """Hold so many bytes, at most the budget, unless an empty reservation would have to wait for them."""
        size = min(size, self._budget.total)
        if self._budget.take_huge_at_once(size, self):
            self._size = size
            return True
        return self.hold_at_once(size)

    @asynccontextmanager
    async def more(self, size: int, *, patient: bool = False) -> AsyncIterator[None]:
        """Hold so many bytes more during the block, once there are; see MemoryBudget.take.

        An empty reservation takes an eighth of the budget at least, since it may grow. If several tasks of the request
        wait, one rejection is for all of them.
        """
        if size <= SMALL:
            yield
            return
        total = self._budget.total
        async with self._taking:
            if self._failed:
                # A new error each time: the traceback of a shared one would keep the frames of all tasks.
                raise TooManyRequests(TOO_MANY)
            size = min(size if self._size else max(size, total // _MOST_GROWING), total)
            try:
                await self._budget.take(size, self, patient=patient)
            except TooManyRequests:
                self._failed = True
                raise
            self._size += size
        try:
            yield
        finally:
            self._size -= size
            self._budget.give_back(size, self)

    @asynccontextmanager
    async def given_back(self) -> AsyncIterator[None]:
        """Hold nothing in this block, which may last as long as a caller wants; then wait for the same bytes again."""
        size = self._size
        self.release()
        try:
            yield
        except FacadeError:
            await self._take_again(size)
            raise
        await self._take_again(size)

    async def _take_again(self, size: int) -> None:
        if size:
            await self._budget.take(size, self, patient=True)
            self._size = size

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for something else than memory in this block. If that takes long, what is held counts apart."""
        if not self._size:
            yield
            return
        self._waits += 1
        if self._timer is None:
            self._look_later()
        try:
            yield
        finally:
            self._waits -= 1
            if not self._waits and self._timer is not None:
                self._timer.cancel()
                self._timer = None
                self._budget.count_again(self)

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._count_apart)

    def _count_apart(self) -> None:
        self._budget.count_apart(self)
        # It may count again while it still waits.
        self._look_later()

    @property
    def would_keep_others_waiting(self) -> bool:
        """Whether what it holds could not count apart from the budget if the request had to wait for long."""
        return self._size > 0 and not self._budget.may_count_apart(self)

    def release(self) -> None:
        """Give all back."""
        if self._size:
            size, self._size = self._size, 0
            self._budget.give_back(size, self)


_current: ContextVar[Reservation | None] = ContextVar("memory of the request", default=None)


def use_reservation(reservation: Reservation) -> None:
    """Set the reservation of the request that this task, and those that it starts, run operations for."""
    _current.set(reservation)


def current_reservation() -> Reservation | None:
    """Return the reservation of the current request, if it has one that holds something."""
    found = _current.get()
    return found if found is not None and found._size else None
