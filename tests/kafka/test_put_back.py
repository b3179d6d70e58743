"""A reader that goes back to a record returns it again, and prefetches nothing meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conftest import TopicFactory
from engines import LoneEngine
from kafka_facade.core.records.model import Record
from kafka_facade.core.records.port import ConsumerPort, SerializedRecord
from kafka_facade.core.topics.positions import PartitionPosition
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

RECORDS, PARTITIONS = 40, 2


@pytest.fixture
async def engine(stack: BackgroundStack) -> AsyncIterator[Engine]:
    made = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    yield made
    await made.close(10)


async def _read(reader: ConsumerPort, count: int) -> list[Record]:
    found: list[Record] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await reader.poll(min(3, count - len(found)), 1)
    return found


async def test_records_that_were_put_back_are_returned_again(engine: Engine, topic: TopicFactory) -> None:
    name = await topic(partitions=PARTITIONS)
    records = [SerializedRecord(None, b"%d" % number, number % PARTITIONS, [], None) for number in range(RECORDS)]
    await (await engine.producer.submit(name, records))
    reader = await engine.create(group=None, auto_offset_reset="earliest", auto_commit=False, overrides={})
    try:
        await reader.assign([PartitionPosition(name, partition, 0) for partition in range(PARTITIONS)])
        kept: list[Record] = []
        for _ in range(RECORDS // 10):
            kept += await _read(reader, 5)
            again = await _read(reader, 5)
            first: dict[int, int] = {}
            for record in again:
                first.setdefault(record.partition_id, record.offset)
            await reader.put_back([PartitionPosition(name, *place) for place in first.items()])
            await asyncio.sleep(0.1)
            kept += await _read(reader, 5)
        for partition in range(PARTITIONS):
            found = [record.offset for record in kept if record.partition_id == partition]
            assert found == list(range(len(found)))
    finally:
        await reader.close(10)
