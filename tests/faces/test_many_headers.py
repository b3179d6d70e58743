"""Records with about as many headers as Kafka clients can read do not block the event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import grpc
import httpx
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty

from faces.conftest import Watched
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack

pytestmark = pytest.mark.xdist_group("event_loop")

TopicFactory = Callable[..., Awaitable[str]]

HEADERS, RECORDS = 99_000, 3
# Processor time (s) of the loop: the Kafka client takes up to 10 ms for the headers of one record.
MOST_BUSY = 0.035


@pytest.fixture
async def filled(stack: BackgroundStack, topic: TopicFactory) -> str:
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for _ in range(RECORDS):
        producer.produce(name, b"value", headers=[("a", b"b")] * HEADERS)
    assert await asyncio.to_thread(producer.flush, 60) == 0
    return name


async def _consume_by_grpc(watched: Watched, topic: str) -> int:
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as channel:
        request = record_pb2.ConsumeRequest(topic_name=topic, earliest=Empty(), max_bytes=50_000_000)
        call = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=60)
        return sum([len(record.headers) async for frame in call for record in frame.records])


async def _consume_by_graphql(watched: Watched, topic: str) -> int:
    query = f'subscription {{ records(topicName: "{topic}", from: EARLIEST, follow: false) {{ headers {{ name }} }} }}'
    async with httpx.AsyncClient(timeout=60, headers={"accept": "text/event-stream"}) as client:
        answer = await client.post(watched.gateway.graphql, json={"query": query})
        return answer.text.count('"name"')


CONSUME = {"grpc": _consume_by_grpc, "graphql": _consume_by_graphql}


@pytest.mark.parametrize("face", CONSUME)
async def test_they_are_consumed(watched: Watched, filled: str, face: str) -> None:
    found: list[int] = []

    async def run() -> None:
        found.append(await CONSUME[face](watched, filled))

    busy = await watched.quietest(run, enough=MOST_BUSY)
    # GraphQL may reject so many.
    assert face == "graphql" or set(found) == {HEADERS * RECORDS}
    assert busy < MOST_BUSY


async def test_they_are_consumed_by_an_instance(watched: Watched, filled: str) -> None:
    media_type = {"content-type": "application/vnd.kafka.v2+json"}
    accept = {"accept": "application/vnd.kafka.binary.v2+json"}
    groups: list[str] = []
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60, headers=media_type) as client:

        async def run() -> None:
            groups.append(f"{filled}-{len(groups)}")
            settings = {"format": "binary", "auto.offset.reset": "earliest"}
            instance = (await client.post(f"/consumers/{groups[-1]}", json=settings)).json()["base_uri"]
            await client.post(f"{instance}/subscription", json={"topics": [filled]})
            read = 0
            async with asyncio.timeout(60):
                while read < RECORDS:
                    read += len((await client.get(f"{instance}/records", headers=accept)).json())
            await client.delete(instance)

        assert await watched.quietest(run, enough=MOST_BUSY) < MOST_BUSY


async def test_they_are_produced(watched: Watched, topic: TopicFactory) -> None:
    name = await topic()
    headers = [{"name": "a", "value": "Yg=="}] * HEADERS
    document = json.dumps({"value": {"type": "STRING", "data": "x"}, "headers": headers}).encode()
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60) as client:
        cluster = (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]
        path = f"/v3/clusters/{cluster}/topics/{name}/records"

        async def run() -> None:
            answer = await client.post(path, content=document, headers={"content-type": "application/json"})
            assert answer.json()["error_code"] == 200

        assert await watched.quietest(run, enough=MOST_BUSY) < MOST_BUSY
