"""A stream of a task follows the state, also if the topic is lost, and however slowly its caller reads."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, cast

import pytest
from confluent_kafka import Producer

from kafka_facade.core.balancer.port import PlacementPort
from kafka_facade.core.balancer.records import RECORDS, new_task
from kafka_facade.core.balancer.steps import MOVING_AWAY, REMOVE_BROKER
from kafka_facade.core.broker_tasks.model import BrokerTaskProgress, WatchBrokerTask
from kafka_facade.core.broker_tasks.operations import BrokerTasks
from kafka_facade.core.call import Caller
from kafka_facade.core.errors import NotFound, TopicNotFound, Unavailable
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.pipeline import AccessLists, Kafka, Pipeline
from kafka_facade.core.state.records import encode
from kafka_facade.core.state.state import State
from kafka_facade_devstack.background import BackgroundStack
from kafka_identities import new_pool
from state.conftest import Raw

_SECONDS = 60
_IDENTIFIER = "api.v3.brokers.broker-tasks.search-by-type"
_TASK = new_task(4, REMOVE_BROKER, MOVING_AWAY, should_shutdown=False)
_MOST = 100


def _value(moved: int, **others: Any) -> dict[str, Any]:
    """The record of the task after so many moves."""
    progress = {"began_ms": 0, "partitions_total": _MOST, "partitions_moved": moved}
    found: dict[str, Any] = json.loads(encode(_TASK))
    return found | {"progress": progress} | others


class _Lagging:
    """A port over a broker that does not know the topic yet, for as long as ``until`` says."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self.until = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def _found(self, found: list[Any]) -> list[Any]:
        return [TopicNotFound()] * len(found) if time.monotonic() < self.until else found

    async def describe_topics(self, names: list[str], timeout: float) -> list[Any]:
        return await self._found(await self._port.describe_topics(names, timeout))

    async def end_offsets(self, places: list[Any], timeout: float) -> list[Any]:
        return await self._found(await self._port.end_offsets(places, timeout))


class Watching:
    """Streams of the task. No leader works on it."""

    def __init__(
        self, pipeline: Pipeline, state: State, placement: PlacementPort, servers: str, lagging: Sequence[_Lagging]
    ) -> None:
        self.pipeline = pipeline
        self.state = state
        self._lagging = lagging
        self._topic = state.topic
        self._producer = Producer({"bootstrap.servers": servers})
        self._tasks = BrokerTasks(state, pipeline.closing, placement, enabled=False)

    async def write(self, value: dict[str, Any] | None) -> None:
        """Write the record of the task, besides what the leader writes."""
        text = None if value is None else json.dumps(value)
        self._producer.produce(self._topic, text, key=_TASK.key, partition=0)
        assert await asyncio.to_thread(self._producer.flush, _SECONDS) == 0

    def lag(self, seconds: float) -> None:
        """Let the broker not know the topic for so long."""
        for port in self._lagging:
            port.until = time.monotonic() + seconds

    async def watch(self) -> AsyncGenerator[BrokerTaskProgress, None]:
        with self.pipeline.admit(_IDENTIFIER, Caller("rest")) as call:
            await call.open_kafka(None)
            async with aclosing(self._tasks.watch_task(call, WatchBrokerTask(None, 4, REMOVE_BROKER))) as found:
                async for progress in found:
                    yield progress


@pytest.fixture
async def watching(stack: BackgroundStack, topic: str) -> AsyncIterator[Watching]:
    """Streams from the session's Kafka."""
    async with new_pool(stack.bootstrap_servers) as pool:
        identity = KafkaIdentity("default", "own", {}, {}, {})
        pipeline = Pipeline(AccessLists(), _SECONDS, kafka=Kafka(pool, lambda *_: identity))
        pipeline.serve({_IDENTIFIER})
        own = await pool.lease(identity, _SECONDS)
        lagging = _Lagging(own.ports.admin), _Lagging(own.ports.groups)
        admin, groups = cast("tuple[Any, Any]", lagging)
        ports = dataclasses.replace(own.ports, admin=admin, groups=groups)
        state = State(ports, topic)
        state.handlers.records += RECORDS
        await state.start()
        yield Watching(pipeline, state, own.ports.placement, stack.bootstrap_servers, lagging)
        await state.close()
        own.release()


async def _next(found: AsyncGenerator[BrokerTaskProgress, None]) -> int:
    async with asyncio.timeout(_SECONDS):
        return (await anext(found)).partitions_moved


async def test_a_caller_that_reads_slowly_gets_the_latest_state(raw: Raw, watching: Watching) -> None:
    await raw.create()
    await raw.write(_TASK.key, _value(0))
    async with aclosing(watching.watch()) as slow, aclosing(watching.watch()) as other:
        assert await _next(slow) == 0
        assert await _next(other) == 0
        for moved in range(1, 6):
            await watching.write(_value(moved))
            while await _next(other) < moved:
                pass
        # Nothing of what was in between is kept.
        assert await _next(slow) == 5
        await watching.write(_value(6, status="SUCCESS", reassignment="COMPLETED"))
        for found in (slow, other):
            assert [progress.partitions_moved async for progress in found] == [6]


async def test_many_changes_in_a_second_are_one(raw: Raw, watching: Watching) -> None:
    await raw.create()
    await raw.write(_TASK.key, _value(0))
    seen: list[int] = []

    async def watch() -> None:
        async with asyncio.timeout(_SECONDS):
            seen.extend([progress.partitions_moved async for progress in watching.watch()])

    task = asyncio.create_task(watch())
    began = asyncio.get_running_loop().time()
    for moved in range(1, 20):
        await watching.write(_value(moved))
    await watching.write(_value(_MOST, status="SUCCESS"))
    await task
    took = asyncio.get_running_loop().time() - began
    assert seen == sorted(set(seen))
    assert seen[-1] == _MOST
    assert len(seen) <= took + 3


async def test_a_task_that_is_deleted(raw: Raw, watching: Watching) -> None:
    await raw.create()
    await raw.write(_TASK.key, _value(0))
    async with aclosing(watching.watch()) as found:
        await _next(found)
        await watching.write(None)
        with pytest.raises(NotFound, match="Broker 4 has no task remove-broker"):
            await _next(found)


async def test_a_task_in_whose_place_another_one_begins(raw: Raw, watching: Watching) -> None:
    """The stream does not go on with the other task as if it were the same."""
    await raw.create()
    await raw.write(_TASK.key, _value(1))
    async with aclosing(watching.watch()) as found:
        assert await _next(found) == 1
        await watching.write(_value(0, created_ms=_TASK.created_ms + 1))
        with pytest.raises(NotFound, match="Broker 4 has another task remove-broker now"):
            await _next(found)


@pytest.mark.parametrize("needs_topic", [False, True])
async def test_a_broker_that_does_not_know_the_topic_yet(raw: Raw, watching: Watching, needs_topic: bool) -> None:
    """What is there is not denied meanwhile."""
    await raw.create()
    await raw.write(_TASK.key, _value(3))
    async with aclosing(watching.watch()) as found:
        assert await _next(found) == 3
    watching.state.handlers.needs_topic = needs_topic
    watching.lag(0.5)
    async with aclosing(watching.watch()) as found:
        assert await _next(found) == 3


async def test_a_topic_that_is_lost_and_created_again(raw: Raw, watching: Watching) -> None:
    await raw.create()
    for moved in range(5):
        await raw.write(_TASK.key, _value(moved))
    async with aclosing(watching.watch()) as found:
        assert await _next(found) == 4
        await raw.delete()
        with pytest.raises(NotFound):
            await _next(found)
    await raw.create()
    for _ in range(2):
        # The last record may be a marker of a transaction, so readers do not wait for it.
        await watching.write(_value(7))
    async with aclosing(watching.watch()) as found:
        assert await _next(found) == 7


async def test_shutdown_ends_streams(raw: Raw, watching: Watching) -> None:
    await raw.create()
    await raw.write(_TASK.key, _value(0))
    async with aclosing(watching.watch()) as found:
        await _next(found)
        draining = asyncio.create_task(watching.pipeline.drain(_SECONDS))
        with pytest.raises(Unavailable, match="shutting down"):
            await _next(found)
        assert await draining


async def test_kafka_is_away_for_a_while(raw: Raw, watching: Watching, stack: BackgroundStack) -> None:
    await raw.create()
    await raw.write(_TASK.key, _value(0))
    async with aclosing(watching.watch()) as found:
        await _next(found)
        following = asyncio.create_task(_next(found))
        await stack.pause_broker(0)
        try:
            await asyncio.sleep(5)
            assert not following.done()
        finally:
            await stack.resume_broker(0)
        await watching.write(_value(1))
        assert await following == 1
