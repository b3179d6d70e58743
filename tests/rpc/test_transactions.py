"""Consume without follow, on a topic with open, aborted and committed transactions."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import grpc
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack

TopicFactory = Callable[..., Awaitable[str]]

_SECONDS = 20


def _begin(stack: BackgroundStack, topic: str, value: bytes) -> Producer:
    """A producer with an open transaction, whose record is in the topic."""
    settings = {"bootstrap.servers": stack.bootstrap_servers, "transactional.id": uuid.uuid4().hex}
    producer = Producer(settings)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value, partition=0)
    producer.flush(30)
    return producer


async def _values(channel: grpc.aio.Channel, topic: str, **start: Empty | int) -> list[bytes]:
    request = record_pb2.ConsumeRequest(topic_name=topic, **(start or {"earliest": Empty()}))  # type: ignore[arg-type]
    answers = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=30)
    return [record.value async for answer in answers for record in answer.records]


async def _until(channel: grpc.aio.Channel, topic: str, values: list[bytes]) -> None:
    """Consume until these values come: Kafka ends a transaction a moment after the producer's call returned."""
    async with asyncio.timeout(_SECONDS):
        while await _values(channel, topic) != values:  # noqa: ASYNC110  nothing tells of the end
            await asyncio.sleep(0.05)


async def test_consume_ends_at_the_last_stable_offset(
    channel: grpc.aio.Channel, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic(partitions=2)
    committed = await asyncio.to_thread(_begin, stack, name, b"committed")
    await asyncio.to_thread(committed.commit_transaction, 30)
    unfinished = await asyncio.to_thread(_begin, stack, name, b"unfinished")
    later = Producer({"bootstrap.servers": stack.bootstrap_servers})
    later.produce(name, b"later", partition=0)
    await asyncio.to_thread(later.flush, 30)
    await _until(channel, name, [b"committed"])
    assert await _values(channel, name, offset=3) == []
    await asyncio.to_thread(unfinished.abort_transaction, 30)
    await _until(channel, name, [b"committed", b"later"])
