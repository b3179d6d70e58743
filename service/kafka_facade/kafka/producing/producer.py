"""The producer over librdkafka, with the topic metadata that it needs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from functools import partial

from kafka_facade.core.errors import (
    FacadeError,
    KafkaTimeout,
    LeaderNotAvailable,
    RetriableKafkaError,
    TopicAlreadyExists,
    TopicNotFound,
    Unavailable,
)
from kafka_facade.core.records.model import Delivery, RecordOrder
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.topics.port import TopicSpec
from kafka_facade.core.topics.positions import TopicPartition
from kafka_facade.kafka.admin.metadata_source import Fallback
from kafka_facade.kafka.admin.topics import Admin
from kafka_facade.kafka.authentication import Authentication
from kafka_facade.kafka.blocking import Blocking, positive
from kafka_facade.kafka.errors import facade_error
from kafka_facade.kafka.producing.lanes import NO_LEADERS
from kafka_facade.kafka.producing.producer_client import ProducerOpener
from kafka_facade.kafka.producing.send_queue import SendQueue
from kafka_facade.kafka.producing.topic_limits import TopicLimits

_METADATA_SECONDS = 30.0
# Minimum interval (s) between metadata refreshes of a topic because of an unknown partition.
_REFRESH_SECONDS = 0.1
_CREATION_SECONDS = 0.05
_READY_SECONDS = 5.0
_LOOK_SECONDS = 2.0
# How long (s) to wait for a topic's limits. Without them, more rejected records have to be resent.
_LIMITS_SECONDS = 1.0


class Producer:
    """Implements the producer port. Created and used on one event loop."""

    def __init__(
        self,
        opener: ProducerOpener,
        blocking: Blocking,
        admin: Admin,
        limits: TopicLimits,
    ) -> None:
        """The client is created at the first use."""
        self._opener = opener
        self._queue: SendQueue | None = None
        self._opening: asyncio.Task[SendQueue] | None = None
        self._closed = False
        self._limits = limits
        self._admin = admin
        self._blocking = blocking
        self._fallback = Fallback()
        # The leader of each partition of a topic, and when they were read.
        self._partitions: dict[str, tuple[Sequence[int], float]] = {}

    def cached_partition_count(self, topic: str) -> int | None:
        """The cached number of partitions, or None if it is unknown or stale."""
        known = self._partitions.get(topic)
        if known is None or time.monotonic() - known[1] > _METADATA_SECONDS:
            return None
        return len(known[0])

    async def partition_count(self, topic: str, timeout: float, *, refresh: bool = False) -> int:
        """The number of partitions. Creates a missing topic if brokers auto-create topics, else TopicNotFound."""
        known = self._partitions.get(topic)
        if known is not None and time.monotonic() - known[1] < (_REFRESH_SECONDS if refresh else _METADATA_SECONDS):
            return len(known[0])
        deadline = time.monotonic() + timeout
        queue = self._queue or await self.open()
        while True:
            left = positive(deadline - time.monotonic())
            leaders = await self._fallback.ask(
                left, partial(self._read_leaders, queue, topic), partial(self._describe_leaders, topic)
            )
            if not isinstance(leaders, FacadeError):
                if known is None or len(known[0]) != len(leaders):
                    await self._until_ready(topic, [place for place, leader in enumerate(leaders) if leader >= 0])
                await self._limits.learn(topic, min(positive(deadline - time.monotonic()), _LIMITS_SECONDS))
                self._forget_stale()
                self._partitions[topic] = (leaders, time.monotonic())
                return len(leaders)
            self._partitions.pop(topic, None)
            await self._while_created(topic, leaders, deadline)

    async def _read_leaders(self, queue: SendQueue, topic: str, timeout: float) -> Sequence[int] | FacadeError:
        """Return the leader of each partition, -1 for none, as the client that records go to sees them."""
        try:
            with queue.authentication.waiting():
                found = await self._blocking.run(timeout, queue.read_metadata, topic, timeout)
        except RetriableKafkaError:
            # It has no connection yet, or the broker that it asks hangs.
            raise KafkaTimeout from None
        described = found.topics[topic]
        if described.error is not None:
            return facade_error(described.error, topic_name=topic)
        return [described.partitions[place].leader for place in sorted(described.partitions)] or LeaderNotAvailable()

    async def _describe_leaders(self, topic: str, timeout: float) -> Sequence[int] | FacadeError:
        """Return the same as other brokers see them."""
        [found] = await self._admin.describe_topics([topic], timeout)
        if isinstance(found, FacadeError):
            return found
        leaders = [-1 if entry.leader_id is None else entry.leader_id for entry in found.partitions]
        return leaders or LeaderNotAvailable()

    async def submit(
        self, topic: str, records: Sequence[SerializedRecord], order: RecordOrder | None = None
    ) -> asyncio.Future[list[Delivery | FacadeError]]:
        """Hand records to the producer (see ``ProducerPort.submit``)."""
        queue = self._queue or await self.open()
        leaders, _ = self._partitions.get(topic, (NO_LEADERS, 0.0))
        return await queue.submit(topic, records, order, leaders)

    async def open(self) -> SendQueue:
        """Create the client if there is none yet. Raises TooManyRequests if the process has too many."""
        if self._closed:
            raise Unavailable("The server is shutting down.")
        if self._queue is not None:
            return self._queue
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="producer open")
            # Perhaps no call is left to retrieve the exception.
            self._opening.add_done_callback(lambda opening: opening.cancelled() or opening.exception())
        # Continue even if the caller is cancelled, because the client must have an owner.
        return await asyncio.shield(self._opening)

    async def _open(self) -> SendQueue:
        authentication = Authentication()
        try:
            client = await self._opener.open({"error_cb": authentication.on_error})
        finally:
            self._opening = None
        self._queue = SendQueue(client, self._opener, authentication, self.forget, self._limits)
        return self._queue

    async def close(self, timeout: float) -> int:
        """Reject new records and wait for those in flight; return how many were dropped after ``timeout`` (s)."""
        self._closed = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        queue, self._queue = self._queue, None
        if queue is None:
            return 0
        return await queue.close(timeout)

    async def _until_ready(self, topic: str, partitions: Sequence[int]) -> None:
        """Wait briefly until the leaders of a topic that was not used before serve it.

        Metadata names a leader before that broker has the partition. If it rejected the first batch and accepted the
        second, they would be reordered. To an idempotent producer the resent first batch would even look like a
        duplicate, since a partition without state accepts any sequence number (KIP-360).
        """
        until = time.monotonic() + _READY_SECONDS
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        while (left := until - time.monotonic()) > 0:
            answers = await self._admin.offsets(wanted, min(left, _LOOK_SECONDS))
            # A broker that hangs is not worth waiting for.
            wanted = [
                place
                for place, answer in zip(wanted, answers, strict=True)
                if isinstance(answer, FacadeError) and not isinstance(answer, KafkaTimeout)
            ]
            if not wanted:
                return
            await asyncio.sleep(_CREATION_SECONDS)

    async def _while_created(self, topic: str, error: FacadeError, deadline: float) -> None:
        """Create the topic if brokers auto-create topics, or wait while it is being created; otherwise raise."""
        left = deadline - time.monotonic()
        if left < _CREATION_SECONDS:
            raise error
        if isinstance(error, TopicNotFound):
            if not await self._admin.creates_topics(left):
                raise error
            # Do not use the producer's metadata requests: they would later recreate topics that others delete.
            with contextlib.suppress(TopicAlreadyExists):
                await self._admin.create_topic(TopicSpec(topic), left)
        elif not isinstance(error, LeaderNotAvailable):
            raise error
        await asyncio.sleep(_CREATION_SECONDS)

    def forget(self, topic: str) -> None:
        """Drop the cached partition count of a topic."""
        self._partitions.pop(topic, None)
        self._limits.forget(topic)

    def _forget_stale(self) -> None:
        """Bound the cache by dropping stale entries."""
        if len(self._partitions) > 10_000:
            now = time.monotonic()
            self._partitions = {k: v for k, v in self._partitions.items() if now - v[1] <= _METADATA_SECONDS}
