import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    ResourceType,
)

from denial import denied
from kafka_facade_devstack.background import BackgroundStack

TopicFactory = Callable[..., Awaitable[str]]

SECONDS = 20


def produce(bootstrap_servers: str, topic: str, value: bytes, seconds: float = SECONDS) -> KafkaError | None:
    """Produce a record with acks=all and return its error; None if Kafka has stored it."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "message.timeout.ms": int(seconds * 1000)})
    outcome: list[KafkaError | None] = []
    producer.produce(topic, value, on_delivery=lambda error, _: outcome.append(error))
    producer.flush(seconds + 5)
    return outcome[0]


def consume(bootstrap_servers: str, topic: str) -> bytes | None:
    """The first record's value."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        message = consumer.poll(SECONDS)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def in_sync(bootstrap_servers: str, topic: str) -> set[int]:
    metadata = AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(topic, timeout=SECONDS)
    return set(metadata.topics[topic].partitions[0].isrs)


async def test_produce_and_consume_a_record(stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    assert await asyncio.to_thread(produce, stack.bootstrap_servers, name, b"hello") is None
    assert await asyncio.to_thread(consume, stack.bootstrap_servers, name) == b"hello"


async def test_the_super_user_can_remove_an_acl_that_locks_clients_out(
    stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    async with denied(stack, (ResourceType.TOPIC, name, AclOperation.WRITE)):
        refused = await asyncio.to_thread(produce, stack.bootstrap_servers, name, b"no")
        assert refused is not None
        assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert await asyncio.to_thread(produce, stack.bootstrap_servers, name, b"yes") is None


async def test_three_brokers_have_three_racks(three_brokers: BackgroundStack) -> None:
    admin = AdminClient({"bootstrap.servers": three_brokers.bootstrap_servers})
    nodes = (await asyncio.to_thread(admin.describe_cluster().result, SECONDS)).nodes
    assert {(node.id, node.rack) for node in nodes} == {(1, "rack-1"), (2, "rack-2"), (3, "rack-3")}


async def test_a_killed_broker_does_not_fail_producers_and_rejoins(
    three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic(on=three_brokers, replicas=3)
    servers = three_brokers.bootstrap_servers
    await three_brokers.kill_broker(0)
    assert await asyncio.to_thread(produce, servers, name, b"kept") is None
    await three_brokers.start_broker(0)
    deadline = time.monotonic() + SECONDS
    while await asyncio.to_thread(in_sync, servers, name) != {1, 2, 3}:
        assert time.monotonic() < deadline, "broker 1 is not in sync again"
        await asyncio.sleep(0.2)


async def test_a_paused_broker_answers_nobody_until_resumed(
    three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    server = three_brokers.bootstrap_servers.split(",")[1]
    await three_brokers.pause_broker(1)
    # An earlier client could have learned of the other brokers.
    admin = AdminClient({"bootstrap.servers": server})
    with pytest.raises(KafkaException):
        await asyncio.to_thread(admin.list_topics, timeout=2)
    await three_brokers.resume_broker(1)
    assert await asyncio.to_thread(admin.list_topics, timeout=SECONDS)
