"""Reads whose records wait for memory."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import TopicFactory
from engines import LoneEngine
from kafka_facade.core.outgoing import Outgoing
from kafka_facade.core.records.model import ConsumeRecords
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.records.reading import Reading
from kafka_facade.core.topics.operations import Topics
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

_BUDGET = 64 * 1024 * 1024
# Read together, but not returned together.
_COUNT = 8
_BATCH = 350_000


@pytest.fixture
async def engine(stack: BackgroundStack) -> AsyncIterator[LoneEngine]:
    made = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    yield made
    await made.close(10)


async def test_the_last_records_of_a_read_to_the_end_wait(engine: LoneEngine, topic: TopicFactory) -> None:
    """They do not fit into the first batch, although they were read together with it."""
    name = await topic()
    records = [SerializedRecord(None, bytes(100_000), 0, [], None)] * _COUNT
    await (await engine.producer.submit(name, records))
    outgoing = Outgoing(_BUDGET)
    # Together they take all of the memory, so that the last records have to wait for it.
    others = [outgoing.message() for _ in range(2)]
    call: Any = SimpleNamespace(kafka=engine.ports(), remaining=30.0, usage=None)
    request = ConsumeRecords(None, name, start="earliest", follow=False, max_bytes=_BATCH)
    found: list[int] = []
    waiting: asyncio.Task[None] | None = None
    async with asyncio.timeout(60):
        async for batch in Reading(Topics(), asyncio.Event(), outgoing).consume(call, request):
            found += [record.offset for record in batch]
            if waiting is None:
                assert others[0].fits(_BUDGET // 2, copies=1)
                waiting = asyncio.create_task(others[1].reserve(_BUDGET // 2, copies=1, lasting=True))
                await asyncio.sleep(0.1)
                assert not waiting.done()
                for other in others:
                    asyncio.get_running_loop().call_later(1, other.release)
    assert found == list(range(_COUNT))
