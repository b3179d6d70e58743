"""Reading a topic without a consumer group, to its end or continuously."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Mapping, Sequence

from msgspec import structs

from kafka_facade.core.call import Call
from kafka_facade.core.errors import (
    FacadeError,
    InvalidRequest,
    PartitionNotFound,
    TooManyRequests,
    TopicNotFound,
    Unavailable,
)
from kafka_facade.core.outgoing import LARGE, Message, Outgoing
from kafka_facade.core.records.model import ConsumeRecords, Record
from kafka_facade.core.records.port import ConsumerPort
from kafka_facade.core.records.sizes import record_size
from kafka_facade.core.registry import implements
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.model import ListPartitions, ReadOffsets
from kafka_facade.core.topics.operations import Topics
from kafka_facade.core.topics.positions import LATEST, PartitionPosition, TopicPartition

logger = logging.getLogger("kafka_facade.core")

STARTS = ("earliest", "latest", "offset", "timestamp")

# Records per poll: small, so that the loop is not blocked and few records exceed the limits of a batch.
_POLL_RECORDS = 50
_IDLE_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
# A stream that has memory for a large batch gives it back if none arrives within this time (s).
_ARRIVAL_SECONDS = 5.0
# How long (s) it is remembered that the batches of a topic are large, and of how many topics.
_REMEMBERED_SECONDS = 60.0
_MOST_REMEMBERED = 1000
# librdkafka does not report a deleted topic, so check after this long (s) without a record.
_LOOK_SECONDS = 10.0


class Reading:
    """Operations that read records as a stream."""

    def __init__(self, topics: Topics, closing: asyncio.Event, outgoing: Outgoing) -> None:
        self._topics = topics
        self._closing = closing
        self._outgoing = outgoing
        # The size of the last large batch of each topic, and when it was read.
        self._large: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @implements("api.facade.records.consume")
    async def consume(self, call: Call, request: ConsumeRecords) -> AsyncGenerator[list[Record], None]:
        """Yield batches of records, in order within a partition. The call's deadline bounds only the start.

        A batch has the available records, up to ``max_records`` and ``max_bytes``; a larger record gets a batch of its
        own. Only one batch and the consumer's bounded queue are prefetched. A large batch waits for memory, and holds
        it until the next one is asked for. Raises TopicNotFound (also if the topic is deleted later),
        PartitionNotFound, InvalidRequest for an invalid start or limits below 1, and TooManyRequests if too many wait.
        """
        if request.start not in STARTS:
            raise InvalidRequest(f"The start must be one of {', '.join(STARTS)}.", field="start")
        for limit in ("max_records", "max_bytes"):
            if getattr(request, limit) < 1:
                raise InvalidRequest("The limit must be at least 1.", field=limit)
        consumer = await call.kafka.consumers.create(
            group=None, auto_offset_reset="earliest", auto_commit=False, overrides={}
        )
        large = self._outgoing.message()
        try:
            starts, ends = await self._range(call, request, consumer)
            remaining = {key: end for key, end in ends.items() if starts[key] < end}
            if remaining:
                await self._room(large, self._expected(request.topic_name))
            await consumer.assign([PartitionPosition(*key, offset) for key, offset in starts.items()])
            held: deque[Record] = deque()
            looked_at = time.monotonic()
            while request.follow or remaining or held:
                if self._closing.is_set():
                    raise Unavailable("The server is shutting down.")
                batch = await self._next_batch(consumer, request, ends, held, large)
                if batch:
                    large.hand_over()
                    yield batch
                    large.release()
                    if call.usage is not None:
                        call.usage.add((record.key, record.value) for record in batch)
                    # The next one may have to wait for memory.
                    del batch
                    looked_at = time.monotonic()
                elif time.monotonic() - looked_at > _LOOK_SECONDS:
                    await self._look(call, request)
                    looked_at = time.monotonic()
                if not held:
                    # Records that are held may be put back, and so may the positions.
                    for key in [key for key, end in remaining.items() if consumer.position(*key) >= end]:
                        del remaining[key]
        finally:
            large.release()
            await consumer.close(_CLOSE_SECONDS)

    async def _next_batch(
        self,
        consumer: ConsumerPort,
        request: ConsumeRecords,
        ends: Mapping[tuple[str, int], int],
        held: deque[Record],
        large: Message,
    ) -> list[Record]:
        """Like the function, but hold memory for a large batch. Returns nothing after having waited for it."""
        batch, size = await _next_batch(consumer, request, ends, held)
        if size <= LARGE:
            if batch or (large.held and time.monotonic() - large.held_since > _ARRIVAL_SECONDS):
                large.release()
            return batch
        self._remember(request.topic_name, size)
        if large.fits(size):
            return batch
        # Hold nothing while waiting: read them again afterwards.
        first = _first([*batch, *held])
        del batch
        held.clear()
        await consumer.put_back(first)
        await self._room(large, size)
        return []

    def _remember(self, topic_name: str, size: int) -> None:
        """Remember the size of a large batch.

        Many streams that start at once would all fetch such a batch before they know that they must wait.
        """
        self._large[topic_name] = size, time.monotonic()
        self._large.move_to_end(topic_name)
        if len(self._large) > _MOST_REMEMBERED:
            self._large.popitem(last=False)

    def _expected(self, topic_name: str) -> int:
        """Return the size of the batches of a topic, if they were large lately; otherwise 0."""
        size, read_at = self._large.get(topic_name, (0, 0.0))
        return size if time.monotonic() - read_at < _REMEMBERED_SECONDS else 0

    async def _room(self, large: Message, size: int) -> None:
        """Wait for memory for a batch of so many bytes, if it is large."""
        if size <= LARGE:
            return
        try:
            await large.reserve(size, lasting=True)
        except TooManyRequests:
            if self._closing.is_set():
                raise Unavailable("The server is shutting down.") from None
            raise

    async def _look(self, call: Call, request: ConsumeRecords) -> None:
        """Raise TopicNotFound if the topic no longer exists."""
        # The call's own deadline applies only to the start.
        look = structs.replace(call, deadline=time.monotonic() + _LOOK_SECONDS)
        try:
            await self._topics.list_partitions(look, ListPartitions(request.cluster_id, request.topic_name))
        except TopicNotFound:
            raise
        except FacadeError as error:
            # A stream survives an outage of Kafka.
            logger.debug("whether topic %s is still there can't be told: %s", request.topic_name, error)

    async def _range(
        self, call: Call, request: ConsumeRecords, consumer: ConsumerPort
    ) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
        """Return the start offset and the current end offset of each partition."""
        partitions = await self._topics.list_partitions(call, ListPartitions(request.cluster_id, request.topic_name))
        known = {partition.partition_id: partition for partition in partitions}
        missing = [wanted for wanted in request.partitions if wanted not in known]
        if missing:
            raise PartitionNotFound(topic_name=request.topic_name, partition_id=str(missing[0]))
        chosen = [known[wanted] for wanted in dict.fromkeys(request.partitions or known)]
        starts: dict[tuple[str, int], int] = {}
        ends: dict[tuple[str, int], int] = {}
        for found in await self._topics.read_offsets(call, ReadOffsets(request.cluster_id, chosen)):
            if isinstance(found, FacadeError):
                raise found
            key = (found.topic_name, found.partition_id)
            ends[key] = found.latest_offset
            match request.start:
                case "earliest":
                    starts[key] = found.earliest_offset
                case "offset":
                    starts[key] = min(max(request.offset, found.earliest_offset), found.latest_offset)
                case _:
                    starts[key] = found.latest_offset
        wanted = [TopicPartition(*key) for key in starts]
        if not request.follow:
            # Use the last stable offset, because an open transaction holds back later records.
            stable = await consumer.offsets_at(wanted, LATEST, call.remaining)
            ends |= {key: offset for key, offset in zip(starts, stable, strict=True) if offset >= 0}
        if request.start == "timestamp":
            # Negative timestamps have special meanings in Kafka, such as -1 for the end.
            found_offsets = await consumer.offsets_at(wanted, max(request.timestamp, 0), call.remaining)
            starts |= {key: offset for key, offset in zip(starts, found_offsets, strict=True) if offset >= 0}
        return starts, ends


async def _next_batch(
    consumer: ConsumerPort, request: ConsumeRecords, ends: Mapping[tuple[str, int], int], held: deque[Record]
) -> tuple[list[Record], int]:
    """Return available records up to the request's limits, and their size; waits briefly. Keeps the rest in ``held``.

    The size is an upper bound (bytes) of the encoded one.
    """
    batch: list[Record] = []
    left = request.max_bytes
    while True:
        while held:
            size = record_size(held[0])
            if batch and left < size:
                return batch, request.max_bytes - left
            left -= size
            batch.append(held.popleft())
            if left <= 0 or len(batch) >= request.max_records:
                return batch, request.max_bytes - left
        try:
            polled = await consumer.poll(_POLL_RECORDS, 0.0 if batch else _IDLE_SECONDS)
        except FacadeError:
            if not batch:
                raise
            # Return the records first; a persistent error is raised again by the next poll.
            return batch, request.max_bytes - left
        if not request.follow:
            polled = [record for record in polled if record.offset < ends[record.topic_name, record.partition_id]]
        if not polled:
            return batch, request.max_bytes - left
        # Polling may have taken as long as a piece of work may, and so may counting the bytes of many headers.
        await time_slice()
        size = sum(map(record_size, polled))
        if size < left and len(batch) + len(polled) < request.max_records:
            batch += polled
            left -= size
        else:
            held.extend(polled)


def _first(records: Sequence[Record]) -> list[PartitionPosition]:
    """Return the position of the first record of each partition."""
    found: dict[tuple[str, int], int] = {}
    for record in records:
        found.setdefault((record.topic_name, record.partition_id), record.offset)
    return [PartitionPosition(*place, offset) for place, offset in found.items()]
