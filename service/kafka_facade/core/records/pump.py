"""A produce stream: batches are sent to Kafka in order, and their outcomes are returned in that order.

One task reads and sends batches, another awaits and writes their outcomes. A bounded window between the two provides
back-pressure: the gateway stops reading from a caller that does not read its answers. Records are freed once Kafka has
acknowledged them; what remains for an answer is small. All streams together have a budget (``core/stream_memory.py``).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from kafka_facade.core import overload
from kafka_facade.core.call import Call
from kafka_facade.core.errors import FacadeError, KafkaTimeout, TooManyRequests, Unavailable, without_traceback
from kafka_facade.core.memory_budget import SMALL
from kafka_facade.core.pipeline import Pipeline
from kafka_facade.core.records.headers import FEW_HEADERS, free_headers
from kafka_facade.core.records.model import (
    Delivery,
    Header,
    PendingRecords,
    RecordOrder,
    RecordReport,
    RecordToProduce,
    StreamRecords,
)
from kafka_facade.core.request import Answer, Request
from kafka_facade.core.reservation import Reservation

_Tag = TypeVar("_Tag")
_Outcome = TypeVar("_Outcome", Delivery, RecordReport)
_Message = TypeVar("_Message")

# Approximate memory (bytes) of a record besides its data, and then of its answer; a batch takes as much in addition.
_RECORD_BYTES: Final = 512
_ERROR_BYTES: Final = 1024


class _Core(Protocol):
    """What the pump needs of :class:`kafka_facade.core.core.Core`."""

    pipeline: Pipeline

    async def perform(self, call: Call, request: Request[Answer]) -> Answer: ...


class Batch(Generic[_Tag]):
    """Records that were sent together, of which only what the answers need is kept.

    ``tag`` is the face's own data for the answer. ``cost`` is what the batch takes in bytes, ``sent_at`` and
    ``decided_at`` are values of ``time.monotonic()``.
    """

    __slots__ = (
        "_call",
        "_invalid",
        "_pending",
        "_pipeline",
        "cost",
        "count",
        "decided_at",
        "reservation",
        "sent_at",
        "tag",
    )

    def __init__(
        self,
        tag: _Tag,
        records: Sequence[RecordToProduce | FacadeError],
        pending: PendingRecords | FacadeError,
        call: Call,
        pipeline: Pipeline,
    ) -> None:
        self.tag = tag
        self.count = len(records)
        self.cost = 0
        self.reservation: Reservation | None = None
        self.sent_at = time.monotonic()
        self.decided_at: float | None = None
        self._invalid: dict[int, FacadeError] = {}
        if set(map(type, records)) != {RecordToProduce}:
            self._invalid = {place: found for place, found in enumerate(records) if isinstance(found, FacadeError)}
        self._pending = pending
        self._call = call
        self._pipeline = pipeline

    @property
    def answer_cost(self) -> int:
        """What the answers take in bytes."""
        failed = self.count if isinstance(self._pending, FacadeError) else self._pending.invalid
        return _RECORD_BYTES * (1 + self.count) + _ERROR_BYTES * min(failed, len(self._invalid))

    def call_when_decided(self, callback: Callable[[], object]) -> None:
        """Call back once the outcomes are available."""
        if isinstance(self._pending, FacadeError):
            callback()
        else:
            self._pending.call_when_decided(callback)

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
        return [self._invalid.get(place, error) for place in range(self.count)]


async def send(core: _Core, tag: _Tag, call: Call, request: StreamRecords) -> Batch[_Tag]:
    """Hand records to the producer by the call's deadline; errors become the outcomes of the records."""
    pending: PendingRecords | FacadeError
    try:
        pending = await core.perform(call, request)
    except FacadeError as error:
        pending = without_traceback(error)
    return Batch(tag, request.records, pending, call, core.pipeline)


class RecordPump(Generic[_Tag]):
    """The batches of one stream of a connection, the ``caller``.

    ``most_bytes`` and ``most_records`` bound the unanswered batches; one batch is always allowed. Records count until
    they are acknowledged, and their answers until they are written.
    """

    def __init__(
        self, core: _Core, call: Call, caller: object, most_bytes: int, most_records: int | None = None
    ) -> None:
        self._core = core
        self._arrivals = core.pipeline.overload.arrivals
        self._memory = core.pipeline.overload.streams
        self._call = call
        self._caller = caller
        self._most_bytes = most_bytes
        self._most_records = most_records
        self._order = RecordOrder()
        self._batches: deque[Batch[_Tag]] = deque()
        self.held = 0
        """What unanswered batches take, in bytes."""
        self._records = 0
        # The part of the next batch, which is being decoded or sent: its cost, and its memory.
        self._next: tuple[int, Reservation | None] = 0, None
        # Since when the oldest batch is the oldest one.
        self._oldest_since = 0.0
        # Tasks that free many headers.
        self._freeing: set[asyncio.Task[None]] = set()
        self._ended = False
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._receiving = False
        self._waits = False
        self._limit: asyncio.Timeout | None = None
        self.stopping = False
        """Whether reading has stopped; records read before are still produced and answered."""
        self.stopped_by: FacadeError = Unavailable("The server is shutting down.")
        """Why reading has stopped."""
        self.failure: FacadeError | None = None
        """The error that ended the stream; None if the caller ended it."""
        self.cut_off = False
        """Whether the stream was cut off because memory is short."""
        self.aborted = False
        """Whether its answers were dropped too, because the caller does not read them."""

    @asynccontextmanager
    async def reading(
        self, read: Coroutine[Any, Any, None], at_closing: Callable[[], None] | None = None
    ) -> AsyncIterator[None]:
        """Run the reading task during the block. At shutdown call ``at_closing`` (by default :meth:`stop`).

        Cancels the block and raises TooManyRequests if the stream is ``aborted``.
        """
        try:
            async with asyncio.timeout(None) as self._limit, self._running(read, at_closing or self.stop):
                yield
        except TimeoutError:
            if not self.aborted:
                raise
            raise TooManyRequests(overload.MESSAGE) from None
        finally:
            self._limit = None

    @asynccontextmanager
    async def _running(self, read: Coroutine[Any, Any, None], at_closing: Callable[[], None]) -> AsyncIterator[None]:
        self._memory.begin(self)
        self._reader = asyncio.create_task(read, name="stream reader")
        closing = asyncio.create_task(self._stop_at_closing(at_closing), name="stream at closing")
        try:
            yield
        finally:
            closing.cancel()
            self._reader.cancel()
            try:
                await asyncio.gather(self._reader, closing, *self._freeing, return_exceptions=True)
            finally:
                # Its exception refers to this pump and to all records: a cycle that needs garbage collection.
                self._reader = None
                self._arrivals.end(self)
                self._memory.end(self)
                self._give_back_next()
                self.release(len(self._batches))

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
        if begun is None:
            # The message before, which may have had no records, has been processed.
            self._arrivals.end(self)
        if begun is not False:
            self._arrivals.begin(self, self._cut_off, may_pause=begun is None)
        try:
            return await message
        finally:
            self._receiving = False

    def arrived(self) -> None:
        """Record that the gateway holds a message from now on, if that was unknown."""
        self._arrivals.begin(self, self._cut_off)

    def _cut_off(self) -> None:
        """Stop reading, because memory is short. Records that wait for room are not sent."""
        self.cut_off = True
        self.stopped_by = TooManyRequests(overload.MESSAGE)
        self.stop()
        if self._waits and self._reader is not None:
            self._reader.cancel()

    def cut_off_unread(self) -> None:
        """End the stream with an error, and drop its answers, because memory is short."""
        self._cut_off()
        if self._limit is not None and not self.aborted:
            self.aborted = True
            self._limit.reschedule(asyncio.get_running_loop().time())

    def unread_since(self) -> float | None:
        """Return since when the oldest answer waits for the caller."""
        decided_at = self._batches[0].decided_at if self._batches else None
        # Answers behind an undecided one could not be written before.
        return None if decided_at is None else max(decided_at, self._oldest_since)

    def in_flight_before(self, moment: float) -> Iterator[Reservation]:
        """The reservations of records that Kafka has not acknowledged since before this moment."""
        for batch in self._batches:
            if batch.sent_at > moment:
                return
            if batch.reservation is not None and batch.decided_at is None:
                yield batch.reservation

    async def room(self, size: int, count: int) -> None:
        """Wait until the window has space for records of ``size`` bytes together; call this before decoding them."""
        cost = size + _RECORD_BYTES * (1 + count)
        reservation = None
        # What takes no more needs none of the budget.
        if self.held + cost > SMALL:
            reservation = Reservation(self._memory.budget, self._caller)
        if self._is_full(cost, count) or (reservation is not None and not reservation.hold_at_once(cost)):
            await self._wait_for_room(cost, count, reservation)
        self._next = cost, reservation
        self.held += cost
        self._records += count

    async def _wait_for_room(self, cost: int, count: int, reservation: Reservation | None) -> None:
        self._arrivals.begin(self, self._cut_off)
        self._waits = True
        try:
            with self._memory.waiting(self):
                while self._is_full(cost, count):
                    self._changed.clear()
                    await self._changed.wait()
                if reservation is not None:
                    await reservation.hold(cost)
        finally:
            self._waits = False

    def _is_full(self, cost: int, count: int) -> bool:
        return self.held > 0 and (
            self.held + cost > self._most_bytes
            or (self._most_records is not None and self._records + count > self._most_records)
        )

    def _give_back_next(self) -> None:
        cost, reservation = self._next
        self._next = 0, None
        self.held -= cost
        if reservation is not None:
            reservation.shrink(0)

    def begin(self) -> Call:
        """Return the call for the next batch, with a new deadline."""
        return self._core.pipeline.renewed(self._call)

    async def send(self, tag: _Tag, call: Call, request: StreamRecords) -> None:
        """Hand the records of a batch to the producer, after those of earlier batches."""
        self._arrivals.end(self)
        request.order = self._order
        batch = await send(self._core, tag, call, request)
        if not self._batches:
            self._oldest_since = time.monotonic()
        (batch.cost, batch.reservation), self._next = self._next, (0, None)
        self._batches.append(batch)
        headers = [
            record.headers for record in request.records if isinstance(record, RecordToProduce) and record.headers
        ]
        batch.call_when_decided(partial(self._decided, batch, headers))
        self._changed.set()

    def _decided(self, batch: Batch[_Tag], headers: list[Sequence[Header]]) -> None:
        """Count only the answers of a batch, since its records are no longer needed."""
        if headers and sum(map(len, headers)) > FEW_HEADERS:
            freeing = asyncio.get_running_loop().create_task(free_headers(headers), name="freeing headers")
            self._freeing.add(freeing)
            freeing.add_done_callback(self._freeing.discard)
        if not batch.cost:
            # It has been answered already, or the stream has ended.
            return
        batch.decided_at = time.monotonic()
        cost = batch.answer_cost
        self.held -= batch.cost - cost
        batch.cost = cost
        if batch.reservation is not None:
            batch.reservation.shrink(cost)
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
    def oldest(self) -> Batch[_Tag]:
        """The oldest unanswered batch. It occupies the window until :meth:`release`."""
        return self._batches[0]

    def decided_behind(self, count: int) -> Batch[_Tag] | None:
        """The next batch after so many unanswered ones, if its outcomes are available."""
        if len(self._batches) > count and self._batches[count].decided:
            return self._batches[count]
        return None

    def release(self, count: int = 1) -> None:
        """Remove the oldest batches after they were answered, and free their part of the window."""
        self._oldest_since = time.monotonic()
        for _ in range(count):
            batch = self._batches.popleft()
            self.held -= batch.cost
            self._records -= batch.count
            batch.cost = 0
            if batch.reservation is not None:
                batch.reservation.shrink(0)
        self._changed.set()
