"""Records whose header names are not valid UTF-8 are delivered on every face."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
from google.protobuf.empty_pb2 import Empty
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from faces.clients import FaceClient
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from raw_records import produce_with_headers

TopicFactory = Callable[..., Awaitable[str]]
COUNT = 100


async def _instance(face: FaceClient, topic: str) -> str:
    group = f"group-{uuid.uuid4().hex}"
    await face.create_consumer(group, "c", format="BINARY", auto_offset_reset="earliest")
    await face.subscribe(group, "c", [topic])
    return group


async def test_consumer_instances_read_past_them(
    face: FaceClient, cluster: str, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    await produce_with_headers(stack.bootstrap_servers, name, [[(b"\xff\xfe", b"v")]] * COUNT)
    group = await _instance(face, name)
    found: list[Any] = []
    async with asyncio.timeout(30):
        while len(found) < COUNT:
            found += await face.fetch(group, "c", "BINARY", 1000)
    assert [value for _, _, value in found] == [f"value-{n}".encode() for n in range(COUNT)]
    await face.delete_consumer(group, "c")
    assert await face.clusters() == [cluster]


async def test_names_are_decoded_with_replacement(
    gateway: Gateway, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    await produce_with_headers(stack.bootstrap_servers, name, [[(b"a\xff", b"v"), (b"b", b"w")]] * COUNT)
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        request = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty())
        consume = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=30)
        records = [record async for answer in consume for record in answer.records]
    assert len(records) == COUNT
    assert {(h.name, h.value) for record in records for h in record.headers} == {("a\ufffd", b"v"), ("b", b"w")}
    events = """subscription ($topic: String!) {
      records(topicName: $topic, from: EARLIEST, follow: false) { headers { name } }
    }"""
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        body = {"query": events, "variables": {"topic": name}}
        answer = await client.post("/graphql", json=body, headers={"accept": "text/event-stream"})
    assert answer.text.count("a\ufffd") + answer.text.count("a\\ufffd") == COUNT
    names: list[str] = []
    url = gateway.graphql.replace("http", "ws")
    async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket, asyncio.timeout(30):
        await socket.send('{"type":"connection_init"}')
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": body}))
        while (message := json.loads(await socket.recv()))["type"] != "complete":
            if message["type"] == "next":
                names += [h["name"] for record in message["payload"]["data"]["records"] for h in record["headers"]]
    assert names == ["a\ufffd", "b"] * COUNT
