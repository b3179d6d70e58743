"""Requests that wait for Kafka, or for their caller, do not keep other callers from the memory budget."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from conftest import GatewayFactory
from http2_connection import Http2Connection, message
from kafka_facade.rpc.gen.v1 import record_pb2
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]

# The smallest budget with room for one of the requests.
BUDGET = {"memory.requests.max.bytes": str(16 * 1024 * 1024)}
V2 = {"content-type": "application/vnd.kafka.json.v2+json"}
RECORDS = [{"value": "x" * 90}] * 6000
SLOW = 6
# More than may count apart from the budget.
MANY = 20
# Others wait for a second, or two, and not for 30.
SECONDS = 15
SOON = 5


@pytest.fixture
async def slow() -> AsyncIterator[Callable[[Awaitable[object]], None]]:
    """Run something beside the test, until its end."""
    tasks: list[asyncio.Future[object]] = []
    yield lambda work: tasks.append(asyncio.ensure_future(work))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _others_are_served(gateway: Gateway, topic: str, seconds: float = SECONDS) -> None:
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=60) as other:
        body = {"records": [{"value": "x" * 100_000}]}
        answer = await other.post(f"{gateway.rest}/topics/{topic}", headers=V2, content=json.dumps(body))
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < seconds


async def _topic(stack: BackgroundStack, leader: int) -> str:
    """A topic with one partition, of which this broker has the only replica."""
    name = f"slow-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    await asyncio.wrap_future(admin.create_topics([NewTopic(name, 1, replica_assignment=[[leader]])])[name])
    return name


async def test_producers_to_a_broker_that_hangs(
    gateway_factory: GatewayFactory,
    three_brokers: BackgroundStack,
    slow: Callable[[Awaitable[object]], None],
) -> None:
    stuck, healthy = await _topic(three_brokers, 3), await _topic(three_brokers, 1)
    gateway = await gateway_factory(BUDGET, on=three_brokers)
    for topic in (stuck, healthy):
        await _others_are_served(gateway, topic)
    async with httpx.AsyncClient(timeout=120) as client:
        await three_brokers.pause_broker(2)
        body = json.dumps({"records": RECORDS})
        for _ in range(SLOW):
            slow(client.post(f"{gateway.rest}/topics/{stuck}", headers=V2, content=body))
        await asyncio.sleep(1)
        await _others_are_served(gateway, healthy)


async def test_small_requests_beside_many_large_ones_to_a_broker_that_hangs(
    gateway_factory: GatewayFactory,
    three_brokers: BackgroundStack,
    slow: Callable[[Awaitable[object]], None],
) -> None:
    stuck, healthy = await _topic(three_brokers, 3), await _topic(three_brokers, 1)
    gateway = await gateway_factory(BUDGET, on=three_brokers)
    for topic in (stuck, healthy):
        await _others_are_served(gateway, topic)
    async with httpx.AsyncClient(timeout=120) as client:
        await three_brokers.pause_broker(2)
        body = json.dumps({"records": RECORDS})
        for _ in range(MANY):
            slow(client.post(f"{gateway.rest}/topics/{stuck}", headers=V2, content=body))
        for _ in range(8):
            await asyncio.sleep(1)
            await _others_are_served(gateway, healthy, SOON)


async def test_large_requests_beside_many_to_a_broker_that_hangs(
    gateway_factory: GatewayFactory,
    three_brokers: BackgroundStack,
    slow: Callable[[Awaitable[object]], None],
) -> None:
    stuck, healthy = await _topic(three_brokers, 3), await _topic(three_brokers, 1)
    gateway = await gateway_factory(BUDGET, on=three_brokers)
    for topic in (stuck, healthy):
        await _others_are_served(gateway, topic)
    body = json.dumps({"records": RECORDS})
    async with httpx.AsyncClient(timeout=120) as client:
        await three_brokers.pause_broker(2)
        answers: list[httpx.Response] = []

        async def produce() -> None:
            answers.append(await client.post(f"{gateway.rest}/topics/{stuck}", headers=V2, content=body))

        for _ in range(MANY):
            slow(produce())
        await asyncio.sleep(2)
        began = time.monotonic()
        async with httpx.AsyncClient(timeout=60) as other:
            assert (await other.post(f"{gateway.rest}/topics/{healthy}", headers=V2, content=body)).status_code == 200
        assert time.monotonic() - began < SECONDS
        # Those that do not fit are told to come back.
        assert {answer.status_code for answer in answers} == {503}


async def test_callers_of_fetches_that_wait(
    gateway_factory: GatewayFactory, topic: TopicFactory, slow: Callable[[Awaitable[object]], None]
) -> None:
    """A fetch waits for as long as its consumer instance is told to."""
    gateway = await gateway_factory(BUDGET)
    name, group = await topic(), f"g-{uuid.uuid4().hex[:12]}"
    document = f"""mutation($x: ProduceRecordsInput!) {{
        fetchConsumerRecords(input: {{group: "{group}", instance: "i"}}) {{ records {{ record {{ offset }} }} }}
        produceRecords(input: $x) {{ results {{ report {{ offset }} }} }}
    }}"""

    async def fetch(http: httpx.AsyncClient, records: int) -> httpx.Response:
        produced = [{"value": {"format": "STRING", "data": "x" * 1000}}] * records
        variables = {"x": {"topicName": name, "records": produced}}
        return await http.post(gateway.graphql, json={"query": document, "variables": variables})

    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=100)) as http:

        async def mutate(mutation: str) -> None:
            answer = (await http.post(gateway.graphql, json={"query": f"mutation {{ {mutation} }}"})).json()
            assert "errors" not in answer, answer

        instance = f'group: "{group}", instance: "i"'
        settings = "fetchMinBytes: 1000000, requestTimeoutMs: 3600000"
        await mutate(
            f'createConsumer(input: {{group: "{group}", name: "i", {settings}}}) {{ consumer {{ instanceId }} }}'
        )
        await mutate(f'subscribeConsumer(input: {{{instance}, topics: ["{name}"]}}) {{ consumer {{ instanceId }} }}')
        large = (await fetch(http, 1100)).json()
        assert large["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"
        for _ in range(60):
            slow(fetch(http, 150))
        await asyncio.sleep(2)
        await _others_are_served(gateway, await topic())


async def test_callers_of_streams_that_read_no_answers(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    """The second message of each waits until the first one is answered."""
    gateway = await gateway_factory(BUDGET | {"streaming.max.in.flight.bytes": "65536"})
    name = await topic()
    setup = record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=name))
    records = [record_pb2.RecordToProduce(value=record_pb2.RecordData(binary=b"x"))] * 9_000
    frame = record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=records))
    frames = b"".join(
        message(len(data), data) for data in (setup.SerializeToString(), *[frame.SerializeToString()] * 5)
    )
    async with AsyncExitStack() as stack:
        for _ in range(SLOW):
            connection = await stack.enter_async_context(Http2Connection(gateway.grpc, reads=False))
            stream = connection.call("/kafka_facade.v1.RecordService/ProduceStream")
            await connection.send(stream, frames)
        await asyncio.sleep(2)
        await _others_are_served(gateway, name)
