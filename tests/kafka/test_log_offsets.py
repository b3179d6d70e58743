"""The earliest and latest offsets of partitions, from both clients."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from conftest import TopicFactory
from engines import LoneEngine
from kafka_facade.core.errors import LeaderNotAvailable, PartitionNotFound, RetriableKafkaError, TopicNotFound
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.topics.model import TopicDescription
from kafka_facade.core.topics.positions import TopicPartition
from kafka_facade.kafka.admin.log_offsets import EARLIEST, LATEST, MAX_TIMESTAMP, ClientLogOffsets, LogOffsets
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 20


@pytest.fixture(params=["kafka-python", "librdkafka"])
async def offsets(request: pytest.FixtureRequest, engine: Engine) -> AsyncIterator[LogOffsets | ClientLogOffsets]:
    blocking = Blocking("test", 2)
    yield (
        engine.admin.log_offsets if request.param == "kafka-python" else ClientLogOffsets(engine.admin.client, blocking)
    )
    blocking.close()


async def test_earliest_and_latest_offsets(
    offsets: LogOffsets | ClientLogOffsets, engine: Engine, topic: TopicFactory
) -> None:
    name = await topic(partitions=3)
    await (await engine.producer.submit(name, [SerializedRecord(None, b"x", 1, [], None)] * 5))
    places = [(name, 1), (name, 0), (name, 1)]
    for stable in (False, True):
        earliest, latest = await offsets.of(places, (EARLIEST, LATEST), _SECONDS, stable=stable)
        assert earliest == {(name, 1): 0, (name, 0): 0}
        assert latest == {(name, 1): 5, (name, 0): 0}


async def test_the_largest_timestamp(
    offsets: LogOffsets | ClientLogOffsets, engine: Engine, topic: TopicFactory
) -> None:
    name = await topic(partitions=2)
    for timestamp in (1000, 3000, 2000):
        await (await engine.producer.submit(name, [SerializedRecord(None, b"x", 1, [], timestamp)]))
    [times] = await offsets.of([(name, 0), (name, 1)], [MAX_TIMESTAMP], _SECONDS)
    assert times == {(name, 0): -1, (name, 1): 3000}


async def test_unknown_partitions_have_errors_as_results(engine: Engine, topic: TopicFactory) -> None:
    name, other = await topic(), f"missing-{uuid.uuid4().hex}"
    places = [TopicPartition(name, 0), TopicPartition(name, 1), TopicPartition(other, 0)]
    there, no_partition, no_topic = await engine.admin.offsets(places, _SECONDS)
    assert there == (0, 0)
    assert isinstance(no_partition, PartitionNotFound)
    assert isinstance(no_topic, TopicNotFound)


async def test_partitions_without_a_leader_do_not_delay_others(
    three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic(on=three_brokers, partitions=6)
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers))
    described: object = None
    async with asyncio.timeout(_SECONDS):
        # A broker that was restarted may not know the topic yet.
        while not isinstance(described, TopicDescription):
            [described] = await engine.admin.describe_topics([name], _SECONDS)
    others = [partition.partition_id for partition in described.partitions if partition.leader_id != 3]
    await three_brokers.kill_broker(2)
    partitions = [TopicPartition(name, index) for index in range(6)]
    found = await engine.admin.offsets(partitions, _SECONDS)
    # Until the cluster has noticed, the one that is gone still leads.
    assert {type(answer) for answer in found} <= {tuple, LeaderNotAvailable, RetriableKafkaError}, found
    assert [found[index] for index in others] == [(0, 0)] * len(others)
    await engine.close(5)
