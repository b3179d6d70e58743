"""Calls that last keep neither what they do not need nor memory that others wait for."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import httpx
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket

from conftest import GatewayFactory
from faces.conftest import Watched
from http2_connection import Http2Connection, message
from http_connection import Connection
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from peak_memory import MEBIBYTE, PeakMemory

TopicFactory = Callable[..., Awaitable[str]]
Connect = Callable[..., Awaitable[Connection]]

pytestmark = pytest.mark.xdist_group("lasting_calls")

# With 20,000 arrays a message takes about 15 MiB once it is decoded.
JUNK = ["\N{SNOWMAN}" + "x" * 3_000_000, *([[]] * 20_000)]
CALLS = 15
# Too large for Kafka, which is answered as well.
LARGE = "x" * 20_000_000
IDLE = 20
# What freed memory of this size leaves in the process; a stream that keeps its record takes 40 MB at least.
FRAGMENTS = 400 * MEBIBYTE
V2 = {"content-type": "application/vnd.kafka.json.v2+json"}


async def _resident(gateway: Gateway) -> int:
    """The peak memory once the gateway has had time to free it."""
    await asyncio.sleep(1)
    return PeakMemory(gateway).now()


async def _open(gateway: Gateway, payload: object = None) -> ClientConnection:
    url = gateway.graphql.replace("http", "ws", 1)
    websocket = await connect_websocket(url, subprotocols=["graphql-transport-ws"], max_size=None)  # type: ignore[list-item]
    await websocket.send(json.dumps({"type": "connection_init", "payload": payload or {}}, ensure_ascii=False))
    await websocket.recv()
    return websocket


async def test_websockets_keep_neither_payloads_nor_undeclared_variables(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    gateway = await gateway_factory()
    query = f'subscription {{ records(topicName: "{await topic()}") {{ offset }} }}'
    before = await _resident(gateway)
    async with AsyncExitStack() as stack:
        for _ in range(CALLS):
            websocket = await _open(gateway, {"junk": JUNK})
            stack.push_async_callback(websocket.close)
        for number in range(CALLS):
            payload = {"query": query, "variables": {"junk": JUNK}}
            message = {"id": str(number), "type": "subscribe", "payload": payload}
            await websocket.send(json.dumps(message, ensure_ascii=False))
        await websocket.send('{"type":"ping"}')
        assert json.loads(await websocket.recv())["type"] == "pong"
        assert await _resident(gateway) - before < 150 * MEBIBYTE


async def test_event_streams_keep_no_bodies(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect
) -> None:
    gateway = await gateway_factory()
    query = f'subscription {{ records(topicName: "{await topic()}") {{ offset }} }}'
    body = json.dumps({"query": query, "variables": {"a": JUNK}, "extensions": {"b": JUNK[1:]}}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    before = await _resident(gateway)
    for _ in range(CALLS):
        connection = await connect(gateway)
        await connection.send(head.encode() + body)
        assert (await connection.head())[0] == 200
    assert await _resident(gateway) - before < 120 * MEBIBYTE


async def test_a_subscription_with_large_variables_is_rejected(gateway: Gateway) -> None:
    websocket = await _open(gateway)
    query = "subscription($name: String!) { records(topicName: $name) { offset } }"
    payload = {"query": query, "variables": {"name": "x" * 300_000}}
    await websocket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    answer = json.loads(await websocket.recv())
    assert answer["type"] == "error"
    assert answer["payload"][0]["message"] == "The variables of a subscription have too much data."
    await websocket.close()


async def test_others_do_not_wait_for_calls_that_last(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect
) -> None:
    gateway = await gateway_factory({"memory.requests.max.bytes": str(MEBIBYTE)})
    name = await topic()
    request = record_pb2.ConsumeRequest(topic_name=name, follow=True).SerializeToString()
    # A field that the message does not have.
    request += b"\xfa\x3e" + b"\x80\x80\x20" + bytes(512 * 1024)
    body = json.dumps({"records": [{"value": "x" * 100}] * 2000}).encode()
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.grpc))
        consuming: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(
            "/kafka_facade.v1.RecordService/Consume"
        )
        call = consuming(request, timeout=60)
        await asyncio.sleep(1)
        assert await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(
            record_pb2.ProduceRecordsRequest(topic_name=name, records=[record_pb2.RecordToProduce()]), timeout=10
        )
        await call.read()
        # Queries with large responses that are not read.
        websocket = await _open(gateway)
        stack.push_async_callback(websocket.close)
        websocket.transport.pause_reading()
        introspection = "{ __schema { types { name description fields { name description type { name } } } } }"
        costly = "{ clusters { topics(first: 1000) { nodes { topicName } } } }"
        for number in range(90):
            query = introspection if number < 45 else costly
            message = {"id": str(number), "type": "subscribe", "payload": {"query": query}}
            await websocket.send(json.dumps(message))
        await asyncio.sleep(2)
        async with httpx.AsyncClient(base_url=gateway.rest, headers=V2, timeout=10) as client:
            for _ in range(3):
                answer = await client.post(f"/topics/{name}", content=body)
                assert answer.status_code == 200, answer.text
            answer = await client.post("/graphql", json={"query": costly}, headers={"content-type": "application/json"})
            assert "errors" not in answer.json()
        call.cancel()


async def _idle_record_stream(gateway: Gateway, topic: str, connect: Connect) -> None:
    """A v3 produce stream whose only record has been answered."""
    record = json.dumps({"value": {"type": "STRING", "data": LARGE}}).encode()
    connection = await connect(gateway)
    head = (
        f"POST /v3/clusters/any/topics/{topic}/records HTTP/1.1\r\nhost: gateway\r\n"
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    await connection.send(head.encode() + b"%x\r\n%b\r\n" % (len(record), record))
    assert (await connection.head())[0] == 200
    await connection.until(b'"error_code":413')


async def test_idle_produce_streams_of_rest_keep_no_records(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect
) -> None:
    gateway, name = await gateway_factory(), await topic()
    before = await _resident(gateway)
    for _ in range(CALLS):
        await _idle_record_stream(gateway, name, connect)
    assert await _resident(gateway) - before < FRAGMENTS


async def test_idle_produce_streams_of_grpc_keep_no_records(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    gateway = await gateway_factory()
    setup = record_pb2.ProduceStreamSetup(topic_name=await topic())
    value = record_pb2.RecordData(binary=LARGE.encode())
    records = record_pb2.ProduceStreamRecords(records=[record_pb2.RecordToProduce(value=value)])
    before = await _resident(gateway)
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
        calls = []
        for _ in range(CALLS):
            call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream()
            # The setup may have fields that the message does not have.
            large = setup.SerializeToString() + b"\xfa\x3e" + b"\x80\x80\x80\x08" + bytes(2**24)
            await call.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup.FromString(large)))
            await call.write(record_pb2.ProduceStreamRequest(records=records))
            answer: Any = await call.read()
            assert answer.results[0].HasField("error")
            calls.append(call)
        assert await _resident(gateway) - before < FRAGMENTS
        for call in calls:
            call.cancel()


@pytest.mark.parametrize("field", ["topic_name", "cluster_id"])
async def test_produce_streams_keep_no_long_names(gateway: Gateway, field: str) -> None:
    setup = record_pb2.ProduceStreamSetup(topic_name="t")
    setattr(setup, field, "x" * 250)
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream()
        await call.write(record_pb2.ProduceStreamRequest(setup=setup))
        assert await asyncio.wait_for(call.code(), 10) is grpc.StatusCode.INVALID_ARGUMENT
        assert await call.details() == f"{field} is longer than 249 characters."


async def _vanish(gateway: Gateway, topic: str) -> None:
    """Produce streams whose answers are not read, until their caller vanishes."""
    setup = record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=topic))
    records = [record_pb2.RecordToProduce(value=record_pb2.RecordData(binary=b"x"))] * 6000
    frame = record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=records))
    data = b"".join(message(part.ByteSize(), part.SerializeToString()) for part in (setup, frame, frame, frame))
    async with Http2Connection(gateway.grpc, reads=False) as connection:
        streams = [connection.call("/kafka_facade.v1.RecordService/ProduceStream") for _ in range(10)]
        sending = [asyncio.create_task(connection.send(stream, data)) for stream in streams]
        await asyncio.sleep(1.5)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


async def test_produce_streams_whose_caller_vanishes_leave_no_cycles(watched: Watched, topic: TopicFactory) -> None:
    name = await topic()
    await watched.report()
    await asyncio.gather(*(_vanish(watched.gateway, name) for _ in range(3)))
    await asyncio.sleep(1)
    # It was 45 objects for each, with all records. gRPC itself leaves up to six.
    assert (await watched.report())["collected"] < 500


@pytest.fixture
async def large_record(stack: BackgroundStack, topic: TopicFactory) -> str:
    """A topic with one record of 20 MB."""
    name = await topic(config={"max.message.bytes": "30000000"})
    settings = {"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": 30_000_000}
    producer = Producer(settings | {"compression.type": "zstd"})
    producer.produce(name, LARGE)
    assert await asyncio.to_thread(producer.flush, 60) == 0
    return name


@pytest.mark.parametrize("format", [record_pb2.FORMAT_UNSPECIFIED, record_pb2.FORMAT_STRING])
async def test_idle_consumers_keep_no_records(
    gateway_factory: GatewayFactory, large_record: str, format: record_pb2.Format.ValueType
) -> None:
    gateway = await gateway_factory()
    request = record_pb2.ConsumeRequest(
        topic_name=large_record, earliest=Empty(), follow=True, max_bytes=100_000_000, value_format=format
    )
    before = await _resident(gateway)
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
        calls = [record_pb2_grpc.RecordServiceStub(channel).Consume(request) for _ in range(IDLE)]
        for call in calls:
            assert await call.read() is not grpc.aio.EOF
        # The gateway polls on.
        await asyncio.sleep(2)
        assert await _resident(gateway) - before < FRAGMENTS
        for call in calls:
            call.cancel()


SUBSCRIPTION = "subscription ($topic: String!) { records(topicName: $topic, from: EARLIEST) { value { text } } }"


async def test_idle_websockets_keep_no_events(gateway_factory: GatewayFactory, large_record: str) -> None:
    gateway = await gateway_factory()
    payload = {"query": SUBSCRIPTION, "variables": {"topic": large_record}}
    before = await _resident(gateway)
    async with AsyncExitStack() as stack:
        for _ in range(IDLE):
            websocket = await _open(gateway)
            stack.push_async_callback(websocket.close)
            await websocket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            assert LARGE in str(await websocket.recv())
        await asyncio.sleep(2)
        assert await _resident(gateway) - before < FRAGMENTS


async def test_idle_event_streams_keep_no_events(
    gateway_factory: GatewayFactory, large_record: str, connect: Connect
) -> None:
    gateway = await gateway_factory()
    body = json.dumps({"query": SUBSCRIPTION, "variables": {"topic": large_record}}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    before = await _resident(gateway)
    for _ in range(IDLE):
        connection = await connect(gateway)
        await connection.send(head.encode() + body)
        # In chunks, of which the last one ends the event.
        await connection.exactly(len(LARGE))
        await connection.until(b"\r\n\n\n\r\n")
    await asyncio.sleep(2)
    assert await _resident(gateway) - before < FRAGMENTS
