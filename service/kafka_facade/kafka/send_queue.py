"""Records on their way to the client's own queue and their reports on the way back.

The client sends what it has as soon as it has it (``linger.ms=0``), so a lone record never waits. That alone would send
a busy topic's records in many small requests, which cost brokers and this process several times as much. So records for
a topic that has others in flight wait here until those are acknowledged, or for a moment at the longest, and then go
out together (Nagle's algorithm, RFC 896, at the size of batches).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException, Message
from confluent_kafka import Producer as ClientProducer

from kafka_facade.core.errors import (
    FacadeError,
    InvalidKafkaRequest,
    PartitionNotFound,
    RetriableKafkaError,
    TopicNotFound,
    Unavailable,
)
from kafka_facade.core.ports import Delivery, SerializedRecord
from kafka_facade.kafka.errors import facade_error, from_exception

logger = logging.getLogger("kafka_facade.kafka")

# How long (s) and up to how many records of a topic wait for those in flight.
_LONGEST_WAIT_SECONDS = 0.002
_MOST_WAITING = 1_000
# The loop hands over so many records of a topic before it sees to others.
_MOST_A_TURN = 2_000
# librdkafka's own limit, and what its 0 stands for.
_CLIENT_MESSAGES = 100_000
_NO_LIMIT = 2**31
# How often (s) reports are looked for while records are in flight. One wake-up serves all that have arrived; waking
# the loop from a poll thread for each record costs several times as much.
_POLL_SECONDS = 0.001
# For a few records, whose callers wait for nothing else, the loop looks without a pause for so long (s) at first.
_FEW = 4
_EAGER_SECONDS = 0.001
# While nothing is in flight, the client's log lines and errors still want to be served now and then.
_IDLE_POLL_SECONDS = 1.0
_FULL_QUEUE_SECONDS = 0.002
# A client that has met a fatal error is replaced, but not more often than this (s): the next one may meet it too.
_RENEWAL_SECONDS = 1.0
# How long (s) the reports of records that are given up may take.
_PURGE_SECONDS = 1.0
_GIVEN_UP = frozenset({ClientError._FATAL, ClientError._PURGE_QUEUE, ClientError._PURGE_INFLIGHT})
_MESSAGES = "queue.buffering.max.messages"
_PARTITIONER_DECIDES = -1
_NOW = 0
_CUT_NAME = "The name of a header cannot hold the character U+0000."  # To the client it would end there.
_NO_EPOCH = "A record of 1970-01-01T00:00:00Z can't be produced: to the Kafka client that is no timestamp."


class _Batch:
    """Records that were submitted together, and what became of them."""

    __slots__ = ("future", "handed_over", "in_flight", "lane", "left", "outcomes", "records")

    def __init__(
        self, records: Sequence[SerializedRecord], lane: _Lane, future: asyncio.Future[list[Delivery | FacadeError]]
    ) -> None:
        self.records = records
        self.lane = lane
        self.future = future
        self.outcomes: list[Any] = [None] * len(records)
        self.left = len(records)
        self.handed_over = 0
        self.in_flight = False


class _Lane:
    """The batches of one topic: ``in_flight``, or waiting for those.

    ``undecided`` counts the records of both, ``waiting_records`` those that the client hasn't got yet.
    """

    __slots__ = ("in_flight", "room", "timer", "topic", "undecided", "waiting", "waiting_records")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.in_flight = 0
        self.waiting: deque[_Batch] = deque()
        self.waiting_records = 0
        self.undecided = 0
        self.timer: asyncio.TimerHandle | None = None
        # What those who have no room wait for, once; None while there are none.
        self.room: asyncio.Event | None = None


class SendQueue:
    """One client, and the records that go through it. Made and used on one event loop."""

    def __init__(self, config: Mapping[str, Any], on_missing: Callable[[str], None]) -> None:
        self._config = dict(config)
        self.client = ClientProducer(self._config)
        # Told of a topic that Kafka doesn't have, or not so many partitions of it.
        self._on_missing = on_missing
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[str, _Lane] = {}
        # One topic never has more than this in the client: others have room there while it hangs.
        self._share = max((int(self._config.get(_MESSAGES, _CLIENT_MESSAGES)) or _NO_LIMIT) // 2, 1)
        # All records of the batches that have any undecided.
        self._undecided = 0
        self._eager_until = 0.0
        self._timer: asyncio.Handle = self._loop.call_later(_IDLE_POLL_SECONDS, self._serve)
        self._fast = False
        self._closed = False
        # The last fatal error, and whether it is the present client that has met it.
        self._fatal: ClientError | None = None
        self._doomed = False
        self._renewed_at = -_RENEWAL_SECONDS
        self._broken: list[ClientProducer] = []
        self._destructions: set[asyncio.Future[None]] = set()

    async def submit(
        self, topic: str, records: Sequence[SerializedRecord]
    ) -> asyncio.Future[list[Delivery | FacadeError]]:
        """Take records, in order, waiting while their topic has no room for them (see ``ProducerPort.submit``)."""
        if not records:
            nothing: asyncio.Future[list[Delivery | FacadeError]] = self._loop.create_future()
            nothing.set_result([])
            return nothing
        while (lane := self._lanes.get(topic)) is not None and lane.waiting_records >= _MOST_WAITING:
            if lane.room is None:
                lane.room = asyncio.Event()
            await lane.room.wait()
        if self._closed:
            raise Unavailable("The server is shutting down.")
        if lane is None:
            lane = self._lanes[topic] = _Lane(topic)
        batch = _Batch(records, lane, self._loop.create_future())
        count = len(records)
        lane.waiting.append(batch)
        lane.waiting_records += count
        lane.undecided += count
        self._undecided += count
        if not lane.in_flight or lane.waiting_records >= _MOST_WAITING:
            self._hand_over(lane)
        elif lane.timer is None:
            lane.timer = self._loop.call_later(_LONGEST_WAIT_SECONDS, self._hand_over, lane)
        return batch.future

    async def close(self, timeout: float) -> int:
        """Take nothing more, wait for what is in flight; the number of records given up after ``timeout`` (s)."""
        self._closed = True
        # After a fatal error no other client takes over any more.
        await self._until(lambda: not self._undecided or self._doomed, timeout)
        left = sum(lane.undecided for lane in self._lanes.values())
        for lane in list(self._lanes.values()):
            while lane.waiting:
                self._give_up(lane.waiting.popleft(), Unavailable("The server is shutting down."))
            self._hand_over(lane)
        self.client.purge()
        await self._until(lambda: not self._undecided, _PURGE_SECONDS)
        self._timer.cancel()
        await asyncio.gather(*self._destructions, return_exceptions=True)
        return left

    async def _until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not done() and time.monotonic() < deadline:
            self._wake()
            await asyncio.sleep(_FULL_QUEUE_SECONDS)

    def _hand_over(self, lane: _Lane) -> None:
        """Give the client what waits for a topic, for one turn; what it has no room for waits on."""
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        waiting = lane.waiting
        share = self._share - (lane.undecided - lane.waiting_records)
        left = min(share, _MOST_A_TURN)
        full = False
        while waiting and left > 0 and not full:
            batch = waiting[0]
            begun = batch.handed_over
            if batch.future.cancelled():
                # Its caller has given up, and may send the records again.
                self._give_up(batch, Unavailable())
            else:
                full = not self._produce(lane, batch, left)
                left -= batch.handed_over - begun
            if batch.handed_over == len(batch.records):
                waiting.popleft()
        if waiting:
            pause = 0 if share > _MOST_A_TURN and not full else _FULL_QUEUE_SECONDS
            lane.timer = self._loop.call_later(pause, self._hand_over, lane)
        if lane.room is not None and lane.waiting_records < _MOST_WAITING:
            lane.room.set()
            lane.room = None
        self._drop_if_idle(lane)
        self._wake()

    def _drop_if_idle(self, lane: _Lane) -> None:
        if not lane.in_flight and not lane.waiting and self._lanes.get(lane.topic) is lane:
            del self._lanes[lane.topic]

    def _produce(self, lane: _Lane, batch: _Batch, most: int) -> bool:
        """Hand over so many records of a batch, from where it was left; False when the client's queue is full."""
        produce, topic, records, report = self.client.produce, lane.topic, batch.records, self._report
        first = index = batch.handed_over
        count = min(first + most, len(records))
        if not batch.in_flight:
            batch.in_flight = True
            lane.in_flight += 1
        try:
            while index < count:
                record = records[index]
                partition = _PARTITIONER_DECIDES if record.partition is None else record.partition
                try:
                    # Names of arguments cost as much as the rest of the call: few records have what needs them.
                    if record.timestamp is None and not record.headers:
                        produce(topic, record.value, record.key, partition, partial(report, batch, index))
                    else:
                        extras = _extras(record)
                        produce(topic, record.value, record.key, partition, partial(report, batch, index), **extras)
                except BufferError:
                    return False
                except Exception as error:
                    if self._is_doomed_by(error):
                        return False
                    failure = from_exception(error)
                    if isinstance(failure, (TopicNotFound, PartitionNotFound)):
                        self._on_missing(topic)
                    self._decide(batch, index, failure)
                index += 1
            return True
        finally:
            batch.handed_over = index
            lane.waiting_records -= index - first

    def _give_up(self, batch: _Batch, outcome: FacadeError) -> None:
        """Decide the records of a batch that haven't been handed over."""
        first, batch.handed_over = batch.handed_over, len(batch.records)
        left = len(batch.records) - first
        batch.outcomes[first:] = [outcome] * left
        batch.left -= left
        batch.lane.waiting_records -= left
        batch.lane.undecided -= left
        if not batch.left:
            self._finish(batch)

    def _report(self, batch: _Batch, index: int, error: ClientError | None, message: Message) -> None:
        if error is None:
            kind, timestamp = message.timestamp()
            outcome: Delivery | FacadeError = Delivery(
                message.partition() or 0, message.offset() or 0, timestamp if kind else None
            )
        else:
            outcome = self._failure(batch.records[index], error, message.topic() or "")
        self._decide(batch, index, outcome)
        if not batch.left:
            lane = batch.lane
            if not lane.in_flight:
                if lane.waiting:
                    self._hand_over(lane)
                else:
                    self._drop_if_idle(lane)

    def _decide(self, batch: _Batch, index: int, outcome: Delivery | FacadeError) -> None:
        batch.outcomes[index] = outcome
        batch.lane.undecided -= 1
        batch.left -= 1
        if not batch.left:
            self._finish(batch)

    def _finish(self, batch: _Batch) -> None:
        self._undecided -= len(batch.records)
        if batch.in_flight:
            batch.lane.in_flight -= 1
        if not batch.future.done():
            batch.future.set_result(batch.outcomes)

    def _failure(self, record: SerializedRecord, error: ClientError, topic: str) -> FacadeError:
        if self._fatal is not None and error.code() in _GIVEN_UP:
            error = self._fatal
        failure = facade_error(error, topic_name=topic)
        if isinstance(failure, (TopicNotFound, PartitionNotFound)):
            self._on_missing(topic)
            if isinstance(failure, PartitionNotFound) and record.partition is None:
                # The partitioner chose from partitions that are gone: a topic of that name was made anew.
                return RetriableKafkaError("The partitions of the topic have changed.", topic_name=topic)
        return failure

    def _wake(self) -> None:
        if self._undecided <= _FEW:
            self._eager_until = time.monotonic() + _EAGER_SECONDS
        if not self._fast:
            self._fast = True
            self._timer.cancel()
            self._timer = self._next_look()

    def _serve(self) -> None:
        try:
            self._poll(self.client)
            if self._doomed:
                self._replace()
            if self._broken:
                self._bury()
        finally:
            self._fast = self._undecided > 0 or self._doomed or bool(self._broken)
            self._timer = self._next_look() if self._fast else self._loop.call_later(_IDLE_POLL_SECONDS, self._serve)

    def _poll(self, client: ClientProducer) -> None:
        """Serve a client's reports. It is here that it tells of a fatal error."""
        try:
            client.poll(0)
        except KafkaException as error:
            if client is self.client and not self._is_doomed_by(error):
                logger.exception("the Kafka producer can't be served")

    def _next_look(self) -> asyncio.Handle:
        if self._undecided <= _FEW and time.monotonic() < self._eager_until:
            return self._loop.call_soon(self._serve)
        return self._loop.call_later(_POLL_SECONDS, self._serve)

    def _is_doomed_by(self, error: Exception) -> bool:
        """Whether the error is fatal to the client, which another one takes over from then."""
        if not isinstance(error, KafkaException):
            return False
        reason: ClientError = error.args[0]
        if reason.fatal():
            self._fatal = reason
        elif reason.code() != ClientError._FATAL:
            return False
        self._doomed = True
        return True

    def _replace(self) -> None:
        """A fatal error (no right to write, a broken sequence) is for good to a client: go on with a new one."""
        now = time.monotonic()
        if self._closed or now - self._renewed_at < _RENEWAL_SECONDS:
            return
        logger.error("the Kafka producer met a fatal error and is replaced: %s", self._fatal)
        self._renewed_at = now
        self.client.purge(blocking=False)
        self._broken.append(self.client)
        self.client = ClientProducer(self._config)
        self._doomed = False

    def _bury(self) -> None:
        """Let go of clients that were replaced, once the last of their reports is in."""
        for index in reversed(range(len(self._broken))):
            self._poll(self._broken[index])
            if not len(self._broken[index]):
                # To destroy a client takes a while; the list is its only owner.
                destruction = self._loop.run_in_executor(None, [self._broken.pop(index)].clear)
                self._destructions.add(destruction)
                destruction.add_done_callback(self._destructions.discard)
        if not self._broken and not self._doomed:
            self._fatal = None


def _extras(record: SerializedRecord) -> dict[str, Any]:
    """What few records have: a timestamp, headers."""
    if record.timestamp == _NOW:
        raise InvalidKafkaRequest(_NO_EPOCH, field="timestamp")
    extras: dict[str, Any] = {} if record.timestamp is None else {"timestamp": record.timestamp}
    if record.headers:
        if any("\0" in header.name for header in record.headers):
            raise InvalidKafkaRequest(_CUT_NAME, field="headers")
        extras["headers"] = [(header.name, header.value) for header in record.headers]
    return extras
