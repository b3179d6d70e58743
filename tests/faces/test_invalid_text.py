"""Records whose header names are not valid UTF-8 are delivered on every face."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import grpc
import httpx
from google.protobuf.empty_pb2 import Empty
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from conftest import GatewayFactory, TopicFactory
from faces.clients import FaceClient
from faces.grpc_client import GrpcClient
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2, consumer_instance_pb2_grpc, record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from raw_records import produce_with_headers

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
    gateway_factory: GatewayFactory, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    await produce_with_headers(stack.bootstrap_servers, name, [[(b"a\xff", b"v"), (b"b", b"w")]] * COUNT)
    # One that starts when the records are there.
    gateway = await gateway_factory()
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
    await _fetch(gateway, name)


async def _fetch(gateway: Gateway, topic: str) -> None:
    """Fetch the records by a consumer instance on gRPC, and the first ones again on GraphQL."""
    group = f"group-{uuid.uuid4().hex}"
    client = GrpcClient(gateway.grpc)
    await client.create_consumer(group, "c", format="BINARY", auto_offset_reset="earliest")
    await client.assign(group, "c", [(topic, 0)])
    async with grpc.aio.insecure_channel(gateway.grpc) as channel, asyncio.timeout(30):
        stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
        request = consumer_instance_pb2.FetchRecordsRequest(consumer_group_id=group, instance_id="c", timeout_ms=1000)
        headers: list[tuple[str, bytes]] = []
        while len(headers) < 2 * COUNT:
            records = (await stub.FetchRecords(request)).records
            headers += [(header.name, header.value) for record in records for header in record.headers]
    assert headers == [("a\ufffd", b"v"), ("b", b"w")] * COUNT
    await client.seek(group, "c", [(topic, 0, 0)])
    mutation = """mutation ($group: String!) { fetchConsumerRecords(input: {group: $group, instance: "c"}) {
      records { record { headers { name } } } } }"""
    body = {"query": mutation, "variables": {"group": group}}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as http:
        answer = (await http.post("/graphql", json=body)).json()
    found = [record["record"]["headers"] for record in answer["data"]["fetchConsumerRecords"]["records"]]
    assert found
    assert all(headers == [{"name": "a\ufffd"}, {"name": "b"}] for headers in found)
    await client.close()
