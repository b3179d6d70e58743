"""Where logs begin and end, asked for of topics that the client has never heard of."""

import asyncio
import logging

import pytest

from conftest import TopicFactory
from kafka_facade.core.errors import TopicNotFound
from kafka_facade.core.ports import SerializedRecord
from kafka_facade.core.resources import TopicPartition
from kafka_facade.devstack.background import BackgroundStack
from kafka_facade.kafka.engine import Engine, KafkaOptions


async def test_the_client_knows_all_leaders_before_it_is_asked_for_offsets(
    stack: BackgroundStack, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    # Where it doesn't, it says that it queries them; metadata that comes at the wrong moment then ends the process.
    caplog.set_level(logging.DEBUG, "kafka_facade.kafka")
    engine = Engine(KafkaOptions(stack.bootstrap_servers, admin={"debug": "metadata", "log_level": "7"}))
    names = [await topic(partitions=2) for _ in range(3)]
    for name in names:
        await (await engine.producer.submit(name, [SerializedRecord(None, b"x", 0, [], None)] * 3))
    wanted = [TopicPartition(name, partition) for name in names for partition in range(2)]
    missing = TopicPartition("there-is-none", 0)
    both, ends = await asyncio.gather(
        engine.admin.offsets([*wanted, missing], 10), engine.groups.end_offsets([missing, *wanted], 10)
    )
    assert both[:-1] == [(0, 3), (0, 0)] * 3
    assert ends[1:] == [3, 0] * 3
    assert isinstance(both[-1], TopicNotFound)
    assert isinstance(ends[0], TopicNotFound)
    # The client tells it a moment later.
    async with asyncio.timeout(20):
        while "METADATA" not in caplog.text:  # noqa: ASYNC110  nothing tells of a log line
            await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)
    await engine.close(10)
    assert "query partition leaders" not in caplog.text
