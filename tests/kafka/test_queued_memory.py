"""Records queued in all producers of a process share one budget."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TopicFactory
from kafka_facade.core.errors import FacadeError, TooManyRequests
from kafka_facade.core.records.model import Delivery, Header
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.topics.positions import TopicPartition
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.memory_budget import MemoryBudget, MemoryShare
from kafka_facade.kafka.options import KafkaOptions, PoolOptions
from kafka_facade.kafka.shared import Shared
from kafka_facade_devstack.background import BackgroundStack

MEBIBYTE = 1 << 20
BUDGET = 24 * MEBIBYTE
# By max.message.bytes of a topic, which decides on the producer: the size of its records.
SIZES = {1_048_588: 20_000, 20_000: 15_000, 1_000: 800}
PAUSED = 1
SECONDS = 20


@given(
    st.integers(MEBIBYTE, 1 << 32),
    st.integers(1, 3000),
    st.lists(st.tuples(st.booleans(), st.integers(1, 3 * MEBIBYTE), st.sampled_from([0, 2, 4])), max_size=100),
)
def test_shares_stay_in_the_budget(total: int, users: int, steps: list[tuple[bool, int, int]]) -> None:
    budget, taken = MemoryBudget(total, users, 2, MEBIBYTE), list[MemoryShare]()
    for take, least, part in steps:
        if take:
            left = total - sum(share.size for share in taken)
            try:
                taken.append(budget.take(max(least, 16 * 1024), part))
            except TooManyRequests:
                assert left < least
            else:
                assert taken[-1].size >= least
        elif taken:
            taken.pop(len(taken) // 2).give_back()
        assert sum(share.size for share in taken) <= total
    for share in taken:
        share.give_back()
        share.give_back()
    assert budget.take(total).size == total


async def _partition(engine: Engine, topic: str, *, stuck: bool = True) -> int:
    """A partition of the topic that the paused broker leads, or one that another broker leads."""
    async with asyncio.timeout(SECONDS):
        while True:
            [found] = await engine.admin.describe_topics([topic], SECONDS)
            if not isinstance(found, FacadeError):
                return next(entry.partition_id for entry in found.partitions if (entry.leader_id == PAUSED) is stuck)
            # Not all brokers know a new topic yet.
            await asyncio.sleep(0.1)


async def _fill(engine: Engine, place: TopicPartition, size: int) -> None:
    """Submit more than the whole budget, to a partition whose broker hangs."""
    record = SerializedRecord(None, b"x" * size, place.partition, [], None)
    while True:
        await engine.producer.submit(place.topic, [record] * (BUDGET // size // 10))


def _queued(engine: Engine) -> int:
    """The queued bytes of the three producers of an identity, each with records of one size."""
    queue = engine.producer._queue
    assert queue is not None
    clients = queue._clients.all()
    assert len(clients) == len(SIZES)
    return sum(len(client.current) * size for client, size in zip(clients, SIZES.values(), strict=True))


async def test_hung_topics_stay_in_the_budget(three_brokers: BackgroundStack, topic: TopicFactory) -> None:
    shared = Shared(PoolOptions(max_identities=2), queued_bytes=BUDGET)
    engines = [await Engine.open(KafkaOptions(three_brokers.bootstrap_servers), shared) for _ in range(2)]
    places: list[tuple[TopicPartition, int]] = []
    # One topic gets half of a queue at most.
    for limit, size in [*SIZES.items()] * 2:
        name = await topic(on=three_brokers, partitions=3, config={"max.message.bytes": str(limit)})
        places.append((TopicPartition(name, await _partition(engines[0], name)), size))
        for engine in engines:
            await engine.producer.partition_count(name, SECONDS)
    await three_brokers.pause_broker(PAUSED - 1)
    filling = [asyncio.create_task(_fill(engine, *place)) for engine in engines for place in places]
    await asyncio.sleep(3)
    queued = [_queued(engine) for engine in engines]
    for task in filling:
        task.cancel()
    await asyncio.gather(*filling, return_exceptions=True)
    await three_brokers.resume_broker(PAUSED - 1)
    await asyncio.gather(*(engine.close(1) for engine in engines))
    assert BUDGET / 3 < sum(queued) <= BUDGET
    # All of it has been given back.
    assert shared.queues.take(BUDGET).size == BUDGET
    await shared.close()


def _names(number: int) -> list[Header]:
    return [Header(f"{place:05}", b"x" * 10) for place in range(number)]


@pytest.mark.parametrize(
    ("record", "size"),
    [
        (SerializedRecord(b"x" * 1_000_000, None, None, [], None), 1_000_000),
        (SerializedRecord(None, b"x" * 1_000_000, None, [], None), 1_000_000),
        (SerializedRecord(None, None, None, [Header("x", b"x" * 1_000_000)], None), 1_000_000),
        (SerializedRecord(None, None, None, _names(20_000), None), 1_500_000),
    ],
    ids=["keys", "values", "values of headers", "many headers"],
)
async def test_a_hung_topic_gets_half_of_a_queue(
    three_brokers: BackgroundStack, topic: TopicFactory, record: SerializedRecord, size: int
) -> None:
    shared = Shared(PoolOptions(max_identities=1), queued_bytes=BUDGET)
    engine = await Engine.open(KafkaOptions(three_brokers.bootstrap_servers), shared)
    name, other = [await topic(on=three_brokers, partitions=3) for _ in range(2)]
    stuck, moving = await _partition(engine, name), await _partition(engine, other, stuck=False)
    await engine.producer.partition_count(name, SECONDS)
    await engine.producer.partition_count(other, SECONDS)
    await three_brokers.pause_broker(PAUSED - 1)
    submitted: list[asyncio.Future[list[Delivery | FacadeError]]] = []

    async def fill() -> None:
        while True:
            submitted.append(await engine.producer.submit(name, [msgspec.structs.replace(record, partition=stuck)] * 3))

    filling = asyncio.create_task(fill())
    await asyncio.sleep(3)
    queue = engine.producer._queue
    assert queue is not None
    first = queue._clients.first
    half = first._share.size // 2
    assert half - 2 * size <= len(first.current) * size <= half
    # The topic's own queue is bounded too.
    assert 3 * len(submitted) * size <= 2 * half + 6 * size
    async with asyncio.timeout(SECONDS):
        found = await (await engine.producer.submit(other, [msgspec.structs.replace(record, partition=moving)] * 5))
    assert all(isinstance(one, Delivery) for one in found)
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    await three_brokers.resume_broker(PAUSED - 1)
    async with asyncio.timeout(SECONDS):
        outcomes = [one for batch in submitted for one in await batch]
    assert all(isinstance(one, Delivery) for one in outcomes)
    assert first.queued.size == 0
    await engine.close(1)
    await shared.close()


async def test_the_smallest_queue_accepts_the_largest_record(stack: BackgroundStack, topic: TopicFactory) -> None:
    shared = Shared(PoolOptions(max_identities=2), queued_bytes=12 * MEBIBYTE)
    # All that is first come, and one of six even shares.
    assert shared.queues.take(part=1).size == 7 * MEBIBYTE
    engine = await Engine.open(KafkaOptions(stack.bootstrap_servers), shared)
    # Each is sent by another producer; Kafka compares the size of what is compressed, and the topics take these.
    for limit, size in ((1_048_588, MEBIBYTE - 100), (20_000, 19_000), (1_000, 900)):
        name = await topic(config={"max.message.bytes": str(limit)})
        await engine.producer.partition_count(name, SECONDS)
        async with asyncio.timeout(SECONDS):
            record = SerializedRecord(None, b"x" * size, None, [], None)
            assert all(isinstance(one, Delivery) for one in await (await engine.producer.submit(name, [record] * 3)))
    with pytest.raises(TooManyRequests) as raised:
        shared.queues.take(2 * MEBIBYTE + 1)
    assert raised.value.codes.retriable
    await engine.close(5)
    await shared.close()
