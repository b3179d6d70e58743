"""Records keep their order and none is lost, in batches of any size."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

import pytest
from confluent_kafka.admin import (
    AclOperation,
    ResourceType,
)

from conftest import TopicFactory
from denial import CLUSTER, denied
from engines import LoneEngine
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest, Unavailable
from kafka_facade.core.records.model import Delivery, Header, RecordOrder
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack
from machine_speed import slowness


@pytest.fixture(params=[{}, {"queue.buffering.max.messages": "100"}], ids=["roomy", "narrow"])
async def engine(stack: BackgroundStack, request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    properties: Mapping[str, str] = request.param
    made = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers, producer=properties))
    yield made
    await made.close(5)


def records(count: int, **more: int) -> list[SerializedRecord]:
    return [SerializedRecord(None, b"x", 0, [], more.get("timestamp")) for _ in range(count)]


def offsets(outcomes: list[Delivery | FacadeError]) -> list[int]:
    return [outcome.offset for outcome in outcomes if isinstance(outcome, Delivery) and outcome.offset is not None]


async def test_records_keep_the_order_of_their_submission(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    await engine.producer.partition_count(name, 10)
    pending = [await engine.producer.submit(name, records(1 + number % 20)) for number in range(300)]
    async with asyncio.timeout(30):
        found = [offset for batch in pending for offset in offsets(await batch)]
    assert found == list(range(sum(1 + number % 20 for number in range(300))))


async def test_a_stream_keeps_its_order_whether_or_not_it_names_the_partition(
    engine: Engine, topic: TopicFactory
) -> None:
    name, order = await topic(), RecordOrder()
    await engine.producer.partition_count(name, 10)
    pending = []
    for number in range(300):
        partition, key = (0, None) if number % 3 else (None, b"key" if number % 2 else None)
        batch = [SerializedRecord(key, b"x", partition, [], None) for _ in range(1 + number % 20)]
        pending.append(await engine.producer.submit(name, batch, order))
    async with asyncio.timeout(30):
        found = [offset for batch in pending for offset in offsets(await batch)]
    assert found == list(range(sum(1 + number % 20 for number in range(300))))


async def test_no_records_at_all(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    async with asyncio.timeout(10):
        assert await (await engine.producer.submit(name, [])) == []
        assert offsets(await (await engine.producer.submit(name, records(1)))) == [0]


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


async def test_a_record_that_cannot_be_sent_does_not_delay_others(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    await engine.producer.partition_count(name, 10)
    mixed = [*records(1), *records(1, timestamp=0), SerializedRecord(b"k", b"v", 0, [Header("h", b"1")], 5)]
    first, epoch, last = await (await engine.producer.submit(name, mixed))
    assert isinstance(first, Delivery)
    assert isinstance(epoch, InvalidKafkaRequest)
    assert isinstance(last, Delivery)
    assert (last.offset, last.timestamp) == (1, 5)
    assert await engine.producer.close(5) == 0


def nobody_may_write(stack: BackgroundStack) -> AbstractAsyncContextManager[None]:
    """During the block Kafka returns no producer ids, which is a fatal error of a producer."""
    rights = (ResourceType.TOPIC, "*", AclOperation.WRITE), (*CLUSTER, AclOperation.IDEMPOTENT_WRITE)
    return denied(stack, *rights, principal="User:*")


async def test_a_fatal_error_fails_records_with_its_cause(stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    await engine.producer.partition_count(name, 10)
    async with nobody_may_write(stack):
        for _ in range(3):
            started = time.monotonic()
            outcomes = await (await engine.producer.submit(name, records(3)))
            assert {type(outcome).__name__ for outcome in outcomes} == {"KafkaAuthorizationFailed"}
            assert time.monotonic() - started < 5
    async with asyncio.timeout(10):
        while len(offsets(await (await engine.producer.submit(name, records(3))))) < 3:
            pass
    assert await engine.producer.close(5) == 0


async def test_a_producer_that_has_met_a_fatal_error_ends_at_once(stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    await engine.producer.partition_count(name, 10)
    async with nobody_may_write(stack):
        pending = [await engine.producer.submit(name, records(3)) for _ in range(3)]
        started = time.monotonic()
        await engine.producer.close(10)
        assert time.monotonic() - started < 5
        async with asyncio.timeout(1):
            for future in pending:
                assert all(isinstance(outcome, FacadeError) for outcome in await future)


async def test_records_of_cancelled_calls_are_not_sent(engine: Engine, topic: TopicFactory) -> None:
    name = await topic()
    await engine.producer.partition_count(name, 10)
    first = await engine.producer.submit(name, records(1))
    given_up = [await engine.producer.submit(name, records(10)) for _ in range(5)]
    for future in given_up:
        future.cancel()
    last = await engine.producer.submit(name, records(1))
    assert offsets(await first) == [0]
    assert offsets(await last) == [1]
    assert await engine.producer.close(5) == 0


async def test_queued_records_fail_at_once_when_the_producer_closes(
    stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    engine = await LoneEngine.start(
        KafkaOptions(stack.bootstrap_servers, producer={"queue.buffering.max.messages": "10"})
    )
    await engine.producer.partition_count(name, 10)
    await stack.pause_broker(0)
    try:
        pending = [asyncio.create_task(engine.producer.submit(name, records(200))) for _ in range(20)]
        await asyncio.sleep(0.2)
        assert await engine.producer.close(0.5) > 0
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*pending, return_exceptions=True)
            taken = [answer for answer in answers if not isinstance(answer, BaseException)]
            assert taken
            for future in taken:
                assert isinstance((await future)[-1], FacadeError)
            refused = [answer for answer in answers if isinstance(answer, BaseException)]
            assert refused
            assert all(isinstance(answer, Unavailable) for answer in refused)
    finally:
        await stack.resume_broker(0)


@pytest.mark.serial
async def test_a_big_batch_lets_other_topics_pass(stack: BackgroundStack, topic: TopicFactory) -> None:
    big, small = await topic(), await topic()
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    for name in (big, small):
        await engine.producer.partition_count(name, 10)
    count = 500_000
    whole = await engine.producer.submit(big, records(count))
    for _ in range(5):
        started = time.monotonic()
        assert offsets(await (await engine.producer.submit(small, records(1))))
        assert time.monotonic() - started < 1
    assert not whole.done()
    async with asyncio.timeout(60):
        assert offsets(await whole) == list(range(count))
    assert await engine.producer.close(5) == 0


async def test_a_topic_that_hangs_leaves_others_room(three_brokers: BackgroundStack, topic: TopicFactory) -> None:
    names = [await topic(on=three_brokers, partitions=3) for _ in range(2)]
    properties = {"queue.buffering.max.messages": "2000"}
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers, producer=properties))
    for name in names:
        await engine.producer.partition_count(name, 10)
    leaders = await engine.admin.describe_topics(names, 10)
    hung, free = [
        [entry.leader_id for entry in found.partitions] for found in leaders if not isinstance(found, FacadeError)
    ]
    stuck, other = hung.index(1), next(place for place, leader in enumerate(free) if leader != 1)
    one = SerializedRecord(None, b"x", other, [], None)
    # The client has its producer id then, which the broker that is to hang may give.
    assert offsets(await (await engine.producer.submit(names[1], [one]))) == [0]
    await three_brokers.pause_broker(0)
    waiting = await engine.producer.submit(
        names[0], [SerializedRecord(None, b"x", stuck, [], None) for _ in range(10_000)]
    )
    await asyncio.sleep(0.5)
    for number in range(1, 6):
        async with asyncio.timeout(5):
            assert offsets(await (await engine.producer.submit(names[1], [one]))) == [number]
    assert not waiting.done()
    await three_brokers.resume_broker(0)
    async with asyncio.timeout(30):
        assert len(offsets(await waiting)) == 10_000
    assert await engine.producer.close(5) == 0


async def _spread(stack: BackgroundStack, engine: Engine, topic: TopicFactory, broker: int) -> tuple[str, int, int]:
    """A topic with three partitions; one that this broker leads, and one that another broker leads."""
    name = await topic(on=stack, partitions=3)
    await engine.producer.partition_count(name, 10)
    [found] = await engine.admin.describe_topics([name], 10)
    assert not isinstance(found, FacadeError)
    leaders = [entry.leader_id for entry in found.partitions]
    return name, leaders.index(broker), next(place for place, leader in enumerate(leaders) if leader != broker)


async def _delivered(engine: Engine, topic: str, record: SerializedRecord) -> Delivery:
    async with asyncio.timeout(5):
        [outcome] = await (await engine.producer.submit(topic, [record]))
    assert isinstance(outcome, Delivery), outcome
    return outcome


async def test_a_partition_that_hangs_leaves_others_of_its_topic_room(
    three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    properties = {"queue.buffering.max.messages": "2000"}
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers, producer=properties))
    name, stuck, other = await _spread(three_brokers, engine, topic, 1)
    await three_brokers.pause_broker(0)
    # More than may be in the client and wait in front of it.
    waiting = [
        asyncio.create_task(engine.producer.submit(name, [SerializedRecord(None, b"x", stuck, [], None)] * 1000))
        for _ in range(10)
    ]
    await asyncio.sleep(0.5)
    for number in range(5):
        delivery = await _delivered(engine, name, SerializedRecord(None, b"x", other, [], None))
        assert (delivery.partition, delivery.offset) == (other, number)
    await three_brokers.resume_broker(0)
    async with asyncio.timeout(30):
        found = [offset for batch in waiting for offset in offsets(await (await batch))]
    assert found == list(range(10_000))
    assert await engine.producer.close(5) == 0


async def test_records_without_partitions_pass_those_of_a_partition_that_hangs(
    three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    properties = {"queue.buffering.max.messages": "2000"}
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers, producer=properties))
    name, stuck, other = await _spread(three_brokers, engine, topic, 1)
    keys: dict[int, bytes] = {}
    for number in range(30):
        key = b"key %d" % number
        keys[(await _delivered(engine, name, SerializedRecord(key, b"x", None, [], None))).partition] = key
    await three_brokers.pause_broker(0)
    waiting = [
        asyncio.create_task(engine.producer.submit(name, [SerializedRecord(keys[stuck], b"x", None, [], None)] * 1000))
        for _ in range(10)
    ]
    await asyncio.sleep(1)
    for _ in range(5):
        keyed = await _delivered(engine, name, SerializedRecord(keys[other], b"x", None, [], None))
        assert keyed.partition == other
        assert (await _delivered(engine, name, SerializedRecord(None, b"x", None, [], None))).partition != stuck
    await three_brokers.resume_broker(0)
    async with asyncio.timeout(30):
        found = [offset for batch in waiting for offset in offsets(await (await batch))]
    assert found == list(range(found[0], found[0] + 10_000))
    assert await engine.producer.close(5) == 0


async def test_a_stream_does_not_take_records_for_a_partition_that_hangs_to_another_one(
    three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    """Its next records come before the first one is acknowledged."""
    properties = {"queue.buffering.max.messages": "2000"}
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers, producer=properties))
    name, stuck, other = await _spread(three_brokers, engine, topic, 1)
    await _delivered(engine, name, SerializedRecord(None, b"x", other, [], None))
    await three_brokers.pause_broker(0)

    async def stream() -> list[int]:
        order = RecordOrder()
        places = [other, *[stuck] * 5, other]
        submitted = [
            await engine.producer.submit(name, [SerializedRecord(None, b"x", place, [], None)] * 400, order)
            for place in places
        ]
        return [len(offsets(await outcomes)) for outcomes in submitted]

    streams = [asyncio.create_task(stream()) for _ in range(5)]
    await asyncio.sleep(1)
    for _ in range(5):
        await _delivered(engine, name, SerializedRecord(None, b"x", other, [], None))
    assert not any(task.done() for task in streams)
    await three_brokers.resume_broker(0)
    async with asyncio.timeout(30):
        assert await asyncio.gather(*streams) == [[400] * 7] * 5
    assert await engine.producer.close(5) == 0


@pytest.mark.serial
async def test_many_partitions_that_hang_cost_little(three_brokers: BackgroundStack, topic: TopicFactory) -> None:
    properties = {"queue.buffering.max.kbytes": "1000"}
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers, producer=properties))
    name = await topic(on=three_brokers, partitions=300)
    await engine.producer.partition_count(name, 10)
    [found] = await engine.admin.describe_topics([name], 10)
    assert not isinstance(found, FacadeError)
    stuck = [place for place, entry in enumerate(found.partitions) if entry.leader_id == 1]
    other = next(place for place, entry in enumerate(found.partitions) if entry.leader_id != 1)
    await _delivered(engine, name, SerializedRecord(None, b"x", other, [], None))
    await three_brokers.pause_broker(0)
    waiting = [
        asyncio.create_task(engine.producer.submit(name, [SerializedRecord(None, b"x" * 20_000, place, [], None)] * 5))
        for place in stuck
    ]
    await asyncio.sleep(2)
    used = time.thread_time()
    await asyncio.sleep(3)
    assert time.thread_time() - used < 3 * 0.25 * slowness()
    await _delivered(engine, name, SerializedRecord(None, b"x", other, [], None))
    await three_brokers.resume_broker(0)
    async with asyncio.timeout(30):
        assert sum([len(offsets(await (await batch))) for batch in waiting]) == 5 * len(stuck)
    assert await engine.producer.close(5) == 0
