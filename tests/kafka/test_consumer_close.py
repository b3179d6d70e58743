"""Closing members does not block, and leaves no member in the group."""

import asyncio
import random
import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from conftest import TopicFactory
from kafka_facade.core.errors import IllegalConsumerState
from kafka_facade.core.records.port import ConsumerPort, SerializedRecord
from kafka_facade.core.topics.positions import TopicPartition
from kafka_facade.kafka.engine import Engine
from kafka_facade_devstack.background import BackgroundStack


async def member(engine: Engine, group: str, *, auto_commit: bool = True) -> ConsumerPort:
    return await engine.create(group=group, auto_offset_reset="earliest", auto_commit=auto_commit, overrides={})


async def until_left(stack: BackgroundStack, group: str) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    async with asyncio.timeout(10):
        while True:
            [future] = admin.describe_consumer_groups([group]).values()
            if (await asyncio.wrap_future(future)).state in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD):
                return
            await asyncio.sleep(0.05)


@pytest.mark.serial
async def test_members_that_join_and_leave_do_not_delay_others(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory, longest_stall: Callable[[], float]
) -> None:
    name, group = await topic(partitions=4), f"group-{uuid4()}"
    longest_close = 0.0
    chance = random.Random(4884)

    async def comes_and_goes() -> None:
        nonlocal longest_close
        for _ in range(10):
            consumer = await member(engine, group)
            await consumer.subscribe([name])
            await asyncio.sleep(chance.choice([0, 0.01, 0.05, 0.3, 1]))
            if chance.random() < 0.5:
                await consumer.poll(10, 0.05)
            started = time.monotonic()
            await consumer.close(10)
            longest_close = max(longest_close, time.monotonic() - started)

    async with asyncio.timeout(60):
        await asyncio.gather(*(comes_and_goes() for _ in range(8)))
    assert longest_close < 8
    assert longest_stall() < 2
    await until_left(stack, group)


async def test_a_member_that_closes_commits_what_it_has_stored(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory
) -> None:
    name, group = await topic(), f"group-{uuid4()}"
    await (await engine.producer.submit(name, [SerializedRecord(None, b"x", None, [], None)] * 3))
    first = await member(engine, group)
    await first.subscribe([name])
    read = 0
    async with asyncio.timeout(15):
        while read < 3:
            read += len(await first.poll(10, 1))
    first.store(name, 0, 2)
    await first.close(10)
    await until_left(stack, group)
    second = await member(engine, group)
    [committed] = await second.committed([TopicPartition(name, 0)], 10)
    assert committed.offset == 2
    await second.close(10)


@pytest.mark.serial
async def test_a_reader_of_partitions_closes_at_once_and_commits(engine: Engine, topic: TopicFactory) -> None:
    name, group = await topic(), f"group-{uuid4()}"
    await (await engine.producer.submit(name, [SerializedRecord(None, b"x", None, [], None)] * 3))
    reader = await member(engine, group)
    await reader.assign([TopicPartition(name, 0)])
    async with asyncio.timeout(15):
        while not await reader.poll(10, 1):
            pass
    reader.store(name, 0, 3)
    started = time.monotonic()
    await reader.close(10)
    assert time.monotonic() - started < 2
    checker = await member(engine, group, auto_commit=False)
    [committed] = await checker.committed([TopicPartition(name, 0)], 10)
    assert committed.offset == 3
    await checker.close(10)


async def test_calls_of_a_closed_consumer_fail(engine: Engine) -> None:
    consumer = await member(engine, f"group-{uuid4()}")
    await consumer.close(5)
    await consumer.close(5)
    with pytest.raises(IllegalConsumerState):
        consumer.assignment()


@pytest.mark.serial
async def test_a_member_without_any_topic_closes_soon(engine: Engine) -> None:
    consumer = await member(engine, f"group-{uuid4()}")
    await consumer.subscribe([f"nowhere-{uuid4()}"])
    await asyncio.sleep(0.5)
    started = time.monotonic()
    await consumer.close(10)
    assert time.monotonic() - started < 3
