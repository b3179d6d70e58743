"""Records queued in all producers of a process share one budget."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TopicFactory
from kafka_facade.core.errors import FacadeError, TooManyRequests
from kafka_facade.core.records.model import Delivery
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


async def _stuck(engine: Engine, topic: str) -> int:
    """A partition of the topic that the paused broker leads."""
    [found] = await engine.admin.describe_topics([topic], SECONDS)
    assert not isinstance(found, FacadeError)
    return next(entry.partition_id for entry in found.partitions if entry.leader_id == PAUSED)


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
        places.append((TopicPartition(name, await _stuck(engines[0], name)), size))
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
