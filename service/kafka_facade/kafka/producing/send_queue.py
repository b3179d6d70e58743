"""The queue in front of the producer client, and the handling of its delivery reports.

The client sends records immediately (``linger.ms=0``), so a single record never waits. For a busy topic that alone
would cause many small requests, which cost brokers and this process several times as much. Therefore records of a lane
(``lanes.py``) that has others in flight wait here until those are acknowledged, or for a short maximum time, and are
then sent together (Nagle's algorithm, RFC 896, applied to batches).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message
from confluent_kafka.admin import ClusterMetadata

from kafka_facade.core.errors import (
    FacadeError,
    Unavailable,
)
from kafka_facade.core.records.model import Delivery, RecordOrder
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.reservation import current_reservation
from kafka_facade.core.time_slices import SLICE_SECONDS
from kafka_facade.kafka.authentication import Authentication
from kafka_facade.kafka.producing import refusals
from kafka_facade.kafka.producing.clients import Clients
from kafka_facade.kafka.producing.failures import Failures
from kafka_facade.kafka.producing.lanes import NO_LEADERS, Lanes
from kafka_facade.kafka.producing.producer_client import ProducerClient, ProducerOpener, extras
from kafka_facade.kafka.producing.queued_bytes import MANY_HEADERS, measure
from kafka_facade.kafka.producing.refusals import Refused
from kafka_facade.kafka.producing.refused_batches import RefusedBatches
from kafka_facade.kafka.producing.submissions import Batch, Lane, Series
from kafka_facade.kafka.producing.topic_limits import UNKNOWN, TopicLimits

# Maximum time (s), and number of records, that a lane's records wait for those in flight.
_LONGEST_WAIT_SECONDS = 0.002
_MOST_WAITING = 1_000
# Records of a lane handed to the client per iteration of the event loop.
_MOST_A_TURN = 2_000
# Pause (s) after a record that took long, so that the loop runs what has become ready before it takes the next.
_PAUSE_SECONDS = 0.001
# Interval (s) at which delivery reports are polled while records are in flight. One poll handles all reports; waking
# the loop from a poll thread for each record would cost several times as much.
_POLL_SECONDS = 0.001
# With only a few records in flight, poll without pauses for this long (s) first, to reduce latency.
_FEW = 4
_EAGER_SECONDS = 0.001
# Poll interval (s) without records in flight, for the client's log lines and errors.
_IDLE_POLL_SECONDS = 1.0
_FULL_QUEUE_SECONDS = 0.002
# Lanes of which nothing was acknowledged for so long (s) are tried less often the more there are: so many at a time.
_STANDING_SECONDS = 0.3
_LANES_A_TURN = 4
# How often (s) calls that wait for room look whether they should go on waiting.
_CHECK_SECONDS = 0.5
# How long (s) to wait for the reports of purged records.
_PURGE_SECONDS = 1.0
_HANGS = "Kafka does not acknowledge records of this partition, and too many requests wait for that. Try again later."


class SendQueue:
    """Queues records for the clients and completes them by their reports. Created and used on one event loop."""

    def __init__(
        self,
        client: ProducerClient,
        opener: ProducerOpener,
        authentication: Authentication,
        on_missing: Callable[[str], None],
        limits: TopicLimits,
    ) -> None:
        """The errors of ``client`` go to ``authentication``; ``opener`` opens others when they are needed.

        ``on_missing`` is called with a topic that Kafka does not have, or that has fewer partitions than expected.
        """
        self._loop = asyncio.get_running_loop()
        self.authentication = authentication
        self.authentication.begin_polling(lambda: client.serve(renew=False))
        self.authentication.on_refusal = self._drop_unsent
        self._clients = Clients(client, opener, self._loop, self._report, self._conclude)
        self._limits = limits
        self._failures = Failures(self._clients, authentication, on_missing)
        self._refused = RefusedBatches(self._loop, self._clients, limits, self._conclude, self._failures.of)
        self._lanes = Lanes(hashes=client.hashes)
        # Number of records in batches that are not complete yet.
        self._undecided = 0
        # Number of lanes whose records wait for room in a client.
        self._blocked = 0
        self._eager_until = 0.0
        # The time of the reports that are taken.
        self._now = 0.0
        self._timer: asyncio.Handle = self._loop.call_later(_IDLE_POLL_SECONDS, self._serve)
        self._fast = False
        # Nothing more is taken.
        self._closed = False

    def read_metadata(self, topic: str, timeout: float) -> ClusterMetadata:
        """Return the metadata of a topic, as the client that records go to first sees it. Blocks."""
        found: ClusterMetadata = self._clients.first.current.list_topics(topic, timeout=timeout)
        return found

    async def submit(
        self,
        topic: str,
        records: Sequence[SerializedRecord],
        order: RecordOrder | None = None,
        leaders: Sequence[int] = NO_LEADERS,
    ) -> asyncio.Future[list[Delivery | FacadeError]]:
        """Queue records in order, waiting while their lane is full (see ``ProducerPort.submit``).

        ``leaders`` are the brokers that lead the topic's partitions, as far as known.
        """
        if not records:
            nothing: asyncio.Future[list[Delivery | FacadeError]] = self._loop.create_future()
            nothing.set_result([])
            return nothing
        size = await measure(records)
        series = None if order is None else Series.of(order)
        lane, partition = await self._lane_with_room(topic, records, series, leaders)
        if self._closed:
            raise Unavailable("The server is shutting down.")
        self.authentication.check()
        if lane.is_idle:
            self._lanes.add(lane)
        batch = Batch(records, size, lane, series, self._loop.create_future(), partition)
        count = len(records)
        lane.waiting.append(batch)
        lane.waiting_records += count
        lane.waiting_bytes += size
        lane.undecided += count
        self._undecided += count
        if not lane.in_flight or self._is_full(lane):
            self._hand_over(lane)
        elif lane.timer is None:
            lane.timer = self._loop.call_later(_LONGEST_WAIT_SECONDS, self._hand_over, lane)
        return batch.future

    async def _lane_with_room(
        self, topic: str, records: Sequence[SerializedRecord], series: Series | None, leaders: Sequence[int]
    ) -> tuple[Lane, int]:
        """Wait until the lane for records has room; see ``Lanes.choose``."""
        prepared = False
        while True:
            found = self._lanes.choose(topic, records, series, leaders)
            if found is None:
                if series is not None:
                    await series.until_complete()
                continue
            lane, partition = found
            if _would_keep_others_waiting() and self._lanes.hangs(lane):
                raise Unavailable(_HANGS)
            if lane.is_idle and not prepared and not self._closed:
                await self._clients.prepare(self._limits.known(topic).largest)
                prepared = True
            elif self._is_full(lane):
                if lane.room is None:
                    lane.room = asyncio.Event()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_SECONDS):
                        await lane.room.wait()
            elif series is not None and series.held:
                if series.room is None:
                    series.room = asyncio.Event()
                await series.room.wait()
            else:
                return lane, partition

    async def close(self, timeout: float) -> int:
        """Reject new records and wait for those in flight; return how many were dropped after ``timeout`` (s)."""
        self._closed = True
        # After a fatal error the client is not replaced any more, so there is nothing to wait for.
        await self._until(lambda: not self._undecided or self._clients.first.doomed, timeout)
        left = sum(lane.undecided for lane in self._lanes)
        for lane in self._lanes:
            while lane.waiting:
                self._give_up(lane.waiting.popleft(), Unavailable("The server is shutting down."))
            self._hand_over(lane)
        self._refused.end()
        await self._limits.close()
        self._clients.give_up(Unavailable("The server is shutting down."))
        for client in self._clients.all():
            client.current.purge()
        await self._until(lambda: not self._undecided, _PURGE_SECONDS)
        self._timer.cancel()
        self.authentication.close()
        await self._clients.close()
        return left

    def _drop_unsent(self) -> None:
        """Fail records that wait for a connection, because Kafka rejects the credentials."""
        for client in self._clients.all():
            client.current.purge(in_flight=False, blocking=False)
        self._wake()

    async def _until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not done() and time.monotonic() < deadline:
            self._wake()
            await asyncio.sleep(_FULL_QUEUE_SECONDS)

    def _is_full(self, lane: Lane) -> bool:
        most = self._clients.first.queued.most_waiting
        return lane.waiting_records >= _MOST_WAITING or lane.waiting_bytes >= most

    def _hand_over(self, lane: Lane) -> None:
        """Hand queued records of a lane to the client, up to the limits per iteration and the space in its queue."""
        ends = time.perf_counter() + SLICE_SECONDS
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        lane.limits = self._limits.known(lane.topic)
        if not lane.in_flight:
            # No record is left in another client, so switching clients cannot reorder records.
            lane.client = self._clients.place_for(lane.limits.largest)
        waiting = lane.waiting
        client = self._clients.at(lane.client) or self._clients.first
        if not lane.handed_over:
            lane.moved_at = self._now = time.monotonic()
        share = client.room(lane.handed_over)
        left = min(share, _MOST_A_TURN)
        full = False
        while waiting and left > 0 and not full and time.perf_counter() < ends:
            batch = waiting[0]
            begun = batch.handed_over
            if batch.future.cancelled():
                # The caller has disconnected and may retry, so do not send its records now.
                self._give_up(batch, Unavailable())
            elif batch.series is not None and batch.series.held:
                self._refused.hold(batch, lane.limits)
                self._settle(batch)
            else:
                full = not self._produce(lane, batch, left)
                left -= batch.handed_over - begun
            if batch.handed_over == len(batch.records):
                waiting.popleft()
        if not waiting:
            self._blocked -= lane.blocked_at is not None
            lane.blocked_at = None
        else:
            if lane.blocked_at is None:
                lane.blocked_at = time.monotonic()
                self._blocked += 1
            # With some left, the time was over.
            pause = 0.0 if (share > _MOST_A_TURN or left > 0) and not full else self._pause(lane)
            if time.perf_counter() > ends + SLICE_SECONDS:
                pause = max(pause, _PAUSE_SECONDS)
            lane.timer = self._loop.call_later(pause, self._hand_over, lane)
        if lane.room is not None and not self._is_full(lane):
            lane.room.set()
            lane.room = None
        self._lanes.drop_if_idle(lane)
        self._wake()

    def _pause(self, lane: Lane) -> float:
        """How long (s) to wait until a lane is tried again. Many lanes whose brokers hang take turns."""
        since = lane.moved_at if lane.handed_over else lane.blocked_at
        if since is None or time.monotonic() - since < _STANDING_SECONDS:
            return _FULL_QUEUE_SECONDS
        return _FULL_QUEUE_SECONDS * (1 + self._blocked // _LANES_A_TURN)

    def _produce(self, lane: Lane, batch: Batch, most: int) -> bool:
        """Hand over up to ``most`` further records of a batch, but none after many headers.

        Return False if the client's queue is full, or the lane's part of it.
        """
        client = self._clients.at(lane.client) or self._clients.first
        produce, topic, records, report = client.current.produce, lane.topic, batch.records, self._report
        unnamed = batch.partition
        # A record in a request of its own cannot make others fail.
        limits = lane.limits if lane.client < refusals.ALONE else UNKNOWN
        needs_key, forbidden = limits.needs_key, False
        queued = client.queued
        free = queued.most - queued.size
        room = min(free, queued.room(lane.queued_bytes))
        handed_bytes = failed_bytes = headers = 0
        first = index = batch.handed_over
        count = min(first + most, len(records))
        if not batch.in_flight:
            batch.start()
            batch.client = lane.client
            batch.queued = queued
            if batch.series is not None:
                batch.set_under_way(True)
        try:
            while index < count and headers <= MANY_HEADERS:
                record = records[index]
                size = record.size
                # The first record of a lane may take more than half of the queue, and one alone more than all.
                if handed_bytes + size > room and (handed_bytes or lane.queued_bytes or (size > free and queued.size)):
                    return False
                partition = unnamed if record.partition is None else record.partition
                try:
                    # Fast path: keyword arguments double the cost of the call, and few records need them.
                    if record.timestamp is None and not record.headers and not (needs_key and record.key is None):
                        produce(topic, record.value, record.key, partition, partial(report, batch, index))
                    elif limits.forbid(record) is not None:
                        forbidden = True
                        break
                    else:
                        # Those of a record that the client rejects count too.
                        headers += len(record.headers)
                        more = extras(record)
                        produce(topic, record.value, record.key, partition, partial(report, batch, index), **more)
                    handed_bytes += size
                except BufferError:
                    return False
                except Exception as error:
                    if client.is_doomed_by(error):
                        return False
                    self._decide(batch, index, self._failures.of_call(topic, error))
                    failed_bytes += size
                index += 1
            return True
        finally:
            batch.handed_over = index
            lane.waiting_records -= index - first
            lane.waiting_bytes -= handed_bytes + failed_bytes
            batch.waiting_bytes -= handed_bytes + failed_bytes
            queued.size += handed_bytes
            lane.queued_bytes += handed_bytes
            if forbidden:
                # Kafka will probably reject the record, so send it separately from the others.
                self._refused.hold(batch, lane.limits)
                self._settle(batch)

    def _give_up(self, batch: Batch, outcome: FacadeError) -> None:
        """Complete the records of a batch that have not been handed over with this error."""
        first = batch.hand_over_rest()
        left = len(batch.records) - first
        batch.outcomes[first:] = [outcome] * left
        batch.left -= left
        batch.lane.undecided -= left
        self._settle(batch)

    def _report(self, batch: Batch, index: int, error: ClientError | None, message: Message) -> None:
        size, lane = batch.records[index].size, batch.lane
        batch.queued.size -= size
        lane.queued_bytes -= size
        if error is None:
            lane.moved_at = self._now
            kind, timestamp = message.timestamp()
            batch.outcomes[index] = Delivery(message.partition() or 0, message.offset(), timestamp if kind else None)
            lane.undecided -= 1
            left = batch.left = batch.left - 1
            # Most records leave others of their batch in flight, and cost no further call.
            if left > len(batch.refused):
                return
            if not left:
                self.authentication.answered()
                self._lanes.acknowledged(lane)
            self._settle(batch)
        elif batch.client < refusals.ALONE and error.code() in refusals.COLLECTIVE:
            self._refused.add(batch, Refused(index, message.partition() or 0, error.code()))
            self._settle(batch)
        else:
            self._decide(batch, index, self._failures.of(batch, index, error))
        self._go_on(batch)

    def _conclude(self, batch: Batch, index: int, outcome: FacadeError) -> None:
        """Complete a record that could not be resent."""
        self._decide(batch, index, outcome)
        self._go_on(batch)

    def _go_on(self, batch: Batch) -> None:
        """Hand over records that waited for a batch, if it is complete."""
        if not batch.left:
            lane = batch.lane
            if not lane.in_flight:
                if lane.waiting:
                    self._hand_over(lane)
                else:
                    self._lanes.drop_if_idle(lane)

    def _decide(self, batch: Batch, index: int, outcome: Delivery | FacadeError) -> None:
        batch.outcomes[index] = outcome
        batch.lane.undecided -= 1
        batch.left -= 1
        self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        """Continue with a batch that has no more records in flight: resend rejected records, or finish it."""
        if not batch.left:
            self._finish(batch)
        elif batch.left == len(batch.refused):
            self._refused.take(batch)

    def _finish(self, batch: Batch) -> None:
        self._undecided -= len(batch.records)
        if (series := batch.series) is not None:
            batch.set_under_way(False)
            while series.batches and not series.batches[0].left:
                series.batches.popleft()
            series.tell_if_complete()
            if series.held:
                self._loop.call_soon(self._refused.advance, series)
        if batch.in_flight:
            batch.lane.in_flight -= 1
        if not batch.future.done():
            batch.future.set_result(batch.outcomes)

    def _wake(self) -> None:
        if self._undecided <= _FEW:
            self._eager_until = time.monotonic() + _EAGER_SECONDS
        if not self._fast:
            self._fast = True
            self._timer.cancel()
            self._timer = self._next_look()

    def _serve(self) -> None:
        clients = self._clients.all()
        self._now = time.monotonic()
        try:
            for client in clients:
                client.serve(renew=not self._closed)
        finally:
            self._failures.forget()
            self._fast = self._undecided > 0 or any(client.busy for client in clients)
            self._timer = self._next_look() if self._fast else self._loop.call_later(_IDLE_POLL_SECONDS, self._serve)

    def _next_look(self) -> asyncio.Handle:
        if self._undecided <= _FEW and time.monotonic() < self._eager_until:
            return self._loop.call_soon(self._serve)
        return self._loop.call_later(_POLL_SECONDS, self._serve)


def _would_keep_others_waiting() -> bool:
    """Whether the current request, if it waited here, would keep others from the memory for large requests."""
    reservation = current_reservation()
    return reservation is not None and reservation.would_keep_others_waiting
