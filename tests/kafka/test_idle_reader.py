"""A reader without a group whose caller reads seldom loses nothing, and a poll takes a limited number of bytes."""

import asyncio
from uuid import uuid4

import pytest

from conftest import TopicFactory
from kafka_facade.core.records.model import Header, Record
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.topics.positions import PartitionPosition
from kafka_facade.kafka.engine import Engine

# A reader is idle after 5 s, and drops records soon after.
IDLE = 7
PARTITIONS = 3
LARGE, RECORDS = 200_000, 60
# A poll takes about 1 MB, and up to eight records at once.
MOST_OF_A_POLL = 13


async def _produce(engine: Engine, topic: str, count: int) -> None:
    wire = [SerializedRecord(None, b"x", number % PARTITIONS, [], None) for number in range(count)]
    await (await engine.producer.submit(topic, wire))


async def test_an_idle_reader_loses_nothing(engine: Engine, topic: TopicFactory) -> None:
    name = await topic(partitions=PARTITIONS)
    await _produce(engine, name, 600)
    reader = await engine.create(group=None, auto_offset_reset="earliest", auto_commit=False, overrides={})
    await reader.assign([PartitionPosition(name, partition, 0) for partition in range(PARTITIONS)])
    found: list[Record] = []
    async with asyncio.timeout(60):
        while not found:
            found += await reader.poll(7, 1)
        # The other partitions are prefetched, but nothing of them was returned.
        assert {record.partition_id for record in found} != set(range(PARTITIONS))
        await asyncio.sleep(IDLE)
        await _produce(engine, name, 300)
        while len(found) < 800:
            found += await reader.poll(50, 1)
        await asyncio.sleep(IDLE)
        while len(found) < 900:
            found += await reader.poll(50, 1)
        await asyncio.sleep(IDLE)
        await _produce(engine, name, 3)
        while len(found) < 903:
            found += await reader.poll(50, 1)
    found += await reader.poll(50, 0.3)
    for partition in range(PARTITIONS):
        assert [record.offset for record in found if record.partition_id == partition] == list(range(301))
    await reader.close(10)


@pytest.mark.parametrize("part", ["value", "key", "headers"])
async def test_a_poll_of_large_records_ends_early(engine: Engine, topic: TopicFactory, part: str) -> None:
    name, large = await topic(), bytes(LARGE)
    record = SerializedRecord(
        large if part == "key" else None,
        large if part == "value" else b"",
        0,
        [Header("a", large)] if part == "headers" else [],
        None,
    )
    await (await engine.producer.submit(name, [record] * RECORDS))
    reader = await engine.create(
        group=f"group-{uuid4()}", auto_offset_reset="earliest", auto_commit=False, overrides={}
    )
    await reader.assign([PartitionPosition(name, 0, 0)])
    found = 0
    async with asyncio.timeout(20):
        while found < RECORDS:
            # The client fetches more meanwhile.
            await asyncio.sleep(0.1)
            polled = len(await reader.poll(50, 1))
            assert polled <= MOST_OF_A_POLL
            found += polled
    await reader.close(10)
