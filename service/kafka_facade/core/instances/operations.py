"""Operations on consumer instances (reference: v2 "Consumers")."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from kafka_facade.core import limits
from kafka_facade.core.call import Call
from kafka_facade.core.errors import (
    ConsumerAlreadyExists,
    ConsumerFormatMismatch,
    ConsumerInstanceNotFound,
    FacadeError,
    IllegalConsumerState,
    InvalidRequest,
    InvalidTopicName,
    PartitionNotFound,
    TooManyRequests,
    Unavailable,
)
from kafka_facade.core.instances.model import (
    FETCH_OPERATIONS,
    AssignConsumer,
    CommitOffsets,
    ConsumerInstance,
    CreateConsumer,
    DeleteConsumer,
    FetchRecords,
    GetAssignments,
    GetCommittedOffsets,
    GetConsumerInstance,
    GetSubscription,
    OfInstance,
    SeekConsumer,
    SeekToBeginning,
    SeekToEnd,
    SubscribeConsumer,
    Unsubscribe,
)
from kafka_facade.core.instances.placement import is_here, placed
from kafka_facade.core.instances.port import PeerPort
from kafka_facade.core.instances.session import ConsumerSession
from kafka_facade.core.instances.settings import ConsumerDefaults, generated_name, resolve
from kafka_facade.core.instances.topic_pattern import TopicPattern
from kafka_facade.core.kafka_clients import KafkaIdentity, Lease
from kafka_facade.core.kafka_text import check_text
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.model import FetchedRecord
from kafka_facade.core.registry import also_answers, implements, without_kafka
from kafka_facade.core.topics.operations import is_legal_topic_name
from kafka_facade.core.topics.port import AdminPort
from kafka_facade.core.topics.positions import (
    EARLIEST,
    LATEST,
    CommittedOffset,
    PartitionPosition,
    PartitionTime,
    TopicPartition,
)

_MAX_OFFSET = 2**63 - 2
_CLOSE_SECONDS = 10.0
_NAMES_TRIED = 200
_EXPIRY_CHECK_SECONDS = 1.0
# How long (s) a read waits for the list of topics when it re-evaluates its pattern.
_MATCH_SECONDS = 1.0


class Consumers:
    """Operations on consumer instances; owns the sessions of this worker.

    An instance belongs to the Kafka identity that created it: for others it does not exist, and they may have one of
    the same group and name.
    """

    def __init__(
        self,
        defaults: ConsumerDefaults,
        closing: asyncio.Event,
        decoding: Decoding,
        peers: PeerPort | None = None,
    ) -> None:
        self.peers = peers
        self._decoding = decoding
        self._closing = closing
        self._defaults = defaults
        self._sessions: dict[_Key, ConsumerSession] = {}
        self._leases: dict[_Key, Lease] = {}
        # Instances whose consumers are being created.
        self._creating: set[_Key] = set()
        self._closed = False
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def request_max_bytes(self) -> int:
        """Maximum bytes of keys and values that a fetch returns."""
        return self._defaults.request_max_bytes

    @implements("api.v2.consumers.create")
    @without_kafka
    async def create(self, call: Call, request: CreateConsumer) -> ConsumerInstance:
        """Create an instance; ConsumerAlreadyExists, InvalidConsumerConfig, TooManyRequests."""
        if request.name is None and self.peers is not None:
            # Prefer a generated name whose slot this worker holds, so that requests need no forwarding.
            names = (generated_name() for _ in range(_NAMES_TRIED))
            here = (name for name in names if is_here(self.peers, request.group, name))
            request = replace(request, name=next(here, generated_name()))
        return await self.create_named(call, request)

    @placed
    async def create_named(self, call: Call, request: CreateConsumer) -> ConsumerInstance:
        """Create an instance in the worker that holds its slot."""
        instance = resolve(request, self._defaults)
        key = (call.lease.identity, instance.group, instance.instance_id)
        if key in self._sessions or key in self._creating:
            raise ConsumerAlreadyExists(group=instance.group, instance=instance.instance_id)
        if len(self._sessions) + len(self._creating) >= self._defaults.max_instances:
            limit = f"{self._defaults.max_instances} consumer instances (consumer.instances.max)"
            raise TooManyRequests(f"This worker has reached its limit of {limit}.")
        self._creating.add(key)
        try:
            consumer = await call.kafka.consumers.create(
                group=instance.group,
                auto_offset_reset=instance.auto_offset_reset,
                auto_commit=instance.auto_commit,
                overrides={},
            )
        finally:
            self._creating.discard(key)
        self._sessions[key] = ConsumerSession(
            instance, consumer, self._defaults.request_max_bytes, self._closing, self._decoding
        )
        # The instance uses the clients of its identity for as long as it lives.
        self._leases[key] = call.lease.share()
        if self._closed:
            await asyncio.shield(self._end(key))
            raise Unavailable("The server is shutting down.")
        if not is_here(self.peers, *key[1:]):
            # The slot has moved meanwhile: the new owner creates the instance.
            await asyncio.shield(self._end(key))
            return await self.create_named(call, request)
        return instance

    # The catalogue has no operation for reading an instance; these operations need its settings or return them.
    @also_answers("api.v2.consumers.subscribe", "api.v2.consumers.get-subscription", *FETCH_OPERATIONS.values())
    @placed
    async def get(self, call: Call, request: GetConsumerInstance) -> ConsumerInstance:
        """The settings of an instance; ConsumerInstanceNotFound."""
        return self._session(call, request).instance

    @implements("api.v2.consumers.delete")
    @placed
    async def delete(self, call: Call, request: DeleteConsumer) -> None:
        """Leave the group and forget the instance; ConsumerInstanceNotFound."""
        async with self._session(call, request).use(settled=True):
            # Finish even if the caller disconnects; an unclosed member would stay in the group for good.
            await asyncio.shield(self._end(_key(call, request)))

    @implements("api.v2.consumers.subscribe")
    @placed
    async def subscribe(self, call: Call, request: SubscribeConsumer) -> None:
        """Subscribe to topics or a pattern. Raises IllegalConsumerState if partitions are assigned manually."""
        if request.topics and request.topic_pattern is not None:
            raise IllegalConsumerState
        pattern = None if request.topic_pattern is None else TopicPattern(request.topic_pattern)
        if len(request.topics) > limits.NAMED_TOPICS:
            raise InvalidRequest(f"At most {limits.NAMED_TOPICS} topics can be subscribed to.", field="topics")
        for index, topic in enumerate(request.topics):
            if not is_legal_topic_name(topic):
                raise InvalidTopicName(topic=topic, field=f"topics[{index}]")
        async with self._session(call, request).use(settled=True) as session:
            topics = request.topics if pattern is None else await _matching(pattern, call.kafka.admin, call.remaining)
            await session.subscribe(topics, pattern)

    @implements("api.v2.consumers.get-subscription")
    @placed
    async def get_subscription(self, call: Call, request: GetSubscription) -> Sequence[str]:
        """The topics subscribed to by name, or those that matched the pattern when it was last evaluated."""
        async with self._session(call, request).use() as session:
            return session.subscription()

    @implements("api.v2.consumers.unsubscribe")
    @placed
    async def unsubscribe(self, call: Call, request: Unsubscribe) -> None:
        """Drop the subscription or the assignment."""
        async with self._session(call, request).use(settled=True) as session:
            await session.unsubscribe()

    @implements("api.v2.consumers.assign")
    @placed
    async def assign(self, call: Call, request: AssignConsumer) -> None:
        """Assign exactly these partitions. Raises IllegalConsumerState if there is a subscription."""
        async with self._session(call, request).use(settled=True) as session:
            if len(request.partitions) > limits.ASSIGNED_PARTITIONS:
                raise InvalidRequest(
                    f"At most {limits.ASSIGNED_PARTITIONS} partitions can be assigned.", field="partitions"
                )
            _check_partitions(request.partitions)
            await session.assign(request.partitions)

    @implements("api.v2.consumers.get-assignments")
    @placed
    async def get_assignments(self, call: Call, request: GetAssignments) -> Sequence[TopicPartition]:
        """The current assignment, made manually or by the group."""
        async with self._session(call, request).use() as session:
            return session.consumer.assignment()

    @implements(*FETCH_OPERATIONS.values())
    @without_kafka
    async def fetch(self, call: Call, request: FetchRecords) -> list[FetchedRecord]:
        """Return the next records, waiting until the timeout, ``max_bytes`` or ``fetch.min.bytes`` is reached.

        Returns at least one record if there is one, even if it exceeds ``max_bytes``. Raises ConsumerFormatMismatch,
        DeserializationFailed and RecordTooLarge (the position stays at the record), IllegalConsumerState without a
        subscription or an assignment, and InvalidRequest for a ``max_bytes`` below 1.
        """
        if request.max_bytes is not None and request.max_bytes < 1:
            raise InvalidRequest("max_bytes must be at least 1.", field="max_bytes")
        found = await self.fetch_here(call, request)
        if call.usage is not None:
            call.usage.add((fetched.record.key, fetched.record.value) for fetched in found)
        return found

    @placed
    async def fetch_here(self, call: Call, request: FetchRecords) -> list[FetchedRecord]:
        """Fetch in the worker that holds the slot of the instance."""
        session = self._session(call, request)
        if request.format is not None and request.format is not session.instance.format:
            raise ConsumerFormatMismatch
        admin = call.kafka.admin
        return await session.fetch(
            request, call.remaining, lambda pattern: _matching(pattern, admin, _MATCH_SECONDS), call.hand_over
        )

    @implements("api.v2.consumers.commit-offsets")
    @placed
    async def commit(self, call: Call, request: CommitOffsets) -> None:
        """Commit offsets, or the current positions, and wait for the group coordinator's acknowledgement."""
        async with self._session(call, request).use(settled=True) as session:
            if request.offsets is not None:
                _check_positions(request.offsets)
            offsets = (
                session.positions()
                if request.offsets is None
                else {(entry.topic, entry.partition): entry.offset + 1 for entry in request.offsets}
            )
            metadata = {(entry.topic, entry.partition): entry.metadata for entry in request.offsets or ()}
            if offsets:
                await session.consumer.commit(offsets, call.remaining, metadata)

    @implements("api.v2.consumers.get-committed-offsets")
    @placed
    async def get_committed(self, call: Call, request: GetCommittedOffsets) -> list[CommittedOffset]:
        """The group's committed offsets of these partitions; partitions without one are omitted."""
        async with self._session(call, request).use() as session:
            if not request.partitions:
                raise PartitionNotFound
            _check_partitions(request.partitions)
            return await session.consumer.committed(request.partitions, call.remaining)

    @implements("api.v2.consumers.seek-to-offset")
    @placed
    async def seek(self, call: Call, request: SeekConsumer) -> None:
        """Seek to offsets and times. Raises IllegalConsumerState for a partition that is not assigned."""
        _check_positions(request.offsets)
        _check_partitions(request.times, "times")
        async with self._session(call, request).use() as session:
            session.check_assigned([*request.offsets, *request.times])
            positions = list(request.offsets)
            ends = []
            for entry in request.times:
                where = TopicPartition(entry.topic, entry.partition)
                # Negative timestamps have special meanings in Kafka, such as -1 for the end.
                [offset] = await session.consumer.offsets_at([where], max(entry.timestamp, 0), call.remaining)
                if offset < 0:
                    ends.append(where)
                else:
                    positions.append(PartitionPosition(entry.topic, entry.partition, offset))
            await session.seek([*positions, *await self._ends(ends, call)], call.remaining)

    @implements("api.v2.consumers.seek-to-beginning")
    @placed
    async def seek_to_beginning(self, call: Call, request: SeekToBeginning) -> None:
        """Seek to the first offset of these partitions."""
        _check_partitions(request.partitions)
        positions = [PartitionPosition(entry.topic, entry.partition, EARLIEST) for entry in request.partitions]
        async with self._session(call, request).use() as session:
            await session.seek(positions, call.remaining)

    @implements("api.v2.consumers.seek-to-end")
    @placed
    async def seek_to_end(self, call: Call, request: SeekToEnd) -> None:
        """Seek to the current end of these partitions."""
        _check_partitions(request.partitions)
        async with self._session(call, request).use() as session:
            session.check_assigned(request.partitions)
            await session.seek(await self._ends(request.partitions, call), call.remaining)

    async def expire(self) -> None:
        """Close instances that were idle for ``consumer.instance.timeout.ms``; runs until cancelled."""
        while True:
            await asyncio.sleep(_EXPIRY_CHECK_SECONDS)
            limit = self._defaults.instance_timeout_ms / 1000
            for key in [key for key, session in self._sessions.items() if session.idle_seconds > limit]:
                self._end(key)

    def end_moved(self) -> None:
        """End the instances that belong to other workers now: no call reaches them here any more."""
        for key in [key for key in self._sessions if not is_here(self.peers, *key[1:])]:
            self._end(key)

    async def close(self, timeout: float) -> None:
        """Close all instances concurrently within ``timeout`` (s)."""
        self._closed = True
        for key in list(self._sessions):
            self._end(key, timeout)
        await asyncio.gather(*self._endings)

    def _end(self, key: _Key, timeout: float = _CLOSE_SECONDS) -> asyncio.Task[None]:
        """Remove an instance at once, and close it in a task."""
        session, lease = self._sessions.pop(key), self._leases.pop(key)
        session.end()
        ending = asyncio.create_task(_close(session, lease, timeout), name="consumer close")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return ending

    async def _ends(self, partitions: Sequence[TopicPartition], call: Call) -> list[PartitionPosition]:
        """The current end of each partition, so that records produced after the seek are read."""
        found = []
        for entry, offsets in zip(partitions, await call.kafka.admin.offsets(partitions, call.remaining), strict=True):
            # A partition that is missing or unavailable now is read from its end once it appears.
            end = LATEST if isinstance(offsets, FacadeError) else offsets[1]
            found.append(PartitionPosition(entry.topic, entry.partition, end))
        return found

    def _session(self, call: Call, request: OfInstance) -> ConsumerSession:
        try:
            return self._sessions[_key(call, request)]
        except KeyError:
            raise ConsumerInstanceNotFound(group=request.group, instance=request.instance) from None


_Key = tuple[KafkaIdentity, str, str]
"""The owner of an instance, its group and its id."""


def _key(call: Call, request: OfInstance) -> _Key:
    return call.lease.identity, request.group, request.instance


async def _close(session: ConsumerSession, lease: Lease, timeout: float) -> None:
    try:
        await session.close(timeout)
    finally:
        lease.release()


async def _matching(pattern: TopicPattern, admin: AdminPort, timeout: float) -> list[str]:
    """The topics that match now, without internal topics, as with the official proxy."""
    topics = [entry.topic for entry in await admin.list_topics(timeout)]
    return pattern.matching(topic.topic_name for topic in topics if not topic.is_internal)


def _check_partitions(
    partitions: Sequence[TopicPartition | PartitionPosition | PartitionTime], place: str = "partitions"
) -> None:
    """InvalidTopicName, InvalidRequest; ``place`` is the field of the request that holds them."""
    if len(partitions) > limits.NAMED_PARTITIONS:
        raise InvalidRequest(f"At most {limits.NAMED_PARTITIONS} partitions can be named.", field=place)
    for index, entry in enumerate(partitions):
        if not is_legal_topic_name(entry.topic):
            raise InvalidTopicName(topic=entry.topic, field=f"{place}[{index}].topic_name")
        if not 0 <= entry.partition < 2**31:
            raise InvalidRequest("A partition must not be negative.", field=f"{place}[{index}].partition_id")


def _check_positions(positions: Sequence[PartitionPosition]) -> None:
    _check_partitions(positions, "offsets")
    for index, entry in enumerate(positions):
        if not 0 <= entry.offset <= _MAX_OFFSET:
            raise InvalidRequest(f"An offset must be from 0 to {_MAX_OFFSET}.", field=f"offsets[{index}].offset")
        check_text(entry.metadata, f"offsets[{index}].metadata")
