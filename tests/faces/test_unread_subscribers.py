"""Many readers of records that compress well fit into the memory that is set, whether they read or not."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import httpx
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from peak_memory import PeakMemory

pytestmark = pytest.mark.serial

LIMIT = 600_000_000
RECORDS, RECORD_BYTES, SUBSCRIBERS, READERS, PARTITIONS = 120, 899_000, 30, 30, 1


def _fill(stack: BackgroundStack, topic: str) -> None:
    """108 MB of records in 12 KB of the topic, each in a batch of its own."""
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "compression.type": "zstd", "linger.ms": 0})
    for number in range(RECORDS):
        producer.produce(topic, b"%06d" % number + b"z" * RECORD_BYTES, partition=number % PARTITIONS)
        assert producer.flush(60) == 0


async def _subscribe(gateway: Gateway, topic: str, client: httpx.AsyncClient) -> None:
    """Subscribe, and take the head of the answer only."""
    query = f'subscription {{ records(topicName: "{topic}", from: EARLIEST) {{ offset value {{ base64 }} }} }}'
    headers = {"accept": "text/event-stream"}
    async with client.stream("POST", gateway.graphql, json={"query": query}, headers=headers) as answer:
        assert answer.status_code == 200
        await asyncio.sleep(60)


async def test_subscribers_that_read_nothing(
    stack: BackgroundStack, gateway_factory: Callable[..., Awaitable[Gateway]], topic: Callable[..., Awaitable[str]]
) -> None:
    name = await topic(partitions=PARTITIONS)
    await asyncio.to_thread(_fill, stack, name)
    gateway = await gateway_factory({"memory.max.bytes": str(LIMIT)})
    peak = PeakMemory(gateway)
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        subscribing = [asyncio.create_task(_subscribe(gateway, name, client)) for _ in range(SUBSCRIBERS)]
        await asyncio.sleep(12)
        assert not any(task.done() for task in subscribing)
        for task in subscribing:
            task.cancel()
    assert peak.now() < LIMIT


async def _read(gateway: Gateway, topic: str) -> int:
    """Read all records; return how many."""
    async with grpc.aio.insecure_channel(gateway.grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = record_pb2_grpc.RecordServiceStub(channel).Consume(
            record_pb2.ConsumeRequest(topic_name=topic, earliest=Empty(), follow=False), timeout=100
        )
        return sum([len(frame.records) async for frame in call])


async def test_readers(
    stack: BackgroundStack, gateway_factory: Callable[..., Awaitable[Gateway]], topic: Callable[..., Awaitable[str]]
) -> None:
    name = await topic(partitions=PARTITIONS)
    await asyncio.to_thread(_fill, stack, name)
    gateway = await gateway_factory({"memory.max.bytes": str(LIMIT)})
    peak = PeakMemory(gateway)
    counts = await asyncio.gather(*(_read(gateway, name) for _ in range(READERS)))
    assert counts == [RECORDS] * READERS
    assert peak.now() < LIMIT
