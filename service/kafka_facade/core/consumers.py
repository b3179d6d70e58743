"""Consumer instances: members of a consumer group that live in this gateway (reference: v2 "Consumers")."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from kafka_facade.core.catalogue import implements
from kafka_facade.core.consumer_config import ConsumerDefaults, resolve
from kafka_facade.core.consumer_session import ConsumerSession
from kafka_facade.core.errors import (
    ConsumerAlreadyExists,
    ConsumerFormatMismatch,
    ConsumerInstanceNotFound,
    IllegalConsumerState,
    InvalidRequest,
    PartitionNotFound,
    TooManyRequests,
)
from kafka_facade.core.pipeline import Call
from kafka_facade.core.ports import EARLIEST, LATEST, ConsumerFactory
from kafka_facade.core.requests import (
    AssignConsumer,
    CommitOffsets,
    ConsumerPartitions,
    ConsumerRef,
    CreateConsumer,
    FetchRecords,
    SeekConsumer,
    SubscribeConsumer,
)
from kafka_facade.core.resources import (
    CommittedOffset,
    ConsumerInstance,
    FetchedRecord,
    PartitionPosition,
    TopicPartition,
)

_CLOSE_SECONDS = 10.0
_EXPIRY_CHECK_SECONDS = 1.0


class Consumers:
    """Operations on consumer instances, and the owner of them all."""

    def __init__(self, factory: ConsumerFactory, defaults: ConsumerDefaults) -> None:
        self._factory = factory
        self._defaults = defaults
        self._sessions: dict[tuple[str, str], ConsumerSession] = {}

    @implements("api.v2.consumers.create")
    async def create(self, call: Call, request: CreateConsumer) -> ConsumerInstance:
        """Create an instance; ConsumerAlreadyExists, InvalidConsumerConfig."""
        instance = resolve(request, self._defaults)
        key = (instance.group, instance.instance_id)
        if key in self._sessions:
            raise ConsumerAlreadyExists(group=instance.group, instance=instance.instance_id)
        if len(self._sessions) >= self._defaults.max_instances:
            raise TooManyRequests(f"This server has {len(self._sessions)} consumer instances and takes no more.")
        consumer = self._factory.create(
            group=instance.group,
            auto_offset_reset=instance.auto_offset_reset,
            auto_commit=instance.auto_commit,
            overrides={},
        )
        self._sessions[key] = ConsumerSession(instance, consumer, self._defaults.request_max_bytes)
        return instance

    async def get(self, call: Call, request: ConsumerRef) -> ConsumerInstance:
        """The settings of an instance; ConsumerInstanceNotFound."""
        return self._session(request.group, request.instance).instance

    @implements("api.v2.consumers.delete")
    async def delete(self, call: Call, request: ConsumerRef) -> None:
        """Leave the group and forget the instance; ConsumerInstanceNotFound."""
        session = self._session(request.group, request.instance)
        del self._sessions[request.group, request.instance]
        async with session.use():
            await session.consumer.close(min(_CLOSE_SECONDS, call.remaining))

    @implements("api.v2.consumers.subscribe")
    async def subscribe(self, call: Call, request: SubscribeConsumer) -> None:
        """Join the group for topics or a pattern; IllegalConsumerState where partitions are assigned by hand."""
        if request.topics and request.topic_pattern is not None:
            raise IllegalConsumerState
        if request.topic_pattern is not None:
            try:
                re.compile(request.topic_pattern)
            except re.error as error:
                raise InvalidRequest(f"The topic pattern is invalid: {error}", field="topic_pattern") from None
        async with self._session(request.group, request.instance).use() as session:
            await session.subscribe(request.topics, request.topic_pattern)

    @implements("api.v2.consumers.get-subscription")
    async def get_subscription(self, call: Call, request: ConsumerRef) -> Sequence[str]:
        """The topics subscribed to by name, or those that the pattern matches so far."""
        async with self._session(request.group, request.instance).use() as session:
            return session.subscription()

    @implements("api.v2.consumers.unsubscribe")
    async def unsubscribe(self, call: Call, request: ConsumerRef) -> None:
        """Drop the subscription or the assignment."""
        async with self._session(request.group, request.instance).use() as session:
            await session.unsubscribe()

    @implements("api.v2.consumers.assign")
    async def assign(self, call: Call, request: AssignConsumer) -> None:
        """Read exactly these partitions; IllegalConsumerState where there is a subscription."""
        async with self._session(request.group, request.instance).use() as session:
            await session.assign(request.partitions)

    @implements("api.v2.consumers.get-assignments")
    async def get_assignments(self, call: Call, request: ConsumerRef) -> Sequence[TopicPartition]:
        """The partitions that the instance reads now, assigned by hand or by the group."""
        async with self._session(request.group, request.instance).use() as session:
            return session.consumer.assignment()

    @implements("api.v2.consumers.consume-binary", "api.v2.consumers.consume-json")
    async def fetch(self, call: Call, request: FetchRecords) -> list[FetchedRecord]:
        """The next records, until the timeout, ``max_bytes`` or the instance's ``fetch.min.bytes`` is reached.

        At least one record is returned if there is one, even if it alone is over ``max_bytes``. ConsumerFormatMismatch,
        DeserializationFailed (the position stays at the record), IllegalConsumerState without topics or partitions.
        """
        session = self._session(request.group, request.instance)
        if request.format is not None and request.format is not session.instance.format:
            raise ConsumerFormatMismatch
        async with session.use():
            return await session.fetch(request.timeout_ms, request.max_bytes, call.remaining)

    @implements("api.v2.consumers.commit-offsets")
    async def commit(self, call: Call, request: CommitOffsets) -> None:
        """Commit offsets, or all that was fetched, and return once the group coordinator has them."""
        async with self._session(request.group, request.instance).use() as session:
            offsets = (
                session.returned
                if request.offsets is None
                else {(entry.topic, entry.partition): entry.offset + 1 for entry in request.offsets}
            )
            if any(offset < 0 for offset in offsets.values()):
                raise InvalidRequest("An offset must not be negative.", field="offsets")
            if offsets:
                await session.consumer.commit(dict(offsets), call.remaining)

    @implements("api.v2.consumers.get-committed-offsets")
    async def get_committed(self, call: Call, request: ConsumerPartitions) -> list[CommittedOffset]:
        """What the group has committed for these partitions; those without a commit are left out."""
        async with self._session(request.group, request.instance).use() as session:
            if not request.partitions:
                raise PartitionNotFound
            return await session.consumer.committed(request.partitions, call.remaining)

    @implements("api.v2.consumers.seek-to-offset")
    async def seek(self, call: Call, request: SeekConsumer) -> None:
        """Read on from these offsets; IllegalConsumerState for a partition that isn't assigned."""
        if any(position.offset < 0 for position in request.offsets):
            raise InvalidRequest("An offset must not be negative.", field="offsets")
        async with self._session(request.group, request.instance).use() as session:
            await session.seek(request.offsets, call.remaining)

    @implements("api.v2.consumers.seek-to-beginning")
    async def seek_to_beginning(self, call: Call, request: ConsumerPartitions) -> None:
        """Read on from the first offset of these partitions."""
        await self._seek_to(EARLIEST, call, request)

    @implements("api.v2.consumers.seek-to-end")
    async def seek_to_end(self, call: Call, request: ConsumerPartitions) -> None:
        """Read on from the end of these partitions."""
        await self._seek_to(LATEST, call, request)

    async def expire(self) -> None:
        """Close instances that nobody has used for ``consumer.instance.timeout.ms``; runs until cancelled."""
        while True:
            await asyncio.sleep(_EXPIRY_CHECK_SECONDS)
            limit = self._defaults.instance_timeout_ms / 1000
            for key, session in list(self._sessions.items()):
                if session.idle_seconds > limit:
                    del self._sessions[key]
                    await session.consumer.close(_CLOSE_SECONDS)

    async def close(self, timeout: float) -> None:
        """Close all instances, at the same time, within ``timeout`` (s)."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        await asyncio.gather(*(session.consumer.close(timeout) for session in sessions))

    async def _seek_to(self, where: int, call: Call, request: ConsumerPartitions) -> None:
        positions = [PartitionPosition(entry.topic, entry.partition, where) for entry in request.partitions]
        async with self._session(request.group, request.instance).use() as session:
            await session.seek(positions, call.remaining)

    def _session(self, group: str, instance: str) -> ConsumerSession:
        try:
            return self._sessions[group, instance]
        except KeyError:
            raise ConsumerInstanceNotFound(group=group, instance=instance) from None
