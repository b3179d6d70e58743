"""A member of a group drops prefetched records without blocking the event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import psutil
import pytest
from confluent_kafka import Producer

from conftest import TopicFactory
from kafka_facade.core.records.port import ConsumerPort, SerializedRecord
from kafka_facade.core.topics.positions import PartitionPosition
from kafka_facade.kafka.consuming.consumer import Consumer
from kafka_facade.kafka.engine import Engine
from kafka_facade_devstack.background import BackgroundStack
from loop_watch import watched

pytestmark = pytest.mark.serial

BATCHES, RECORDS, RECORD_BYTES = 60, 30, 1_000_000
SOUGHT = 1200
# A consumer is idle after 5 s, and drops records soon after.
IDLE = 7
# Processor time (s): the client takes 20 to 40 ms to free what it has prefetched.
MOST_BUSY = 0.015
TRIES = 3
# Time (s) that the loop may be blocked when partitions are revoked from a paused member: a deadlock would end after 10.
MOST_BLOCKED = 1


def _fill(stack: BackgroundStack, topic: str, partition: int = 0) -> None:
    """1.8 GB of records in some 100 KB of the partition."""
    limits = {"message.max.bytes": 90_000_000, "batch.size": 80_000_000, "linger.ms": 2000}
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "compression.type": "zstd"} | limits)
    zeros = bytes(RECORD_BYTES)
    for _ in range(BATCHES):
        for _ in range(RECORDS):
            producer.produce(topic, zeros, partition=partition)
        assert producer.flush(60) == 0


async def close(consumer: ConsumerPort, topic: str) -> None:
    await consumer.close(10)


async def unsubscribe(consumer: ConsumerPort, topic: str) -> None:
    await consumer.unsubscribe()


async def seek(consumer: ConsumerPort, topic: str) -> None:
    await consumer.seek([PartitionPosition(topic, 0, SOUGHT)], 10)
    found = 0
    async with asyncio.timeout(10):
        while not found:
            for record in await consumer.poll(1, 1):
                assert record.offset == SOUGHT + found
                found += 1


async def idle(consumer: ConsumerPort, topic: str) -> None:
    before = psutil.Process().memory_info().rss
    await asyncio.sleep(IDLE)
    assert psutil.Process().memory_info().rss < before - 100 * RECORD_BYTES


@pytest.mark.parametrize("act", [close, unsubscribe, seek, idle])
async def test_dropping_does_not_block_the_event_loop(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory, act: Callable[[ConsumerPort, str], Awaitable[None]]
) -> None:
    name = await topic()
    await asyncio.to_thread(_fill, stack, name)
    busy = []
    for _ in range(TRIES):
        consumer = await engine.create(
            group=f"g-{uuid4()}", auto_offset_reset="earliest", auto_commit=False, overrides={}
        )
        await consumer.subscribe([name])
        async with asyncio.timeout(30):
            while not await consumer.poll(1, 1):
                pass
        # Let the client prefetch.
        await asyncio.sleep(2)
        async with watched() as watch:
            await act(consumer, name)
            await asyncio.sleep(0.1)
            busy.append(watch.longest_busy)
        await consumer.close(10)
        if busy[-1] < MOST_BUSY:
            break
    assert min(busy) < MOST_BUSY


async def _member(engine: Engine, group: str, topic: str) -> ConsumerPort:
    member = await engine.create(group=group, auto_offset_reset="earliest", auto_commit=False, overrides={})
    await member.subscribe([topic])
    return member


async def _until_assigned(member: ConsumerPort, partitions: int) -> None:
    async with asyncio.timeout(30):
        while len(member.assignment()) != partitions:  # noqa: ASYNC110  nothing tells of an assignment
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("polls", [True, False])
async def test_a_rebalance_does_not_block_the_event_loop(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory, polls: bool
) -> None:
    name = await topic(partitions=2)
    for partition in range(2):
        await asyncio.to_thread(_fill, stack, name, partition)
    busy = []
    for _ in range(TRIES):
        group = f"g-{uuid4()}"
        first = await _member(engine, group, name)
        await _until_assigned(first, 2)
        async with asyncio.timeout(30):
            while not await first.poll(1, 1):
                pass
        await asyncio.sleep(2)
        async with watched() as watch:
            second = await _member(engine, group, name)
            async with asyncio.timeout(30):
                while len(first.assignment()) == 2 or not second.assignment():
                    if polls:
                        await first.poll(1, 0.1)
                    await asyncio.sleep(0.05)
            busy.append(watch.longest_busy)
        await second.close(10)
        await first.close(10)
        if busy[-1] < MOST_BUSY:
            break
    assert min(busy) < MOST_BUSY


async def test_partitions_are_revoked_while_a_member_drops_records(engine: Engine, topic: TopicFactory) -> None:
    name, group = await topic(partitions=2), f"g-{uuid4()}"
    await (await engine.producer.submit(name, [SerializedRecord(None, b"1", n, [], None) for n in range(2)]))
    first = await _member(engine, group, name)
    assert isinstance(first, Consumer)
    read = 0
    async with asyncio.timeout(30):
        while read < 2:
            read += len(await first.poll(10, 1))
    # The revocation comes with the next event that the client serves, and that is in a thread.
    await first._stop_serving()
    second = await _member(engine, group, name)
    await asyncio.sleep(4)
    async with watched() as watch:
        first._drop_prefetched(first._fetched())
        await first._until_free()
        assert watch.longest < MOST_BLOCKED
    assert first.take_revoked() == {(name, 0), (name, 1)}
    first._serve_from_now_on()
    await _until_assigned(second, 1)
    await second.close(10)
    await _until_assigned(first, 2)
    # Both are read, though the client remembers the pause.
    await (await engine.producer.submit(name, [SerializedRecord(None, b"2", n, [], None) for n in range(2)]))
    places: set[int] = set()
    async with asyncio.timeout(30):
        while len(places) < 2:
            places |= {record.partition_id for record in await first.poll(10, 1) if record.value == b"2"}
    await first.close(10)
