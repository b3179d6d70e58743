"""Callers that take large responses slowly, or not at all, use a bounded amount of memory and do not delay others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from uuid import uuid4

import grpc
import httpx
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty

from conftest import Connect, TopicFactory
from http_connection import Connection
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from peak_memory import MEBIBYTE, PeakMemory
from websocket_frames import FIN, HEAD, TEXT, frame

pytestmark = pytest.mark.xdist_group("large_responses")

# A record takes four times its size of the budget, so two are sent at a time.
RECORD = 15 * MEBIBYTE
BUDGET = 128 * MEBIBYTE
MOST = 100 * MEBIBYTE
CALLERS = 10
# On one connection.
SUBSCRIPTIONS, COMPLETED = 16, 30
# The budget, and what all have fetched from Kafka before they wait. Without the budget it is over 500 MiB.
MOST_MEMORY = 400 * MEBIBYTE
SECONDS = 90

Attack = Callable[[Gateway, str, Connect], Coroutine[None, None, None]]


def subscription(topic: str) -> str:
    return f'subscription {{ records(topicName: "{topic}", from: EARLIEST) {{ value {{ base64 }} }} }}'


def events(topic: str) -> bytes:
    """A request for server-sent events."""
    body = json.dumps({"query": subscription(topic)}).encode()
    head = b"POST /graphql HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def subscribe(name: str, topic: str) -> bytes:
    message = {"id": name, "type": "subscribe", "payload": {"query": subscription(topic)}}
    return frame(FIN | TEXT, json.dumps(message).encode())


@pytest.fixture(scope="module")
async def gateway(stack: BackgroundStack) -> AsyncIterator[Gateway]:
    started = await stack.start_gateway({"memory.responses.max.bytes": str(BUDGET)})
    yield started
    await stack.stop_gateway(started)


async def filled(stack: BackgroundStack, topic: TopicFactory, *values: bytes) -> str:
    name = await topic(config={"max.message.bytes": str(MOST)})
    limits = {"message.max.bytes": MOST, "queue.buffering.max.kbytes": 1_000_000}
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers} | limits)
    for value in values:
        producer.produce(name, value)
    assert await asyncio.to_thread(producer.flush, 60) == 0
    return name


async def read_record(connection: Connection) -> None:
    """Read a large record of server-sent events. Heartbeats take its place while it waits."""
    while True:
        with suppress(TimeoutError):
            await connection.until(b"event: next")
            await connection.exactly(RECORD)
            return


async def read_slowly(gateway: Gateway, connect: Connect, request: bytes) -> None:
    """Read the beginning of a response, a few bytes from time to time."""
    connection = await connect(gateway, 16_384)
    await connection.send(request)
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        await connection.head()
        while True:
            await connection.exactly(100)
            await asyncio.sleep(1)


async def server_sent_events(gateway: Gateway, topic: str, connect: Connect) -> None:
    await asyncio.gather(*(read_slowly(gateway, connect, events(topic)) for _ in range(CALLERS)))


async def websocket(gateway: Gateway, topic: str, connect: Connect) -> None:
    connection = await connect(gateway, 16_384)
    await connection.send(HEAD + b"\r\n\r\n")
    await connection.head()
    await connection.send(frame(FIN | TEXT, b'{"type":"connection_init"}'))
    for number in range(SUBSCRIPTIONS):
        await connection.send(subscribe(str(number), topic))
    connection.stop_reading()
    await asyncio.sleep(SECONDS)


async def completed_operations(gateway: Gateway, topic: str, connect: Connect) -> None:
    """Subscriptions of one websocket that are completed while their records are being sent."""
    connection = await connect(gateway, 16_384)
    await connection.send(HEAD + b"\r\n\r\n")
    await connection.head()
    await connection.send(frame(FIN | TEXT, b'{"type":"connection_init"}'))
    for number in range(COMPLETED):
        await connection.send(subscribe(str(number), topic))
        await asyncio.sleep(0.5)
        await connection.send(frame(FIN | TEXT, json.dumps({"id": str(number), "type": "complete"}).encode()))
    await asyncio.sleep(SECONDS)


async def _consume(gateway: Gateway, topic: str) -> None:
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 65_536),
    ]
    async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
        stub: record_pb2_grpc.RecordServiceAsyncStub = record_pb2_grpc.RecordServiceStub(channel)
        call = stub.Consume(
            record_pb2.ConsumeRequest(topic_name=topic, earliest=Empty(), follow=True, max_bytes=2 * RECORD)
        )
        await call.code()


async def grpc_consume(gateway: Gateway, topic: str, connect: Connect) -> None:
    await asyncio.gather(*(_consume(gateway, topic) for _ in range(CALLERS)))


async def _mutation(gateway: Gateway, fetched: dict[str, str], accept: str) -> bytes:
    """A request that fetches from these topics, the first one first."""
    fields = ""
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=SECONDS) as client:
        for name, topic in fetched.items():
            group = (await _instance(client, topic)).split("/")[2]
            where = f'group: "{group}", instance: "i", timeoutMs: 8000'
            fields += (
                f"{name}: fetchConsumerRecords(input: {{{where}}}) {{ records {{ record {{ value {{ base64 }} }} }} }} "
            )
    body = json.dumps({"query": f"mutation {{ {fields} }}"}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def mutations(gateway: Gateway, topic: str, connect: Connect, accept: str = "application/json") -> None:
    """Mutations whose first fetch is small."""
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=SECONDS) as client:
        kind = {"content-type": "application/vnd.kafka.binary.v2+json"}
        sent = {"records": [{"value": "AAAA"}]}
        assert (await client.post(f"/topics/{topic}-small", json=sent, headers=kind)).status_code == 200
    fetched = {"small": f"{topic}-small", "large": topic}
    requests = [await _mutation(gateway, fetched, accept) for _ in range(CALLERS)]
    await asyncio.gather(*(read_slowly(gateway, connect, request) for request in requests))


async def streamed_mutations(gateway: Gateway, topic: str, connect: Connect) -> None:
    await mutations(gateway, topic, connect, "text/event-stream")


@pytest.mark.parametrize(
    "attack", [server_sent_events, websocket, completed_operations, grpc_consume, mutations, streamed_mutations]
)
async def test_callers_that_take_large_records_slowly(
    stack: BackgroundStack, gateway: Gateway, topic: TopicFactory, connect: Connect, attack: Attack
) -> None:
    name = await filled(stack, topic, bytes(RECORD))
    memory = PeakMemory(gateway)
    attacking = asyncio.create_task(attack(gateway, name, connect))
    try:
        await asyncio.sleep(5)
        async with asyncio.timeout(SECONDS):
            # Small responses need not wait.
            async with httpx.AsyncClient(base_url=gateway.rest, timeout=10) as client:
                assert (await client.get("/topics")).status_code == 200
            other = await connect(gateway)
            await other.send(events(name))
            assert (await other.head())[0] == 200
            await read_record(other)
    finally:
        attacking.cancel()
        await asyncio.gather(attacking, return_exceptions=True)
    assert memory.growth() < MOST_MEMORY


async def test_a_slow_client_is_cut_off_only_for_others(
    stack: BackgroundStack, gateway: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    name = await filled(stack, topic, bytes(RECORD))
    async with asyncio.timeout(SECONDS):
        slow = [await connect(gateway, 16_384) for _ in range(2)]
        for connection in slow:
            await connection.send(events(name))
            await connection.until(b"event: next")
            connection.stop_reading()
        # More than they would have if others waited.
        await asyncio.sleep(10)
        cut_off = gateway.child.log.read_text().count("was cut off")
        third = await connect(gateway)
        await third.send(events(name))
        await read_record(third)
        assert gateway.child.log.read_text().count("was cut off") == cut_off + 1
        slow[0].read_on()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await slow[0].exactly(RECORD)
        slow[1].read_on()
        await slow[1].exactly(RECORD)


async def test_grpc_calls_end_while_others_wait(stack: BackgroundStack, gateway: Gateway, topic: TopicFactory) -> None:
    name = await filled(stack, topic, bytes(RECORD))
    calls = [asyncio.create_task(_consume(gateway, name)) for _ in range(3)]
    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def _read_all(gateway: Gateway, topic: str, count: int) -> list[record_pb2.Record]:
    """Read all records; continue after the last one if the call is cut off."""
    found: list[record_pb2.Record] = []
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    while len(found) < count:
        with suppress(grpc.aio.AioRpcError):
            async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
                stub: record_pb2_grpc.RecordServiceAsyncStub = record_pb2_grpc.RecordServiceStub(channel)
                request = record_pb2.ConsumeRequest(topic_name=topic, offset=len(found), max_bytes=2 * RECORD)
                async for frame_ in stub.Consume(request):
                    found += frame_.records
    return found


async def test_nothing_is_lost_or_repeated_while_records_wait(
    stack: BackgroundStack, gateway: Gateway, topic: TopicFactory
) -> None:
    values = [bytes([number]) * (RECORD if number % 3 == 1 else 1000) for number in range(10)]
    name = await filled(stack, topic, *values)
    async with asyncio.timeout(SECONDS):
        for found in await asyncio.gather(*(_read_all(gateway, name, len(values)) for _ in range(5))):
            assert [record.offset for record in found] == list(range(len(values)))
            assert [(record.value[0], len(record.value)) for record in found] == [(v[0], len(v)) for v in values]


async def test_one_mutation_with_several_large_fetches(
    stack: BackgroundStack, gateway: Gateway, topic: TopicFactory
) -> None:
    """The second one does not wait for the memory of the first, which only their response gives back."""
    name = await filled(stack, topic, bytes(12 * MEBIBYTE))
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=gateway.rest, timeout=SECONDS) as client:
        paths = [await _instance(client, name) for _ in range(2)]
        fields = " ".join(
            f'i{number}: fetchConsumerRecords(input: {{group: "{path.split("/")[2]}", instance: "i", '
            "timeoutMs: 5000}) { records { record { offset } } }"
            for number, path in enumerate(paths)
        )
        answer = (await client.post("/graphql", json={"query": f"mutation {{ {fields} }}"})).json()
        assert "errors" not in answer, answer["errors"]
        assert [len(answer["data"][f"i{number}"]["records"]) for number in range(2)] == [1, 1]
        for path in paths:
            assert (await client.delete(path)).status_code == 204


async def _instance(client: httpx.AsyncClient, topic: str) -> str:
    """A consumer instance with the record in its next fetch."""
    group = f"g-{uuid4().hex[:12]}"
    kind = {"content-type": "application/vnd.kafka.v2+json"}
    settings = {"name": "i", "format": "binary", "auto.offset.reset": "earliest", "auto.commit.enable": "false"}
    assert (await client.post(f"/consumers/{group}", json=settings, headers=kind)).status_code == 200
    path = f"/consumers/{group}/instances/i"
    partitions = {"partitions": [{"topic": topic, "partition": 0}]}
    assert (await client.post(f"{path}/assignments", json=partitions, headers=kind)).status_code == 204
    assert (await client.post(f"{path}/positions/beginning", json=partitions, headers=kind)).status_code == 204
    return path


async def test_fetches_that_are_not_taken(
    stack: BackgroundStack, gateway: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    name = await filled(stack, topic, bytes(RECORD))
    accept = "application/vnd.kafka.binary.v2+json"
    async with (
        asyncio.timeout(SECONDS),
        httpx.AsyncClient(base_url=gateway.rest, timeout=SECONDS) as client,
    ):
        paths = [await _instance(client, name) for _ in range(3)]
        for path in paths[:2]:
            connection = await connect(gateway, 16_384)
            await connection.send(
                f"GET {path}/records?timeout=10000 HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n".encode()
            )
            assert (await connection.head())[0] == 200
            connection.stop_reading()
        answer = await client.get(f"{paths[2]}/records", params={"timeout": 10_000}, headers={"accept": accept})
        assert [record["offset"] for record in answer.json()] == [0]
        # The first one was cut off for this: its record was not taken, and is returned again.
        answer = await client.get(f"{paths[0]}/records", params={"timeout": 10_000}, headers={"accept": accept})
        assert [record["offset"] for record in answer.json()] == [0]
        for path in paths:
            assert (await client.delete(path)).status_code == 204
