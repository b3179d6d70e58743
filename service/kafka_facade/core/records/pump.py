"""A stream of records: batches go to Kafka in order, and their outcomes come back in that order.

One task reads batches and sends them, another awaits their outcomes and writes them. What lies between the two is
bounded, so a caller that doesn't read its answers isn't read from either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from kafka_facade.core.call import Call
from kafka_facade.core.errors import FacadeError, KafkaTimeout
from kafka_facade.core.pipeline import Pipeline
from kafka_facade.core.records.model import (
    Delivery,
    PendingRecords,
    RecordOrder,
    RecordReport,
    RecordToProduce,
    StreamRecords,
)
from kafka_facade.core.request import Answer, Request

_Tag = TypeVar("_Tag")
_Outcome = TypeVar("_Outcome", Delivery, RecordReport)
_Message = TypeVar("_Message")


class _Core(Protocol):
    """What the pump needs of :class:`kafka_facade.core.facade.Facade`."""

    pipeline: Pipeline

    async def perform(self, call: Call, request: Request[Answer]) -> Answer: ...


class Batch(Generic[_Tag]):
    """Records that were sent together, with what the face wants to know of them (``tag``)."""

    __slots__ = ("_call", "_pending", "_pipeline", "_records", "cost", "tag")

    def __init__(
        self,
        tag: _Tag,
        cost: int,
        records: Sequence[RecordToProduce | FacadeError],
        pending: PendingRecords | FacadeError,
        call: Call,
        pipeline: Pipeline,
    ) -> None:
        self.tag = tag
        self.cost = cost
        self._records = records
        self._pending = pending
        self._call = call
        self._pipeline = pipeline

    @property
    def decided(self) -> bool:
        """Whether the outcomes are there without waiting."""
        return isinstance(self._pending, FacadeError) or self._pending.decided

    async def outcomes(self) -> Sequence[Delivery | FacadeError]:
        """What became of each record, in order, within the time of the batch."""
        if isinstance(self._pending, FacadeError):
            return self._failed(self._pending)
        return await self._within(self._pending.outcomes())

    async def reports(self) -> Sequence[RecordReport | FacadeError]:
        """The same, with what was stored of each record."""
        if isinstance(self._pending, FacadeError):
            return self._failed(self._pending)
        return await self._within(self._pending.reports())

    @property
    def error(self) -> FacadeError | None:
        """Why none of the records was sent."""
        return self._pending if isinstance(self._pending, FacadeError) else None

    async def _within(self, work: Awaitable[list[_Outcome | FacadeError]]) -> Sequence[_Outcome | FacadeError]:
        try:
            return await self._pipeline.within(self._call, work)
        except KafkaTimeout as error:
            return self._failed(error)

    def _failed(self, error: FacadeError) -> list[Any]:
        return [record if isinstance(record, FacadeError) else error for record in self._records]


async def send(core: _Core, tag: _Tag, cost: int, call: Call, request: StreamRecords) -> Batch[_Tag]:
    """Hand records to the producer within the time of the call; what goes wrong is in the outcomes."""
    pending: PendingRecords | FacadeError
    try:
        pending = await core.perform(call, request)
    except FacadeError as error:
        pending = error
    return Batch(tag, cost, request.records, pending, call, core.pipeline)


class RecordPump(Generic[_Tag]):
    """The batches of one stream. ``limit`` bounds the costs of those that are on their way; one always has room."""

    def __init__(self, core: _Core, call: Call, limit: int) -> None:
        self._core = core
        self._call = call
        self._limit = limit
        self._order = RecordOrder()
        self._batches: deque[Batch[_Tag]] = deque()
        self._used = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._receiving = False
        self.stopping = False
        """Whether nothing more is to be read: what was read is still produced and answered."""
        self.failure: FacadeError | None = None
        """What ended the stream; None for the caller's own end."""

    @asynccontextmanager
    async def reading(
        self, read: Coroutine[Any, Any, None], at_closing: Callable[[], None] | None = None
    ) -> AsyncIterator[None]:
        """Have a task read during the block. At shutdown reading stops; ``at_closing`` is called then."""
        self._reader = asyncio.create_task(read, name="stream reader")
        closing = asyncio.create_task(self._stop_at_closing(at_closing or self.stop), name="stream at closing")
        try:
            yield
        finally:
            closing.cancel()
            self._reader.cancel()
            await asyncio.gather(self._reader, closing, return_exceptions=True)

    async def _stop_at_closing(self, stop: Callable[[], None]) -> None:
        await self._core.pipeline.closing.wait()
        stop()

    def stop(self) -> None:
        """Read no more: the reader is cancelled where it waits for the caller, and only there."""
        self.stopping = True
        if self._receiving and self._reader is not None:
            self._reader.cancel()

    async def receive(self, message: Awaitable[_Message]) -> _Message:
        """The reader's wait for what the caller sends next."""
        self._receiving = True
        try:
            return await message
        finally:
            self._receiving = False

    async def room(self, cost: int) -> None:
        """Wait until a batch of this cost has room, before it is decoded."""
        while self._used and self._used + cost > self._limit:
            self._changed.clear()
            await self._changed.wait()
        self._used += cost

    def begin(self) -> Call:
        """The call of the next batch, which has its whole time."""
        return self._core.pipeline.renewed(self._call)

    async def send(self, tag: _Tag, cost: int, call: Call, request: StreamRecords) -> None:
        """Hand the records of a batch to the producer, after those of the batches before."""
        request.order = self._order
        self._batches.append(await send(self._core, tag, cost, call, request))
        self._changed.set()

    def end(self, failure: FacadeError | None = None) -> None:
        """No more batches come."""
        self.failure = failure
        self._ended = True
        self._changed.set()

    async def first(self) -> Batch[_Tag] | None:
        """The next batch, which keeps its room; None after the end."""
        while not self._batches:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._batches[0]

    def following(self) -> Batch[_Tag] | None:
        """The next batch if it is there and decided."""
        return self._batches[0] if self._batches and self._batches[0].decided else None

    def release(self) -> None:
        """The first batch has been answered: its room is free."""
        self._used -= self._batches.popleft().cost
        self._changed.set()
