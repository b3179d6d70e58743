"""Calls that last keep neither what they do not need nor memory that others wait for."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket

from conftest import GatewayFactory
from http_connection import Connection
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.gateway import Gateway
from peak_memory import MEBIBYTE, PeakMemory

TopicFactory = Callable[..., Awaitable[str]]
Connect = Callable[..., Awaitable[Connection]]

pytestmark = pytest.mark.xdist_group("lasting_calls")

# With 20,000 arrays a message takes about 15 MiB once it is decoded.
JUNK = ["\N{SNOWMAN}" + "x" * 3_000_000, *([[]] * 20_000)]
CALLS = 15
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
