"""Group members whose caller reads seldom lose no records, do not delay others, and buffer little."""

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import Message

from conftest import TopicFactory
from engines import LoneEngine
from full_process import thread_keys_but_one_taken
from kafka_facade.core.errors import FacadeError, IllegalConsumerState, KafkaTimeout, TooManyRequests
from kafka_facade.core.records.model import Record
from kafka_facade.core.records.port import ConsumerPort, SerializedRecord
from kafka_facade.core.time_slices import SLICE_SECONDS, time_slice
from kafka_facade.core.topics.positions import PartitionPosition, TopicPartition
from kafka_facade.kafka.consuming import incoming, serialized_client
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

# A member is idle after 5 s.
IDLE = 6.5


async def member(engine: Engine, group: str, reset: str = "earliest") -> ConsumerPort:
    return await engine.create(group=group, auto_offset_reset=reset, auto_commit=False, overrides={})


async def produce(engine: Engine, topic: str, first: int, count: int, partitions: int = 1) -> None:
    wire = [SerializedRecord(None, b"%d" % n, n % partitions, [], None) for n in range(first, first + count)]
    await (await engine.producer.submit(topic, wire))


async def read(consumer: ConsumerPort, count: int, at_once: int = 500) -> list[Record]:
    found: list[Record] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            polled = await consumer.poll(at_once, 1)
            assert len(polled) <= at_once
            found += polled
    return found + await consumer.poll(at_once, 0.3)


async def joined(consumer: ConsumerPort, partitions: int) -> None:
    async with asyncio.timeout(20):
        while len(consumer.assignment()) < partitions:  # noqa: ASYNC110  nothing tells of an assignment
            await asyncio.sleep(0.05)


def numbers(records: list[Record]) -> list[int]:
    return sorted(int(record.value or b"") for record in records)


async def test_an_idle_member_loses_no_records(engine: Engine, topic: TopicFactory) -> None:
    name = await topic(partitions=3)
    consumer = await member(engine, f"group-{uuid4()}", reset="latest")
    await consumer.subscribe([name])
    await joined(consumer, 3)
    await asyncio.sleep(0.5)
    await produce(engine, name, 0, 300, partitions=3)
    await asyncio.sleep(IDLE)
    await produce(engine, name, 300, 300, partitions=3)
    found = await read(consumer, 600, at_once=7)
    assert numbers(found) == list(range(600))
    for partition in range(3):
        assert [r.offset for r in found if r.partition_id == partition] == list(range(200))
    await asyncio.sleep(IDLE)
    await produce(engine, name, 600, 3, partitions=3)
    assert numbers(await read(consumer, 3)) == [600, 601, 602]
    await consumer.close(10)


async def test_records_keep_their_order_on_a_busy_loop(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    await produce(engine, name, 0, 200)
    consumer = await member(engine, f"group-{uuid4()}")
    await consumer.assign([TopicPartition(name, 0)])

    async def work() -> None:
        while True:
            await time_slice()
            until = time.monotonic() + SLICE_SECONDS
            while time.monotonic() < until:
                pass

    working = [asyncio.create_task(work()) for _ in range(3)]
    found: list[int] = []
    async with asyncio.timeout(60):
        while len(found) < 200:
            # The client's events are served meanwhile, and bring records too.
            found += [record.offset for record in await consumer.poll(1, 1)]
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    assert found == list(range(200))
    await consumer.close(10)


async def test_an_idle_member_takes_part_in_rebalances(engine: Engine, topic: TopicFactory) -> None:
    name, group = await topic(partitions=2), f"group-{uuid4()}"
    await produce(engine, name, 0, 20, partitions=2)
    idle = await member(engine, group)
    await idle.subscribe([name])
    await joined(idle, 2)
    await asyncio.sleep(IDLE)
    second = await member(engine, group)
    await second.subscribe([name])
    await joined(second, 1)
    assert len(idle.assignment()) == 1
    assert numbers(await read(second, 10)) in (list(range(0, 20, 2)), list(range(1, 20, 2)))
    await second.close(10)
    await joined(idle, 2)
    idle.take_revoked()
    assert numbers(await read(idle, 20)) == list(range(20))
    await idle.close(10)


async def test_an_idle_reader_of_partitions_can_seek(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    await produce(engine, name, 0, 100)
    reader = await member(engine, f"group-{uuid4()}")
    await reader.assign([TopicPartition(name, 0)])
    await asyncio.sleep(IDLE)
    await reader.seek([PartitionPosition(name, 0, 90)], 10)
    assert numbers(await read(reader, 10)) == list(range(90, 100))
    await reader.close(10)


async def test_an_error_is_cleared_by_unsubscribing(engine: Engine, topic: TopicFactory) -> None:
    name, group = await topic(), f"group-{uuid4()}"
    reader = await member(engine, group, reset="none")
    await reader.subscribe([name])
    await joined(reader, 1)
    await asyncio.sleep(1)
    with pytest.raises(FacadeError):
        await read(reader, 1)
    await asyncio.sleep(1)
    await reader.unsubscribe()
    await produce(engine, name, 0, 1)
    await reader.assign([PartitionPosition(name, 0, 0)])
    assert numbers(await read(reader, 1)) == [0]
    await reader.close(10)
    with pytest.raises(IllegalConsumerState):
        await reader.poll(1, 0.1)


async def test_a_failed_member_still_takes_part_in_rebalances(engine: Engine, topic: TopicFactory) -> None:
    name, group = await topic(partitions=2), f"group-{uuid4()}"
    failed = await member(engine, group, reset="none")
    await failed.subscribe([name])
    await joined(failed, 2)
    await asyncio.sleep(1)
    second = await member(engine, group)
    await second.subscribe([name])
    await joined(second, 1)
    await second.close(10)
    await failed.close(10)


@pytest.mark.serial
async def test_a_call_that_waits_for_kafka_does_not_delay_others(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory, longest_stall: Callable[[], float]
) -> None:
    name = await topic()
    consumer = await member(engine, f"group-{uuid4()}")
    await consumer.subscribe([name])
    await joined(consumer, 1)
    await stack.pause_broker(0)
    try:
        with pytest.raises(KafkaTimeout):
            await consumer.commit({(name, 0): 1}, 1, {})
        # The client is busy with that still.
        started = time.monotonic()
        assert await consumer.poll(10, 1) == []
        assert 0.9 < time.monotonic() - started < 1.5
    finally:
        await stack.resume_broker(0)
    assert longest_stall() < 0.5
    await produce(engine, name, 0, 3)
    assert numbers(await read(consumer, 3)) == [0, 1, 2]
    await consumer.close(10)


@pytest.mark.parametrize("strategy", ["range,roundrobin", "cooperative-sticky"])
async def test_partitions_that_start_one_by_one_respect_seeks(
    stack: BackgroundStack, topic: TopicFactory, strategy: str
) -> None:
    # Nothing tells where to begin: the client fetches none of them until it is told, and takes its time with each.
    settings = {"partition.assignment.strategy": strategy}
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers, consumer=settings))
    name = await topic(partitions=3)
    await produce(engine, name, 0, 90, partitions=3)
    for subscribed in (False, True):
        reader = await member(engine, f"group-{uuid4()}", reset="none")
        if subscribed:
            await reader.subscribe([name])
            await joined(reader, 3)
        else:
            await reader.assign([TopicPartition(name, partition) for partition in range(3)])
        await asyncio.sleep(1)
        await reader.seek([PartitionPosition(name, partition, 10) for partition in range(3)], 20)
        assert numbers(await read(reader, 60)) == list(range(30, 90))
        await reader.close(10)
    await engine.close(10)


class SlowClient(ClientConsumer):
    """A client whose next call that returns records is slow, so that other events happen during it."""

    slow = False

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        found = super().consume(num_messages, timeout)
        if num_messages > len(found) > 0 and SlowClient.slow:
            SlowClient.slow = False
            found += super().consume(num_messages - len(found), 4)
        return found


async def test_revoking_some_partitions_loses_no_records_of_others(
    stack: BackgroundStack, topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (incoming, serialized_client):
        monkeypatch.setattr(module, "ClientConsumer", SlowClient)
    settings = {"partition.assignment.strategy": "cooperative-sticky", "heartbeat.interval.ms": "200"}
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers, consumer=settings))
    name, group = await topic(partitions=3), f"group-{uuid4()}"
    first, second = await member(engine, group), await member(engine, group)
    await first.subscribe([name])
    await joined(first, 3)
    await produce(engine, name, 0, 3)
    # A record that came with events waits for its reader.
    await asyncio.sleep(2)
    await produce(engine, name, 3, 30, partitions=3)
    # Events that are served meanwhile would bring a record of them each time.
    time.sleep(0.5)  # noqa: ASYNC251
    # The call that brings the records tells what the group takes away, too.
    SlowClient.slow = True
    await second.subscribe([name])
    found: list[Record] = []
    async with asyncio.timeout(20):
        while len(second.assignment()) != 1:
            found += await first.poll(100, 0.1)
            await second.poll(0, 0)
    assert not SlowClient.slow
    kept = {entry.partition for entry in first.assignment()}
    assert len(kept) == 2
    await second.close(10)
    await joined(first, 3)
    found += await read(first, 0)
    for partition in kept:
        offsets = [record.offset for record in found if record.partition_id == partition]
        assert offsets == list(range(13 if partition == 0 else 10))
    await first.close(10)
    await engine.close(10)


@pytest.mark.parametrize("subscribed", [False, True])
async def test_a_starting_partition_does_not_move_others(engine: Engine, topic: TopicFactory, subscribed: bool) -> None:
    name, group = await topic(partitions=2), f"group-{uuid4()}"
    await produce(engine, name, 0, 20, partitions=2)
    reader = await member(engine, group, reset="none")
    await reader.commit({(name, 0): 10}, 10, {})
    # The first partition begins at its end. Nothing tells where the second one is to begin.
    if subscribed:
        await reader.subscribe([name])
    else:
        await reader.assign([TopicPartition(name, partition) for partition in range(2)])
    async with asyncio.timeout(20):
        while reader.starts() != {(name, 0): 10}:  # noqa: ASYNC110  nothing tells of a start
            await asyncio.sleep(0.05)
    # Later commits do not move it.
    await reader.commit({(name, 0): 0}, 10, {})
    await reader.seek([PartitionPosition(name, 1, 0)], 10)
    found = await read(reader, 10)
    assert [(record.partition_id, record.offset) for record in found] == [(1, offset) for offset in range(10)]
    await produce(engine, name, 20, 1)
    assert [record.offset for record in await read(reader, 1)] == [10]
    await reader.close(10)


async def test_prefetched_records_are_returned_once_when_another_partition_starts(
    engine: Engine, topic: TopicFactory
) -> None:
    name = await topic(partitions=2)
    await produce(engine, name, 0, 20, partitions=2)
    group = f"group-{uuid4()}"
    reader = await member(engine, group, reset="none")
    await reader.commit({(name, 0): 3}, 10, {})
    await reader.assign([TopicPartition(name, partition) for partition in range(2)])
    async with asyncio.timeout(20):
        while reader.starts() != {(name, 0): 3}:  # noqa: ASYNC110  nothing tells of a start
            await asyncio.sleep(0.05)
    await reader.seek([PartitionPosition(name, 1, 0)], 10)
    found = await read(reader, 17)
    for partition, first in ((0, 3), (1, 0)):
        assert [r.offset for r in found if r.partition_id == partition] == list(range(first, 10))
    await reader.close(10)


@pytest.mark.serial
async def test_a_poll_during_a_waiting_call_does_not_delay_others(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory, longest_stall: Callable[[], float]
) -> None:
    name = await topic()
    consumer = await member(engine, f"group-{uuid4()}")
    await consumer.subscribe([name])
    await joined(consumer, 1)
    await stack.pause_broker(0)
    try:
        polling = asyncio.create_task(consumer.poll(10, 2))
        await asyncio.sleep(0.1)
        with pytest.raises(KafkaTimeout):
            await consumer.commit({(name, 0): 1}, 1, {})
        assert await polling == []
    finally:
        await stack.resume_broker(0)
    assert longest_stall() < 0.5
    await consumer.close(10)


async def test_a_failed_seek_does_not_affect_other_start_positions(engine: Engine, topic: TopicFactory) -> None:
    name = await topic(partitions=2)
    await produce(engine, name, 0, 20, partitions=2)
    # Nothing tells where to begin.
    reader = await member(engine, f"group-{uuid4()}", reset="none")
    await reader.assign([TopicPartition(name, partition) for partition in range(2)])
    await asyncio.sleep(1)
    with pytest.raises(KafkaTimeout):
        await reader.seek([PartitionPosition(name, partition, 5) for partition in range(2)], 0.3)
    await reader.seek([PartitionPosition(name, 1, 0)], 10)
    found: list[Record] = []
    told = False
    async with asyncio.timeout(20):
        while len(found) < 10 or not told:
            try:
                found += await reader.poll(100, 0.2)
            except IllegalConsumerState:
                # Still nothing tells where the first one is to begin.
                told = True
    assert [(record.partition_id, record.offset) for record in found] == [(1, offset) for offset in range(10)]
    await reader.close(10)


async def test_a_member_that_left_a_full_process_continues_when_there_is_room(
    engine: Engine, topic: TopicFactory
) -> None:
    name = await topic()
    await produce(engine, name, 0, 3)
    consumer = await member(engine, f"group-{uuid4()}")
    await consumer.subscribe([name])
    await joined(consumer, 1)
    # An idle member is paused.
    await asyncio.sleep(IDLE)
    with thread_keys_but_one_taken():
        with pytest.raises(TooManyRequests):
            await member(engine, f"group-{uuid4()}")
        await consumer.unsubscribe()
        assert consumer.assignment() == []
        for _ in range(2):
            with pytest.raises(TooManyRequests):
                await consumer.subscribe([name])
        with pytest.raises(TooManyRequests):
            await consumer.commit({(name, 0): 1}, 10, {})
    await consumer.subscribe([name])
    assert numbers(await read(consumer, 3)) == [0, 1, 2]
    await consumer.close(10)


async def test_an_offset_that_cannot_be_stored_delays_nothing(engine: Engine, topic: TopicFactory) -> None:
    name, group = await topic(), f"group-{uuid4()}"
    await produce(engine, name, 0, 3)
    reader = await engine.create(group=group, auto_offset_reset="earliest", auto_commit=True, overrides={})
    await reader.assign([TopicPartition(name, 0)])
    assert numbers(await read(reader, 3)) == [0, 1, 2]
    reader.store(f"{name}-gone", 0, 1)
    reader.store(name, 0, 3)
    await produce(engine, name, 3, 3)
    assert numbers(await read(reader, 3)) == [3, 4, 5]
    await reader.close(10)
    found = await (await member(engine, group)).committed([TopicPartition(name, 0)], 10)
    assert [entry.offset for entry in found] == [3]


@pytest.mark.serial
async def test_many_topics_are_checked_in_the_time_of_one(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory
) -> None:
    names = [await topic() for _ in range(6)]
    reader = await member(engine, f"group-{uuid4()}")
    await stack.pause_broker(0)
    try:
        await reader.assign([TopicPartition(name, 0) for name in names])
        started = time.monotonic()
        await reader.check(1)
        assert time.monotonic() - started < 3
    finally:
        await stack.resume_broker(0)
    await reader.close(10)
