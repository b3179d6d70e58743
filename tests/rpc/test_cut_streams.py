"""Many Consume streams cancelled at once: other calls continue, and memory stays within the budget."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

import grpc
import httpx
import psutil
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]
GatewayFactory = Callable[..., Awaitable[Gateway]]

STREAMS = 20
MEBIBYTE = 1 << 20
BUDGET = 64 * MEBIBYTE
# Additional memory of connections, frames in flight and the interpreter.
BESIDE = 200 * MEBIBYTE
RECORDS, SIZE = 60_000, 1000


def _fill(stack: BackgroundStack, name: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 20})
    value = os.urandom(SIZE)
    for _ in range(RECORDS):
        producer.produce(name, value)
        producer.poll(0)
    producer.flush(60)


@pytest.mark.serial
async def test_cut_streams(stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    name = await topic(partitions=4)
    await asyncio.to_thread(_fill, stack, name)
    gateway = await gateway_factory({"consumer.prefetch.max.bytes": str(BUDGET)})
    process = psutil.Process(gateway.child.pid)
    before = most = process.memory_info().rss
    longest = 0.0
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=60) as client:
        for _ in range(2):
            async with grpc.aio.insecure_channel(gateway.grpc) as channel:
                request = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty())
                stub = record_pb2_grpc.RecordServiceStub(channel)
                streams = [stub.Consume(request) for _ in range(STREAMS)]
                for stream in streams:
                    await stream.read()
                await asyncio.sleep(0.5)
                for stream in streams:
                    stream.cancel()
                until = time.monotonic() + 3
                while time.monotonic() < until:
                    started = time.monotonic()
                    assert (await client.get("/")).status_code == 200
                    longest = max(longest, time.monotonic() - started)
                    most = max(most, process.memory_info().rss)
                    await asyncio.sleep(0.02)
    # Everything that the streams could read is 1.2 GB.
    assert most - before < BUDGET + BESIDE
    # On a busy machine; a client that is destroyed on the event loop holds it up for as long as all of them take.
    assert longest < 3
