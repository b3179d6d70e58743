"""Instances with a topic pattern, while topics are created and deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from conftest import TopicFactory
from full_process import thread_keys_but_one_taken
from kafka_facade.core.errors import TooManyRequests
from kafka_facade.core.instances.model import FetchRecords
from kafka_facade.core.instances.session import ConsumerSession
from kafka_facade.core.instances.topic_pattern import TopicPattern
from kafka_facade.core.records.model import FetchedRecord
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.engine import Engine

Sessions = Callable[..., Awaitable[ConsumerSession]]

# Topics are matched anew after 5 s.
STALE_SECONDS = 5.5


async def test_the_last_topic_is_deleted_and_recreated_in_a_full_process(
    engine: Engine, topic: TopicFactory, sessions: Sessions
) -> None:
    name, group = await topic(), f"group-{uuid4()}"
    await (await engine.producer.submit(name, [SerializedRecord(None, b"1", 0, [], None)]))
    session = await sessions(group)
    matched = [name]

    async def matching(_: TopicPattern) -> list[str]:
        return matched

    pattern = TopicPattern(f"{name}.*")
    async with session.use():
        await session.subscribe(matched, pattern)
    request = FetchRecords(group, "i", timeout_ms=1000)
    await session.fetch(request, 5, matching)
    with thread_keys_but_one_taken():
        matched = []
        await asyncio.sleep(STALE_SECONDS)
        with pytest.raises(TooManyRequests):
            await session.fetch(request, 5, matching)
        assert session.subscription() == []
    matched = [name]
    await asyncio.sleep(STALE_SECONDS)
    found: list[FetchedRecord] = []
    async with asyncio.timeout(20):
        while not found:
            found = await session.fetch(request, 5, matching)
    assert [entry.value for entry in found] == [b"1"]
