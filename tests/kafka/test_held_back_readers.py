"""Slow readers of records with large keys or headers: prefetching stops between their polls, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from conftest import TopicFactory
from engines import LoneEngine
from kafka_facade.core.records.model import Header, Record
from kafka_facade.core.records.port import ConsumerPort, SerializedRecord
from kafka_facade.core.topics.positions import PartitionPosition
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions, PoolOptions
from kafka_facade.kafka.shared import Shared
from kafka_facade_devstack.background import BackgroundStack

BUDGET = 2 * 1024 * 1024
LARGE, RECORDS, PARTITIONS = bytes(300_000), 60, 2


@pytest.fixture
async def engine(stack: BackgroundStack) -> AsyncIterator[Engine]:
    """An engine whose readers soon exceed the budget."""
    shared = Shared(PoolOptions(prefetch_bytes=BUDGET, max_instances=100))
    made = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers), shared)
    yield made
    await made.close(10)


async def _produce(engine: Engine, topic: str, part: str) -> None:
    record = [
        SerializedRecord(
            LARGE if part == "key" else None,
            b"%d" % number,
            number % PARTITIONS,
            [Header("a", LARGE)] if part == "headers" else [],
            None,
        )
        for number in range(RECORDS)
    ]
    await (await engine.producer.submit(topic, record))


async def _read(reader: ConsumerPort, pause: float) -> list[Record]:
    found: list[Record] = []
    while len(found) < RECORDS:
        found += await reader.poll(3, 1)
        await asyncio.sleep(pause)
        found += await reader.poll(3, 0)
    return found


@pytest.mark.parametrize("part", ["key", "headers"])
@pytest.mark.parametrize("how", ["reader", "assigned", "subscribed"])
async def test_slow_readers_lose_nothing(engine: Engine, topic: TopicFactory, how: str, part: str) -> None:
    name = await topic(partitions=PARTITIONS)
    await _produce(engine, name, part)
    group = None if how == "reader" else f"group-{uuid4()}"
    readers = [
        await engine.create(group=group, auto_offset_reset="earliest", auto_commit=False, overrides={})
        for _ in range(1 if how == "subscribed" else 2)
    ]
    for reader in readers:
        if how == "subscribed":
            await reader.subscribe([name])
        else:
            await reader.assign([PartitionPosition(name, partition, 0) for partition in range(PARTITIONS)])
    async with asyncio.timeout(60):
        for found in await asyncio.gather(*(_read(reader, 0.05) for reader in readers)):
            for partition in range(PARTITIONS):
                offsets = [record.offset for record in found if record.partition_id == partition]
                assert offsets == list(range(RECORDS // PARTITIONS))
    for reader in readers:
        await reader.close(10)
    shares = engine._shared.prefetch
    async with asyncio.timeout(10):
        while shares.uncounted:  # noqa: ASYNC110  a thread wakes no task
            await asyncio.sleep(0.05)
