"""Reading records that are far larger than Kafka or its client counts takes limited memory and time."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import psutil
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty

from faces.conftest import Watched
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from peak_memory import PeakMemory

pytestmark = pytest.mark.serial

GatewayFactory = Callable[..., Awaitable[Gateway]]
TopicFactory = Callable[..., Awaitable[str]]

MEBIBYTE = 1 << 20
BATCHES, RECORDS, RECORD_BYTES = 60, 30, 1_000_000
HEADERS, HEAVY = 100_000, 20
# Processor time (s) that callbacks of the loop may take one after the other.
# A message with 100,000 headers is parsed in one call, in 20 ms on a fast machine and 80 ms on a slow one.
MOST_BUSY = 0.15
TRIES = 3
DEFAULT_BUDGET = 512 * MEBIBYTE
KEYS, SUBSCRIBERS = 500, 3
MOST_TOGETHER = 1100 * MEBIBYTE
# What remains of subscribers that are idle for long.
REMAINS = 160 * MEBIBYTE
PATIENCE_SECONDS = 30


def _producer(stack: BackgroundStack) -> Producer:
    return Producer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "compression.type": "zstd",
            "message.max.bytes": 90_000_000,
            "batch.size": 80_000_000,
            "linger.ms": 2000,
            "enable.idempotence": False,
        }
    )


def _fill_with_zeros(stack: BackgroundStack, topic: str, part: str) -> None:
    """1.8 GB of records in some 100 KB of the topic. ``part`` is what is large in a record."""
    producer = _producer(stack)
    zeros = bytes(RECORD_BYTES)
    record: dict[str, Any] = {"headers": [("a", zeros)]} if part == "headers" else {part: zeros}
    for _ in range(BATCHES):
        for _ in range(RECORDS):
            producer.produce(topic, partition=0, **record)
        assert producer.flush(60) == 0


def _fill_with_keys(stack: BackgroundStack, topic: str) -> None:
    """500 MB of keys that are not compressed, without values."""
    settings = {"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": 2_000_000}
    producer = Producer(settings | {"queue.buffering.max.kbytes": 1_000_000})
    for _ in range(KEYS):
        producer.produce(topic, key=bytes(RECORD_BYTES), partition=0)
    assert producer.flush(60) == 0


def _fill_with_headers(stack: BackgroundStack, topic: str) -> None:
    producer = _producer(stack)
    for number in range(HEAVY):
        producer.produce(topic, str(number), headers=[("a", b"")] * HEADERS, partition=0)
        assert producer.flush(60) == 0


def _resident(gateway: Gateway) -> int:
    return psutil.Process(gateway.child.pid).memory_info().rss


async def _falls_below(gateway: Gateway, limit: int) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while _resident(gateway) > limit:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.5)
    return True


async def _first_event(gateway: Gateway, topic: str, client: httpx.AsyncClient, seen: asyncio.Event) -> None:
    """Subscribe, take the first event, and read no more."""
    what = "offset key { base64 } value { base64 } headers { value { base64 } }"
    query = f"subscription ($t: String!) {{ records(topicName: $t, from: EARLIEST) {{ {what} }} }}"
    body = {"query": query, "variables": {"t": topic}}
    async with client.stream("POST", gateway.graphql, json=body, headers={"accept": "text/event-stream"}) as answer:
        received = b""
        async for chunk in answer.aiter_raw():
            received += chunk[:100]
            if b'"offset"' in received:
                seen.set()
                await asyncio.sleep(60)


@pytest.mark.parametrize("part", ["value", "key", "headers"])
async def test_records_with_a_very_high_compression_ratio(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory, part: str
) -> None:
    name = await topic(partitions=1)
    await asyncio.to_thread(_fill_with_zeros, stack, name, part)
    gateway = await gateway_factory()
    before = _resident(gateway)
    peak = PeakMemory(gateway)
    seen = asyncio.Event()
    async with httpx.AsyncClient(timeout=60) as client:
        reading = asyncio.create_task(_first_event(gateway, name, client, seen))
        async with asyncio.timeout(60):
            await seen.wait()
        await asyncio.sleep(4)
        assert peak.growth() < DEFAULT_BUDGET
        assert await _falls_below(gateway, before + REMAINS)
        reading.cancel()


async def test_large_keys_of_slow_subscribers(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic(partitions=1)
    await asyncio.to_thread(_fill_with_keys, stack, name)
    gateway = await gateway_factory()
    before = _resident(gateway)
    peak = PeakMemory(gateway)
    async with httpx.AsyncClient(timeout=60) as client:
        seen = [asyncio.Event() for _ in range(SUBSCRIBERS)]
        reading = [asyncio.create_task(_first_event(gateway, name, client, one)) for one in seen]
        async with asyncio.timeout(60):
            for one in seen:
                await one.wait()
        await asyncio.sleep(4)
        assert await _falls_below(gateway, before + REMAINS)
        for task in reading:
            task.cancel()
    assert peak.growth() < MOST_TOGETHER


async def _read(gateway: Gateway, topic: str, subscribe: bool) -> None:
    if subscribe:
        query = "subscription ($t: String!) { records(topicName: $t, from: EARLIEST, follow: false) { offset } }"
        body = {"query": query, "variables": {"t": topic}}
        offsets = 0
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream("POST", gateway.graphql, json=body, headers={"accept": "text/event-stream"}) as answer,
        ):
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    offsets += len(json.loads(line.removeprefix("data: "))["data"]["records"])
        assert offsets == HEAVY
        return
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
        call = record_pb2_grpc.RecordServiceStub(channel).Consume(
            record_pb2.ConsumeRequest(topic_name=topic, earliest=Empty(), follow=False), timeout=60
        )
        records = [record async for frame in call for record in frame.records]
    assert [record.value for record in records] == [str(number).encode() for number in range(HEAVY)]
    assert {len(record.headers) for record in records} == {HEADERS}


@pytest.mark.parametrize("subscribe", [True, False], ids=["graphql", "grpc"])
async def test_records_with_very_many_headers(
    stack: BackgroundStack, watched: Watched, topic: TopicFactory, subscribe: bool
) -> None:
    name = await topic(partitions=1)
    await asyncio.to_thread(_fill_with_headers, stack, name)
    busy = []
    for _ in range(TRIES):
        await watched.report()
        await _read(watched.gateway, name, subscribe)
        busy.append((await watched.report())["longest_busy"])
        if busy[-1] < MOST_BUSY:
            break
    assert min(busy) < MOST_BUSY
