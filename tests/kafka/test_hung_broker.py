"""If one of three brokers hangs, only requests that need it are delayed."""

import asyncio
import contextlib
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable
from typing import TypeVar

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from msgspec.structs import replace

from conftest import TopicFactory
from engines import LoneEngine
from kafka_facade.core.errors import FacadeError, KafkaTimeout
from kafka_facade.core.groups.port import GroupDescription
from kafka_facade.core.records.model import Delivery
from kafka_facade.core.records.port import ConsumerPort, SerializedRecord
from kafka_facade.core.topics.positions import PartitionPosition
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

_T = TypeVar("_T")

_SECONDS = 30
_CONSUMERS = 75
# More than any pool of threads has that serves several of them.
_STUCK = 20
_ENGINES = 6
# How long (s) it may take to find out that a broker hangs, and to go on with another.
_SOON = 20


async def _timed(work: Awaitable[_T]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


async def _first_commit(consumer: ConsumerPort, offsets: dict[tuple[str, int], int]) -> None:
    """The first coordinators of a cluster take a moment to begin."""
    async with asyncio.timeout(_SECONDS):
        while True:
            with contextlib.suppress(FacadeError):
                return await consumer.commit(offsets, _SECONDS, {})


async def test_waiting_commits_do_not_delay_others(three_brokers: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic(on=three_brokers, replicas=3)
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers))
    places, commits = [PartitionPosition(name, 0, 0)], {(name, 0): 0}
    consumers: dict[str, ConsumerPort] = {}
    for _ in range(_CONSUMERS):
        group = uuid.uuid4().hex
        consumers[group] = await engine.create(
            group=group, auto_offset_reset="earliest", auto_commit=False, overrides={}
        )
        await consumers[group].assign(places)
    # Each knows its coordinator then.
    await asyncio.gather(*(_first_commit(consumer, commits) for consumer in consumers.values()))
    by_broker: dict[int | None, list[ConsumerPort]] = defaultdict(list)
    for found in await engine.groups.describe_groups(list(consumers), _SECONDS):
        assert isinstance(found, GroupDescription)
        by_broker[found.coordinator_id].append(consumers[found.consumer_group_id])
    hung = max(by_broker, key=lambda broker: len(by_broker[broker]))
    assert hung is not None
    assert len(by_broker[hung]) >= _STUCK
    await three_brokers.pause_broker(hung - 1)
    waiting = [asyncio.create_task(consumer.commit(commits, 25, {})) for consumer in by_broker.pop(hung)]
    await asyncio.sleep(0.2)
    free = [consumer.commit(commits, _SECONDS, {}) for some in by_broker.values() for consumer in some]
    # Kafka takes a moment to go on without a replica, and the client to ask another broker for the coordinator.
    assert await _timed(asyncio.gather(*free)) < 25
    assert not any(task.done() for task in waiting)
    await three_brokers.resume_broker(hung - 1)
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        # Its groups may have moved to another broker meanwhile, and the time may be over.
        assert outcome is None or isinstance(outcome, FacadeError), outcome
    await asyncio.gather(*(consumer.close(_SECONDS) for consumer in consumers.values()))
    await engine.close(5)


async def test_metadata_is_read_from_other_brokers(three_brokers: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic(on=three_brokers, replicas=3)
    # Each is connected to other brokers.
    engines = [await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers)) for _ in range(_ENGINES)]
    controllers = [(await engine.admin.describe_cluster(_SECONDS))[0].controller_id for engine in engines]
    hung = max(controllers, key=controllers.count)
    assert hung is not None
    await three_brokers.pause_broker(hung - 1)
    asked = [
        ask
        for engine in engines
        for ask in (engine.admin.describe_cluster(_SECONDS), engine.admin.list_topics(_SECONDS))
    ]
    described = [engine.admin.describe_topics([name], _SECONDS) for engine in engines]
    async with asyncio.timeout(_SOON):
        await asyncio.gather(*asked)
        for [found] in await asyncio.gather(*described):
            assert not isinstance(found, FacadeError), found
    for engine in engines:
        await engine.close(5)


async def test_records_that_time_out_together_share_an_error(three_brokers: BackgroundStack) -> None:
    """One for each would block the event loop for a third of a second."""
    name = f"failing-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": three_brokers.bootstrap_servers})
    await asyncio.wrap_future(admin.create_topics([NewTopic(name, 1, replica_assignment=[[3]])])[name])
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers, request_seconds=5))
    record = SerializedRecord(None, b"x", 0, [], None)
    assert isinstance((await (await engine.producer.submit(name, [record])))[0], Delivery)
    await three_brokers.pause_broker(2)
    outcomes = await (await engine.producer.submit(name, [replace(record) for _ in range(20_000)]))
    assert all(isinstance(outcome, KafkaTimeout) for outcome in outcomes)
    assert len(set(map(id, outcomes))) < 200
    await engine.close(5)


async def test_the_first_records_of_topics_that_other_brokers_lead(three_brokers: BackgroundStack) -> None:
    """Whichever broker a producer asks first for metadata."""
    servers, hung = three_brokers.bootstrap_servers, 2
    admin = AdminClient({"bootstrap.servers": servers})
    # Partition 0 is led by another broker; of half of the topics, the one that hangs leads the other partition.
    assignments = [[[1]], [[3]], [[1], [hung]], [[3], [hung]]]
    names = {f"first-{uuid.uuid4().hex[:12]}": replicas for replicas in (*assignments, *assignments)}
    used = f"used-{uuid.uuid4().hex[:12]}"
    topics = [NewTopic(name, len(replicas), replica_assignment=replicas) for name, replicas in names.items()]
    topics.append(NewTopic(used, 3, replica_assignment=[[1], [2], [3]]))
    await asyncio.gather(*map(asyncio.wrap_future, admin.create_topics(topics).values()))
    engines = [await LoneEngine.start(KafkaOptions(servers)) for _ in range(4)]

    async def produce(engine: LoneEngine, topic: str, partition: int = 0) -> None:
        await engine.producer.partition_count(topic, _SECONDS)
        record = SerializedRecord(None, b"x", partition, [], None)
        [outcome] = await (await engine.producer.submit(topic, [record]))
        assert isinstance(outcome, Delivery), outcome

    # Each producer is connected to all brokers.
    for engine in engines:
        await asyncio.gather(*(produce(engine, used, partition) for partition in range(3)))
    await three_brokers.pause_broker(hung - 1)
    async with asyncio.timeout(_SOON):
        await asyncio.gather(*(produce(engine, name) for engine in engines for name in names))
    await three_brokers.resume_broker(hung - 1)
    for engine in engines:
        await engine.close(5)
