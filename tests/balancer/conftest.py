"""Clients for four brokers, and topics on brokers of the test's choice."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from engines import LoneEngine
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

PlacedTopic = Callable[..., Awaitable[str]]
_SECONDS = 60


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = _SECONDS) -> None:
    """Wait until a condition is met."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.1)


@pytest.fixture
async def kafka(four_brokers: BackgroundStack) -> AsyncIterator[KafkaPorts]:
    """What the gateway can do with the four brokers."""
    engine = await LoneEngine.start(KafkaOptions(four_brokers.bootstrap_servers))
    yield engine.ports()
    await engine.close(5)


@pytest.fixture
async def placed(four_brokers: BackgroundStack) -> AsyncIterator[PlacedTopic]:
    """`await placed([[1, 2], [3]])`: a topic with its partitions on these brokers; deleted at the end."""
    made: list[str] = []
    admin = AdminClient({"bootstrap.servers": four_brokers.bootstrap_servers})

    async def create(assignment: list[list[int]], config: dict[str, str] | None = None) -> str:
        name = f"placed-{uuid.uuid4().hex[:12]}"
        new = NewTopic(name, len(assignment), replica_assignment=assignment, config=config or {})
        await asyncio.wrap_future(admin.create_topics([new])[name])
        made.append(name)

        async def has_leaders() -> bool:
            described = (await asyncio.to_thread(admin.list_topics, name, timeout=_SECONDS)).topics[name]
            leaders = [entry.leader for entry in described.partitions.values()]
            return len(leaders) == len(assignment) and min(leaders) >= 0

        await until(has_leaders)
        return name

    yield create
    if made:
        await asyncio.gather(
            *map(asyncio.wrap_future, admin.delete_topics(made).values()),
            return_exceptions=True,
        )
