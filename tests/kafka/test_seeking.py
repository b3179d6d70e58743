"""Seeks are consistent with the client's position, returned records and commits."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from conftest import TopicFactory
from kafka_facade.core.errors import FacadeError, KafkaTimeout, RetriableKafkaError
from kafka_facade.core.instances.model import FetchRecords
from kafka_facade.core.instances.session import ConsumerSession
from kafka_facade.core.records.model import FetchedRecord
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.topics.positions import EARLIEST, PartitionPosition, TopicPartition
from kafka_facade.kafka.consuming import consumer, eventful_client, serialized_client
from kafka_facade.kafka.engine import Engine

Sessions = Callable[..., Awaitable[ConsumerSession]]

COUNT = 1000


async def produce(engine: Engine, topic: str, partition: int, count: int) -> None:
    wire = [SerializedRecord(None, b"%d" % number, partition, [], None) for number in range(count)]
    await (await engine.producer.submit(topic, wire))


async def no_topics(_: object) -> list[str]:
    return []


async def read(session: ConsumerSession, partition: int = 0) -> list[int]:
    """The offsets of the next records of a partition that a read returns."""
    async with asyncio.timeout(20):
        while True:
            # Of another partition nothing tells where it begins.
            with contextlib.suppress(FacadeError):
                found = await session.fetch(FetchRecords(session.instance.group, "i"), 5, no_topics)
                offsets = [entry.record.offset for entry in found if entry.record.partition_id == partition]
                if offsets:
                    return offsets


async def commit(session: ConsumerSession, topic: str, offset: int) -> None:
    """Commit an offset of the first partition, retrying until the group's coordinator is available."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(RetriableKafkaError):
                await session.consumer.commit({(topic, 0): offset}, 10, {})
                return
            await asyncio.sleep(0.2)


async def half_known(
    engine: Engine, topic: TopicFactory, sessions: Sessions, auto_commit: bool = False
) -> tuple[str, ConsumerSession]:
    """A topic, and an instance that has read its first partition and has no start position in the second."""
    name, group = await topic(partitions=2), f"group-{uuid4()}"
    for partition in range(2):
        await produce(engine, name, partition, COUNT)
    session = await sessions(group, reset="none", auto_commit=auto_commit)
    await commit(session, name, 0)
    async with session.use():
        await session.assign([TopicPartition(name, partition) for partition in range(2)])
    assert (await read(session))[0] == 0
    return name, session


async def test_a_seek_that_fails_half_way(engine: Engine, topic: TopicFactory, sessions: Sessions) -> None:
    name, session = await half_known(engine, topic, sessions)
    async with session.use():
        with pytest.raises(KafkaTimeout):
            await session.seek([PartitionPosition(name, 0, 900), PartitionPosition(name, 1, 0)], 0.4)
        # What one would commit.
        assert session.positions()[name, 0] == 900
    assert (await read(session))[0] == 900


async def test_a_cancelled_seek(engine: Engine, topic: TopicFactory, sessions: Sessions) -> None:
    name, session = await half_known(engine, topic, sessions)

    async def seek() -> None:
        async with session.use():
            await session.seek([PartitionPosition(name, 0, 900), PartitionPosition(name, 1, 5)], 10)

    seeking = asyncio.create_task(seek())
    await asyncio.sleep(0.3)
    seeking.cancel()
    await asyncio.wait({seeking})
    assert (await read(session))[0] == 900
    assert (await read(session, 1))[0] == 5


class SlowSeek(ClientConsumer):
    """A client whose seeks wait until the test releases them."""

    begun = threading.Event()
    may_go_on = threading.Event()

    def seek(self, partition: ClientPartition) -> None:
        SlowSeek.begun.set()
        SlowSeek.may_go_on.wait(10)
        super().seek(partition)


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_slow_seek(
    engine: Engine, topic: TopicFactory, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    for module in (consumer, eventful_client, serialized_client):
        monkeypatch.setattr(module, "ClientConsumer", SlowSeek)
    SlowSeek.begun.clear()
    SlowSeek.may_go_on.clear()
    name = await topic()
    await produce(engine, name, 0, COUNT)
    session = await sessions(f"group-{uuid4()}")
    async with session.use():
        await session.assign([TopicPartition(name, 0)])
    assert (await read(session))[0] == 0

    async def seek() -> None:
        async with session.use():
            await session.seek([PartitionPosition(name, 0, 900)], 10 if leaves else 0.1)

    seeking = asyncio.create_task(seek())
    assert await asyncio.to_thread(SlowSeek.begun.wait, 10)
    if leaves:
        seeking.cancel()
    # A call that waits for Kafka ends this long after its time.
    await asyncio.wait({seeking}, timeout=1.5)
    reading = asyncio.create_task(read(session))
    await asyncio.sleep(0.2)
    SlowSeek.may_go_on.set()
    await asyncio.wait({seeking})
    assert (await reading)[0] == 900
    async with session.use():
        assert session.positions()[name, 0] > 900


async def test_a_seek_during_a_handover(engine: Engine, topic: TopicFactory, sessions: Sessions) -> None:
    name, session = await half_known(engine, topic, sessions, auto_commit=True)
    group = session.instance.group
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def hand_over(_: list[FetchedRecord]) -> None:
        begun.set()
        await may_end.wait()

    reading = asyncio.create_task(session.fetch(FetchRecords(group, "i"), 5, no_topics, hand_over))
    await begun.wait()

    async def seek() -> None:
        async with session.use():
            await session.seek([PartitionPosition(name, 0, EARLIEST), PartitionPosition(name, 1, 0)], 10)

    seeking = asyncio.create_task(seek())
    # The first partition has moved, and the second one has not.
    await asyncio.sleep(0.6)
    assert not seeking.done()
    may_end.set()
    await reading
    await seeking
    async with asyncio.timeout(10):
        while (name, 0) not in session.consumer.starts():  # noqa: ASYNC110  nothing tells of a start
            await asyncio.sleep(0.05)
    async with session.use():
        assert session.positions() == {(name, 0): 0, (name, 1): 0}
    await session.close(10)
    asking = (await sessions(group)).consumer
    assert [entry.offset for entry in await asking.committed([TopicPartition(name, 0)], 10)] == [0]


async def test_a_failed_seek_during_a_handover(engine: Engine, topic: TopicFactory, sessions: Sessions) -> None:
    name, session = await half_known(engine, topic, sessions)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def hand_over(_: list[FetchedRecord]) -> None:
        begun.set()
        await may_end.wait()

    reading = asyncio.create_task(session.fetch(FetchRecords(session.instance.group, "i"), 5, no_topics, hand_over))
    await begun.wait()

    async def seek() -> None:
        async with session.use():
            await session.seek([PartitionPosition(name, 1, 0), PartitionPosition(name, 0, 900)], 0.5)

    seeking = asyncio.create_task(seek())
    await asyncio.sleep(0.2)
    may_end.set()
    last = (await reading)[-1].record.offset
    with pytest.raises(KafkaTimeout):
        await seeking
    async with session.use():
        assert session.positions()[name, 0] == last + 1
    assert (await read(session))[0] == last + 1


async def test_a_seek_after_partitions_were_revoked_and_assigned_again(
    engine: Engine, topic: TopicFactory, sessions: Sessions
) -> None:
    name, group = await topic(partitions=2), f"group-{uuid4()}"
    session, other = await sessions(group), await sessions(group)

    async def subscribed(subscriber: ConsumerSession, partitions: int) -> None:
        async with subscriber.use():
            await subscriber.subscribe([name], None)
        await assigned(subscriber, partitions)

    async def assigned(subscriber: ConsumerSession, partitions: int) -> None:
        async with asyncio.timeout(20):
            while len(subscriber.consumer.assignment()) != partitions:  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.05)

    await subscribed(session, 2)
    await subscribed(other, 1)
    await assigned(session, 1)
    await other.close(10)
    await assigned(session, 2)
    async with session.use():
        await session.seek([PartitionPosition(name, partition, 5) for partition in range(2)], 10)
        assert session.positions() == {(name, 0): 5, (name, 1): 5}
