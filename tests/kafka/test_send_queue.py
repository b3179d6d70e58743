"""Records keep their order and none is lost, however they are submitted."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from conftest import TopicFactory
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest
from kafka_facade.core.ports import Delivery, SerializedRecord
from kafka_facade.core.resources import Header
from kafka_facade.devstack.background import BackgroundStack
from kafka_facade.kafka.engine import Engine, KafkaOptions


@pytest.fixture(params=[{}, {"queue.buffering.max.messages": "100"}], ids=["roomy", "narrow"])
async def engine(stack: BackgroundStack, request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    properties: Mapping[str, str] = request.param
    made = Engine(KafkaOptions(stack.bootstrap_servers, producer=properties))
    yield made
    await made.close(5)


def records(count: int, **more: int) -> list[SerializedRecord]:
    return [SerializedRecord(None, b"x", 0, [], more.get("timestamp")) for _ in range(count)]


def offsets(outcomes: list[Delivery | FacadeError]) -> list[int]:
    return [outcome.offset for outcome in outcomes if isinstance(outcome, Delivery)]


async def test_records_keep_the_order_of_their_submission(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    await engine.producer.partition_count(name, 10)
    pending = [await engine.producer.submit(name, records(1 + number % 20)) for number in range(300)]
    async with asyncio.timeout(30):
        found = [offset for batch in pending for offset in offsets(await batch)]
    assert found == list(range(sum(1 + number % 20 for number in range(300))))


async def test_topics_do_not_wait_for_each_other(engine: Engine, topic: TopicFactory) -> None:
    names = [await topic() for _ in range(5)]
    for name in names:
        await engine.producer.partition_count(name, 10)

    async def write(name: str) -> list[int]:
        found: list[int] = []
        for _ in range(50):
            found += offsets(await (await engine.producer.submit(name, records(3))))
        return found

    async with asyncio.timeout(30):
        assert await asyncio.gather(*map(write, names)) == [list(range(150))] * 5


async def test_a_record_that_cannot_be_sent_does_not_hold_up_the_others(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    await engine.producer.partition_count(name, 10)
    mixed = [*records(1), *records(1, timestamp=0), SerializedRecord(b"k", b"v", 0, [Header("h", b"1")], 5)]
    first, epoch, last = await (await engine.producer.submit(name, mixed))
    assert isinstance(first, Delivery)
    assert isinstance(epoch, InvalidKafkaRequest)
    assert isinstance(last, Delivery)
    assert (last.offset, last.timestamp) == (1, 5)
    assert await engine.producer.close(5) == 0
