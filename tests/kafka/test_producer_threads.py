"""Producer clients are created and destroyed in threads, not on the event loop: each takes about a millisecond."""

import asyncio
import threading
from typing import Any

import pytest
from confluent_kafka import Producer as ClientProducer
from confluent_kafka.admin import AclOperation, ResourceType

from conftest import TopicFactory
from denial import CLUSTER, denied
from engines import LoneEngine
from kafka_facade.core.records.model import Delivery
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade.kafka.producing import producer_client
from kafka_facade_devstack.background import BackgroundStack

SECONDS = 20
RECORD = SerializedRecord(None, b"x", 0, [], None)

created_in: list[threading.Thread] = []
destroyed_in: list[threading.Thread] = []


class WatchedClient(ClientProducer):
    """A client that tells where it is created and destroyed."""

    def __init__(self, config: dict[str, Any]) -> None:
        created_in.append(threading.current_thread())
        super().__init__(config)

    def __del__(self) -> None:
        destroyed_in.append(threading.current_thread())


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    created_in.clear()
    destroyed_in.clear()
    monkeypatch.setattr(producer_client, "ClientProducer", WatchedClient)


async def _stored(engine: LoneEngine, name: str) -> None:
    """Produce until a record is stored."""
    async with asyncio.timeout(SECONDS):
        outcome: object = None
        while not isinstance(outcome, Delivery):
            await asyncio.sleep(0.05)
            [outcome] = await (await engine.producer.submit(name, [RECORD]))


async def _all_in_threads() -> None:
    async with asyncio.timeout(SECONDS):
        while len(destroyed_in) < len(created_in):  # noqa: ASYNC110  a destructor wakes no task
            await asyncio.sleep(0.02)
    assert threading.main_thread() not in [*created_in, *destroyed_in]


async def test_producers_of_topics_with_small_limits_are_created_in_threads(
    stack: BackgroundStack, topic: TopicFactory
) -> None:
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    for size in ("1048588", "20000", "1000"):
        name = await topic(config={"max.message.bytes": size})
        await engine.producer.partition_count(name, SECONDS)
        await _stored(engine, name)
    await engine.close(5)
    assert len(created_in) == 3
    await _all_in_threads()


async def test_replacements_are_created_in_threads(stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    # Kafka gives out no producer ids, which is fatal to a producer.
    rights = (ResourceType.TOPIC, "*", AclOperation.WRITE), (*CLUSTER, AclOperation.IDEMPOTENT_WRITE)
    async with denied(stack, *rights, principal="User:*"), asyncio.timeout(SECONDS):
        await engine.producer.open()
        while len(created_in) < 3:
            await (await engine.producer.submit(name, [RECORD]))
            await asyncio.sleep(0.05)
    await _stored(engine, name)
    await engine.close(5)
    await _all_in_threads()
