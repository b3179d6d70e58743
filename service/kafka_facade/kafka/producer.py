"""Producing through librdkafka, with delivery reports served on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message
from confluent_kafka import Producer as ClientProducer

from kafka_facade.core.errors import (
    FacadeError,
    InvalidKafkaRequest,
    LeaderNotAvailable,
    PartitionNotFound,
    RetriableKafkaError,
    TopicAlreadyExists,
    TopicNotFound,
    Unavailable,
)
from kafka_facade.core.ports import Delivery, SerializedRecord
from kafka_facade.core.requests import CreateTopic
from kafka_facade.core.resources import TopicPartition
from kafka_facade.kafka.admin import Admin
from kafka_facade.kafka.blocking import Blocking, positive
from kafka_facade.kafka.errors import facade_error, from_exception

logger = logging.getLogger("kafka_facade.kafka")

# How often (s) reports are looked for while records are in flight. One wake-up serves all that have arrived; waking
# the loop from a poll thread for each record costs several times as much.
_POLL_SECONDS = 0.0005
# While nothing is in flight, the client's log lines and errors still want to be served now and then.
_IDLE_POLL_SECONDS = 1.0
_FULL_QUEUE_SECONDS = 0.002
_METADATA_SECONDS = 30.0
# An unknown partition makes us ask again, but not more often than this (s) for a topic.
_REFRESH_SECONDS = 0.1
_CREATION_SECONDS = 0.05
_READY_SECONDS = 5.0
_PARTITIONER_DECIDES = -1
_NOW = 0
_NO_EPOCH = "A record of 1970-01-01T00:00:00Z can't be produced: to the Kafka client that is no timestamp."


class _Batch:
    """Collects the reports of records that were submitted together."""

    __slots__ = ("future", "left", "outcomes", "records")

    def __init__(
        self, records: Sequence[SerializedRecord], future: asyncio.Future[list[Delivery | FacadeError]]
    ) -> None:
        self.outcomes: list[Any] = [None] * len(records)
        self.left = len(records)
        self.records = records
        self.future = future

    def decide(self, index: int, outcome: Delivery | FacadeError) -> None:
        self.outcomes[index] = outcome
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(self.outcomes)


class Producer:
    """The producer port over one cluster and one set of settings. Made and used on one event loop."""

    def __init__(
        self,
        config: Mapping[str, Any],
        blocking: Blocking,
        admin: Admin,
    ) -> None:
        self._config = dict(config)
        self._client = ClientProducer(self._config)
        self._admin = admin
        self._blocking = blocking
        self._loop = asyncio.get_running_loop()
        self._in_flight = 0
        self._timer: asyncio.TimerHandle = self._loop.call_later(_IDLE_POLL_SECONDS, self._serve)
        self._fast = False
        self._closed = False
        self._renewal: asyncio.Handle | None = None
        self._partitions: dict[str, tuple[int, float]] = {}

    def cached_partition_count(self, topic: str) -> int | None:
        """The number of partitions if it is known and fresh, without asking Kafka."""
        known = self._partitions.get(topic)
        if known is None or time.monotonic() - known[1] > _METADATA_SECONDS:
            return None
        return known[0]

    async def partition_count(self, topic: str, timeout: float, *, refresh: bool = False) -> int:
        """The number of partitions; a topic that the broker creates by itself is created (TopicNotFound otherwise)."""
        known = self._partitions.get(topic)
        if known is not None and time.monotonic() - known[1] < (_REFRESH_SECONDS if refresh else _METADATA_SECONDS):
            return known[0]
        deadline = time.monotonic() + timeout
        while True:
            left = positive(deadline - time.monotonic())
            found = await self._blocking.run(left, self._client.list_topics, topic, timeout=left)
            described = found.topics[topic]
            if described.error is None and described.partitions:
                count = len(described.partitions)
                if known is None or known[0] != count:
                    await self._until_ready(
                        topic, [entry.id for entry in described.partitions.values() if entry.leader >= 0]
                    )
                self._forget_stale()
                self._partitions[topic] = (count, time.monotonic())
                return count
            self._partitions.pop(topic, None)
            error = LeaderNotAvailable() if described.error is None else facade_error(described.error, topic_name=topic)
            await self._while_created(topic, error, deadline)

    async def submit(
        self, topic: str, records: Sequence[SerializedRecord]
    ) -> asyncio.Future[list[Delivery | FacadeError]]:
        """Hand records to the producer, in order, waiting while its queue is full."""
        if self._closed:
            raise Unavailable("The server is shutting down.")
        batch = _Batch(records, self._loop.create_future())
        for index, record in enumerate(records):
            while True:
                if record.timestamp == _NOW:
                    batch.decide(index, InvalidKafkaRequest(_NO_EPOCH, field="timestamp"))
                    break
                try:
                    self._client.produce(
                        topic,
                        record.value,
                        record.key,
                        _PARTITIONER_DECIDES if record.partition is None else record.partition,
                        partial(self._report, batch, index),
                        timestamp=_NOW if record.timestamp is None else record.timestamp,
                        headers=[(header.name, header.value) for header in record.headers] or None,
                    )
                except BufferError:
                    self._wake()
                    await asyncio.sleep(_FULL_QUEUE_SECONDS)
                    continue
                except Exception as error:
                    # A topic that is gone is looked for anew by the next request.
                    self._partitions.pop(topic, None)
                    batch.decide(index, from_exception(error))
                else:
                    self._in_flight += 1
                break
        self._wake()
        return batch.future

    async def close(self, timeout: float) -> int:
        """Take nothing more, wait for what is in flight; the number of records given up after ``timeout`` (s)."""
        self._closed = True
        deadline = time.monotonic() + timeout
        while self._in_flight and time.monotonic() < deadline:
            self._wake()
            await asyncio.sleep(_FULL_QUEUE_SECONDS)
        left = self._in_flight
        self._client.purge()
        self._client.poll(0)
        self._timer.cancel()
        return left

    async def _until_ready(self, topic: str, partitions: Sequence[int]) -> None:
        """Wait until the leaders of a topic that is new to us really serve it, or a moment has passed.

        Metadata names a leader before that broker has the partition. A first batch that is refused then, and a second
        one that is taken, would swap places; to an idempotent producer the first would even look like a duplicate,
        since a partition without state takes any sequence number (KIP-360).
        """
        until = time.monotonic() + _READY_SECONDS
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        while (left := until - time.monotonic()) > 0:
            answers = await self._admin.offsets(wanted, left)
            if not any(isinstance(answer, FacadeError) for answer in answers):
                return
            await asyncio.sleep(_CREATION_SECONDS)
            await self._admin.refresh(topic, left)

    async def _while_created(self, topic: str, error: FacadeError, deadline: float) -> None:
        """Create the topic as its brokers would, or wait a moment while it is being created; the error otherwise."""
        left = deadline - time.monotonic()
        if left < _CREATION_SECONDS:
            raise error
        if isinstance(error, TopicNotFound):
            if not await self._admin.creates_topics(left):
                raise error
            # Not by a metadata request of the producer's: it would go on to create what others have deleted.
            with contextlib.suppress(TopicAlreadyExists):
                await self._admin.create_topic(CreateTopic("", topic), left)
        elif not isinstance(error, LeaderNotAvailable):
            raise error
        await asyncio.sleep(_CREATION_SECONDS)

    def _wake(self) -> None:
        if not self._fast:
            self._fast = True
            self._timer.cancel()
            self._timer = self._loop.call_later(_POLL_SECONDS, self._serve)

    def _serve(self) -> None:
        self._client.poll(0)
        self._fast = self._in_flight > 0
        self._timer = self._loop.call_later(_POLL_SECONDS if self._fast else _IDLE_POLL_SECONDS, self._serve)

    def _report(self, batch: _Batch, index: int, error: ClientError | None, message: Message) -> None:
        self._in_flight -= 1
        if error is not None:
            if error.fatal() and self._renewal is None:
                self._renewal = self._loop.call_soon(self._renew)
            topic = message.topic() or ""
            outcome: Delivery | FacadeError = facade_error(error, topic_name=topic)
            if isinstance(outcome, (TopicNotFound, PartitionNotFound)):
                self._partitions.pop(topic, None)
                if isinstance(outcome, PartitionNotFound) and batch.records[index].partition is None:
                    # The partitioner chose from partitions that are gone: a topic of that name was made anew.
                    outcome = RetriableKafkaError("The partitions of the topic have changed.", topic_name=topic)
        else:
            kind, timestamp = message.timestamp()
            outcome = Delivery(message.partition() or 0, message.offset() or 0, timestamp if kind else None)
        batch.decide(index, outcome)

    def _renew(self) -> None:
        """A fatal error (a broken sequence of an idempotent producer) is for good: go on with a new client."""
        logger.error("the Kafka producer met a fatal error and is replaced")
        self._client.purge()
        self._client.poll(0)
        self._client = ClientProducer(self._config)
        self._renewal = None

    def forget(self, topic: str) -> None:
        """Ask anew how many partitions a topic has."""
        self._partitions.pop(topic, None)

    def _forget_stale(self) -> None:
        """Bound the cache by forgetting what would have to be asked again anyway."""
        if len(self._partitions) > 10_000:
            now = time.monotonic()
            self._partitions = {k: v for k, v in self._partitions.items() if now - v[1] <= _METADATA_SECONDS}
