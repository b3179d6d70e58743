"""A member of a group drops prefetched records without blocking the event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import psutil
import pytest
from confluent_kafka import Producer

from conftest import TopicFactory
from kafka_facade.core.records.port import ConsumerPort
from kafka_facade.core.topics.positions import PartitionPosition
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


def _fill(stack: BackgroundStack, topic: str) -> None:
    """1.8 GB of records in some 100 KB of the topic."""
    limits = {"message.max.bytes": 90_000_000, "batch.size": 80_000_000, "linger.ms": 2000}
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "compression.type": "zstd"} | limits)
    zeros = bytes(RECORD_BYTES)
    for _ in range(BATCHES):
        for _ in range(RECORDS):
            producer.produce(topic, zeros, partition=0)
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
