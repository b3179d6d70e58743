"""A produce stream: batches are sent to Kafka in order, and their outcomes are returned in that order.

One task reads and sends batches, another awaits and writes their outcomes. A bounded window between the two provides
back-pressure: the gateway stops reading from a caller that does not read its answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from kafka_facade.core import overload
from kafka_facade.core.call import Call
from kafka_facade.core.errors import FacadeError, KafkaTimeout, TooManyRequests, Unavailable, without_traceback
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
    """What the pump needs of :class:`kafka_facade.core.core.Core`."""

    pipeline: Pipeline

    async def perform(self, call: Call, request: Request[Answer]) -> Answer: ...


class Batch(Generic[_Tag]):
    """Records that were sent together; ``tag`` is the face's own data for the answer."""

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
        """Whether the outcomes are available without waiting."""
        return isinstance(self._pending, FacadeError) or self._pending.decided

    async def outcomes(self) -> Sequence[Delivery | FacadeError]:
        """Return the outcome of each record, in order; KafkaTimeout for those not known by the batch's deadline."""
        if isinstance(self._pending, FacadeError):
            return self._failed(self._pending)
        return await self._within(self._pending.outcomes())

    async def reports(self) -> Sequence[RecordReport | FacadeError]:
        """The same, with a report on the stored key and value of each record."""
        if isinstance(self._pending, FacadeError):
            return self._failed(self._pending)
        return await self._within(self._pending.reports())

    @property
    def error(self) -> FacadeError | None:
        """The error if none of the records was sent."""
        return self._pending if isinstance(self._pending, FacadeError) else None

    async def _within(self, work: Awaitable[list[_Outcome | FacadeError]]) -> Sequence[_Outcome | FacadeError]:
        try:
            return await self._pipeline.within(self._call, work)
        except KafkaTimeout as error:
            return self._failed(error)

    def _failed(self, error: FacadeError) -> list[Any]:
        return [record if isinstance(record, FacadeError) else error for record in self._records]


async def send(core: _Core, tag: _Tag, cost: int, call: Call, request: StreamRecords) -> Batch[_Tag]:
    """Hand records to the producer by the call's deadline; errors become the outcomes of the records."""
    pending: PendingRecords | FacadeError
    try:
        pending = await core.perform(call, request)
    except FacadeError as error:
        pending = without_traceback(error)
    return Batch(tag, cost, request.records, pending, call, core.pipeline)


class RecordPump(Generic[_Tag]):
    """The batches of one stream. ``limit`` bounds the total cost of unanswered batches; one batch is always allowed."""

    def __init__(self, core: _Core, call: Call, limit: int) -> None:
        self._core = core
        self._arrivals = core.pipeline.overload.arrivals
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
        """Whether reading has stopped; records read before are still produced and answered."""
        self.stopped_by: FacadeError = Unavailable("The server is shutting down.")
        """Why reading has stopped."""
        self.failure: FacadeError | None = None
        """The error that ended the stream; None if the caller ended it."""
        self.cut_off = False
        """Whether the stream was cut off because memory is short."""

    @asynccontextmanager
    async def reading(
        self, read: Coroutine[Any, Any, None], at_closing: Callable[[], None] | None = None
    ) -> AsyncIterator[None]:
        """Run the reading task during the block. At shutdown call ``at_closing`` (by default :meth:`stop`)."""
        self._reader = asyncio.create_task(read, name="stream reader")
        closing = asyncio.create_task(self._stop_at_closing(at_closing or self.stop), name="stream at closing")
        try:
            yield
        finally:
            closing.cancel()
            self._reader.cancel()
            try:
                await asyncio.gather(self._reader, closing, return_exceptions=True)
            finally:
                # Its exception refers to this pump and to all records: a cycle that needs garbage collection.
                self._reader = None
                self._arrivals.end(self)

    async def _stop_at_closing(self, stop: Callable[[], None]) -> None:
        await self._core.pipeline.closing.wait()
        stop()

    def stop(self) -> None:
        """Stop reading. The reader is cancelled only if it is waiting for the caller."""
        self.stopping = True
        if self._receiving and self._reader is not None:
            self._reader.cancel()

    async def receive(self, message: Awaitable[_Message], *, begun: bool | None) -> _Message:
        """Await the caller's next message; only this wait is cancelled by :meth:`stop`.

        ``begun``: whether the gateway holds a part of the next record; None if that is unknown.
        """
        self._receiving = True
        if begun is not False:
            self._arrivals.begin(self, self._cut_off, may_pause=begun is None)
        try:
            return await message
        finally:
            self._receiving = False

    def _cut_off(self) -> None:
        """Stop reading, because memory is short."""
        self.cut_off = True
        self.stopped_by = TooManyRequests(overload.MESSAGE)
        self.stop()

    async def room(self, cost: int) -> None:
        """Wait until the window has space for a batch of this cost; call this before decoding it."""
        while self._used and self._used + cost > self._limit:
            self._changed.clear()
            await self._changed.wait()
        self._used += cost

    def begin(self) -> Call:
        """Return the call for the next batch, with a new deadline."""
        return self._core.pipeline.renewed(self._call)

    async def send(self, tag: _Tag, cost: int, call: Call, request: StreamRecords) -> None:
        """Hand the records of a batch to the producer, after those of earlier batches."""
        self._arrivals.end(self)
        request.order = self._order
        self._batches.append(await send(self._core, tag, cost, call, request))
        self._changed.set()

    def end(self, failure: FacadeError | None = None) -> None:
        """End the stream; no batches follow."""
        self.failure = None if failure is None else without_traceback(failure)
        self._ended = True
        self._changed.set()

    async def unanswered(self) -> bool:
        """Wait until a batch is unanswered; return False at the end.

        While a caller waits here, none of its variables may refer to an answered batch: a stream may pause for hours.
        """
        while not self._batches:
            if self._ended:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    @property
    def decided(self) -> bool:
        """Whether a batch is unanswered, and the outcomes of the oldest are available."""
        return bool(self._batches) and self._batches[0].decided

    @property
    def oldest(self) -> Batch[_Tag]:
        """The oldest unanswered batch. It occupies the window until :meth:`release`."""
        return self._batches[0]

    def release(self) -> None:
        """Remove the oldest batch after it was answered, and free its part of the window."""
        self._used -= self._batches.popleft().cost
        self._changed.set()
