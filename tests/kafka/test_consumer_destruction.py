"""Clients are destroyed only in threads, also if closing is cancelled."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer as ClientConsumer

from conftest import TopicFactory
from kafka_facade.core.errors import FacadeError, IllegalConsumerState
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.topics.positions import PartitionPosition, TopicPartition
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.consuming import serialized_client
from kafka_facade.kafka.consuming.consumer import Consumer
from kafka_facade.kafka.consuming.serialized_client import ClientSetup
from kafka_facade.kafka.engine import Engine
from kafka_facade_devstack.background import BackgroundStack

created_in: list[threading.Thread] = []
destroyed_in: list[threading.Thread] = []


class WatchedClient(ClientConsumer):
    """A client that records the threads in which it is created and destroyed."""

    def __init__(self, config: dict[str, Any]) -> None:
        created_in.append(threading.current_thread())
        super().__init__(config)

    def __del__(self) -> None:
        destroyed_in.append(threading.current_thread())


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    created_in.clear()
    destroyed_in.clear()
    monkeypatch.setattr(serialized_client, "ClientConsumer", WatchedClient)


async def _all_destroyed(count: int) -> None:
    async with asyncio.timeout(20):
        while len(destroyed_in) < count:  # noqa: ASYNC110  a destructor wakes no task
            await asyncio.sleep(0.02)
    assert threading.main_thread() not in [*created_in, *destroyed_in]
    assert len(destroyed_in) == count


async def _filled(engine: Engine, name: str) -> None:
    wire = [SerializedRecord(None, b"x" * 1000, None, [], None)] * 1000
    await (await engine.producer.submit(name, wire))


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
async def test_a_closed_consumer_is_not_left_to_the_collector(engine: Engine, topic: TopicFactory) -> None:
    partition = TopicPartition(await topic(), 0)

    async def use() -> weakref.ref[object]:
        consumer = await engine.create(group="g", auto_offset_reset="earliest", auto_commit=False, overrides={})
        await consumer.offsets_at([partition], 0, 5)
        await consumer.close(5)
        return weakref.ref(consumer)

    closed = await asyncio.create_task(use())
    await _all_destroyed(1)
    await asyncio.sleep(0.1)
    assert closed() is None


async def test_many_consumers_cancelled_at_once(engine: Engine, topic: TopicFactory) -> None:
    name, count = await topic(), 60
    await _filled(engine, name)

    async def read_until_cut() -> None:
        consumer = await engine.create(group=None, auto_offset_reset="earliest", auto_commit=False, overrides={})
        try:
            await consumer.assign([PartitionPosition(name, 0, 0)])
            while True:
                await consumer.poll(10, 1)
                await asyncio.sleep(0.01)
        finally:
            await consumer.close(0.001)

    readers = [asyncio.create_task(read_until_cut()) for _ in range(count)]
    await asyncio.sleep(1)
    for _ in range(2):
        # The second one comes while they close.
        for reader in readers:
            reader.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*readers, return_exceptions=True)
    readers.clear()
    await _all_destroyed(count)


async def test_members_cancelled_while_they_leave(engine: Engine, topic: TopicFactory) -> None:
    name, count = await topic(partitions=2), 8

    async def join_and_leave() -> None:
        group = f"group-{uuid4()}"
        consumer = await engine.create(group=group, auto_offset_reset="earliest", auto_commit=True, overrides={})
        await consumer.subscribe([name])
        await consumer.close(10)

    members = [asyncio.create_task(join_and_leave()) for _ in range(count)]
    await asyncio.sleep(0.3)
    for member in members:
        member.cancel()
    await asyncio.gather(*members, return_exceptions=True)
    members.clear()
    await _all_destroyed(count)


async def test_a_failed_consumer_and_one_with_a_running_call(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    first = await engine.create(group="f", auto_offset_reset="none", auto_commit=False, overrides={})
    await first.assign([PartitionPosition(name, 0, 1000)])
    with pytest.raises(FacadeError) as kept:
        await first.poll(10, 20)
    await first.close(5)
    second = await engine.create(group="g", auto_offset_reset="earliest", auto_commit=False, overrides={})
    asking = asyncio.create_task(second.offsets_at([TopicPartition(name, 0)], 0, 5))
    await asyncio.sleep(0)
    await second.close(0.001)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    del asking
    await _all_destroyed(2)
    assert isinstance(kept.value, IllegalConsumerState)


async def test_the_prefetch_share_is_released_after_destruction(stack: BackgroundStack) -> None:
    connecting, consuming, closing = (Blocking(f"test-{name}", 1) for name in ("connect", "consume", "close"))
    given_back: list[int] = []
    config: dict[str, Any] = {"bootstrap.servers": stack.bootstrap_servers, "group.id": "g"}
    setup = ClientSetup(config=config, connecting=connecting, blocking=consuming, closing=closing, grouped=False)
    consumer = Consumer(setup, lambda: given_back.append(len(destroyed_in)))
    await consumer.open()
    busy = threading.Event()
    closing.begin(busy.wait)
    started = time.monotonic()
    try:
        await consumer.close(0.1)
        assert time.monotonic() - started < 5
        assert (destroyed_in, given_back) == ([], [])
    finally:
        busy.set()
    await _all_destroyed(1)
    await asyncio.sleep(0.1)
    assert given_back == [1]


async def test_a_consumer_whose_creation_is_cancelled_is_destroyed_in_a_thread(engine: Engine) -> None:
    count = 20
    creating = [
        asyncio.create_task(engine.create(group=None, auto_offset_reset="earliest", auto_commit=False, overrides={}))
        for _ in range(count)
    ]
    async with asyncio.timeout(20):
        while not created_in:  # noqa: ASYNC110  a thread wakes no task
            await asyncio.sleep(0)
    for task in creating:
        task.cancel()
    finished = await asyncio.gather(*creating, return_exceptions=True)
    for consumer in finished:
        if not isinstance(consumer, BaseException):
            await consumer.close(5)
    del consumer, finished
    creating.clear()
    await asyncio.sleep(0.1)
    await _all_destroyed(len(created_in))


async def test_the_client_after_unsubscribing_is_created_in_a_thread(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    consumer = await engine.create(group="h", auto_offset_reset="earliest", auto_commit=False, overrides={})
    await consumer.subscribe([name])
    await consumer.unsubscribe()
    await consumer.subscribe([name])
    await consumer.close(10)
    await _all_destroyed(2)
    assert len(created_in) == 2
