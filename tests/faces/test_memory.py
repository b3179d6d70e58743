"""Callers that do not read take limited memory, which is released later."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import grpc
import psutil
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty
from websockets.asyncio.client import ClientConnection, connect

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

pytestmark = pytest.mark.serial

GatewayFactory = Callable[..., Awaitable[Gateway]]
TopicFactory = Callable[..., Awaitable[str]]

MEBIBYTE = 1 << 20
BUDGET = 128 * MEBIBYTE
SUBSCRIBERS = 160
# What remains of hundreds of subscribers.
REMAINS = 120 * MEBIBYTE
ABORTED = 50
PATIENCE_SECONDS = 60
SLOW_READERS, SLOW_SECONDS, LARGE_KEY = 60, 15, 900_000
SMALL_BUDGET = 32 * MEBIBYTE

DOCUMENT = """subscription ($topic: String!) {
  records(topicName: $topic, from: EARLIEST) { offset timestamp key { text } value { text json base64 } }
}"""


def _fill(stack: BackgroundStack, topic: str, size: int) -> None:
    """60 MB of records, or half a million where they are small."""
    records = min(500_000, 60 * MEBIBYTE // size)
    producer = Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 20, "queue.buffering.max.messages": records}
    )
    value = os.urandom(size // 2).hex().encode()
    for number in range(records):
        producer.produce(topic, value)
        if not number % 10_000:
            producer.poll(0)
    assert producer.flush(60) == 0


async def _events(gateway: Gateway, topic: str) -> socket.socket:
    """A subscriber over server-sent events whose connection has a tiny buffer."""
    parts = urlsplit(gateway.rest)
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(opened, (parts.hostname, parts.port))
    body = json.dumps({"query": DOCUMENT, "variables": {"topic": topic}}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    await loop.sock_sendall(opened, head.encode() + body)
    return opened


async def _subscribed(gateway: Gateway, topic: str) -> ClientConnection:
    """A subscriber over a websocket that reads one or two events."""
    url = gateway.graphql.replace("http", "ws")
    opened = await connect(url, subprotocols=["graphql-transport-ws"], max_queue=1)  # type: ignore[list-item]
    await opened.send('{"type":"connection_init"}')
    await opened.recv()
    payload = {"query": DOCUMENT, "variables": {"topic": topic}}
    await opened.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    return opened


async def _steady(process: psutil.Process) -> int:
    """The memory of a process (bytes), once it is stable."""
    until = time.monotonic() + PATIENCE_SECONDS
    seen = [0.0] * 3
    while time.monotonic() < until:
        await asyncio.sleep(1)
        seen = [*seen[1:], float(process.memory_info().rss)]
        if max(seen) - min(seen) < MEBIBYTE:
            break
    return process.memory_info().rss


async def _falls_below(process: psutil.Process, limit: float) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while process.memory_info().rss > limit:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.5)
    return True


# By the size of a record, what a subscriber may take beside what is read ahead for all: a client with its threads, and
# an event in its forms.
@pytest.mark.parametrize(("size", "each"), [(30, 4.5 * MEBIBYTE), (1000, 4.5 * MEBIBYTE)])
async def test_subscribers_that_do_not_read_share_a_budget(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory, size: int, each: float
) -> None:
    name = await topic(partitions=4)
    await asyncio.to_thread(_fill, stack, name, size)
    gateway = await gateway_factory({"consumer.prefetch.max.bytes": str(BUDGET)})
    process = psutil.Process(gateway.child.pid)
    before = process.memory_info().rss
    async with AsyncExitStack() as opened:
        for _ in range(SUBSCRIBERS // 2):
            events = await _events(gateway, name)
            opened.callback(events.close)
            websocket = await _subscribed(gateway, name)
            opened.callback(websocket.transport.abort)
        await asyncio.sleep(2)
        taken = await _steady(process) - before
    assert taken < BUDGET + SUBSCRIBERS * each
    assert await _falls_below(process, before + REMAINS)


async def test_disconnected_subscribers_release_their_memory(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic(partitions=4)
    await asyncio.to_thread(_fill, stack, name, 1000)
    gateway = await gateway_factory()
    process = psutil.Process(gateway.child.pid)

    async def abort(subscribers: int) -> None:
        for _ in range(subscribers // 2):
            with await _events(gateway, name) as events:
                assert await asyncio.get_running_loop().sock_recv(events, 4096)
            websocket = await _subscribed(gateway, name)
            await websocket.recv()
            websocket.transport.abort()

    await abort(10)
    before = await _steady(process)
    await abort(ABORTED)
    # One that stayed would hold 3 MB at least.
    assert await _falls_below(process, before + ABORTED * MEBIBYTE)


def _fill_with_large_keys(stack: BackgroundStack, topic: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": 2_000_000})
    for _ in range(100):
        producer.produce(topic, b"value", key=bytes(LARGE_KEY))
        producer.flush(60)


async def test_slow_readers_of_large_keys_share_a_budget(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    await asyncio.to_thread(_fill_with_large_keys, stack, name)
    gateway = await gateway_factory({"consumer.prefetch.max.bytes": str(SMALL_BUDGET)})
    process = psutil.Process(gateway.child.pid)
    before = process.memory_info().rss
    read = [0] * SLOW_READERS

    async def consume(number: int) -> None:
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
            request = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), follow=True)
            call = record_pb2_grpc.RecordServiceStub(channel).Consume(request)
            while await call.read() is not grpc.aio.EOF:
                read[number] += 1
                await asyncio.sleep(2)

    readers = [asyncio.create_task(consume(number)) for number in range(SLOW_READERS)]
    taken = 0
    until = time.monotonic() + SLOW_SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(0.2)
        taken = max(taken, process.memory_info().rss - before)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    assert min(read) > 3
    # A reader has its client, and a record of 1 MB in a few forms. Without a limit it prefetches 16 more of them.
    assert taken < SMALL_BUDGET + SLOW_READERS * 9 * MEBIBYTE
