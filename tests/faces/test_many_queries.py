"""Many expensive queries at the same time do not block the event loop."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from confluent_kafka import Producer
from websockets.asyncio.client import connect as connect_websocket

from faces.conftest import MOST_BUSY, Watched
from http_connection import Connection
from kafka_facade_devstack.background import BackgroundStack
from peak_memory import MEBIBYTE, PeakMemory

pytestmark = pytest.mark.xdist_group("event_loop")

TopicFactory = Callable[..., Awaitable[str]]
Connect = Callable[..., Awaitable[Connection]]

QUERIES, ALIASES, PARTITIONS = 30, 12, 60
SELECTED = "partitions { partitionId topic { topicName } replicas { brokerId isLeader } offsets { latestOffset } }"


async def _document(watched: Watched, topic: TopicFactory) -> str:
    name = await topic(partitions=PARTITIONS)
    aliases = (f'a{number}: topic(topicName: "{name}") {{ {SELECTED} }}' for number in range(ALIASES))
    document = f"{{ clusters {{ {' '.join(aliases)} }} }}"
    async with httpx.AsyncClient(timeout=60) as client, asyncio.timeout(60):
        # A moment after it was created the broker leads all partitions.
        while "errors" in (await client.post(watched.gateway.graphql, json={"query": document})).json():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return document


async def test_over_one_websocket(watched: Watched, topic: TopicFactory) -> None:
    document = await _document(watched, topic)
    url = watched.gateway.graphql.replace("http", "ws", 1)
    async with connect_websocket(url, subprotocols=["graphql-transport-ws"], max_size=None) as websocket:  # type: ignore[list-item]
        await websocket.send('{"type":"connection_init"}')
        await websocket.recv()

        async def run() -> None:
            for number in range(QUERIES):
                message = {"id": str(number), "type": "subscribe", "payload": {"query": document}}
                await websocket.send(json.dumps(message))
            ended = 0
            async with asyncio.timeout(120):
                while ended < QUERIES:
                    message = json.loads(await websocket.recv())
                    assert "errors" not in (message.get("payload") or {}), message
                    ended += message["type"] == "complete"

        assert await watched.quietest(run) < MOST_BUSY


async def test_many_over_several_websockets_leave_room_for_others(watched: Watched, topic: TopicFactory) -> None:
    document = await _document(watched, topic)
    url = watched.gateway.graphql.replace("http", "ws", 1)
    memory = PeakMemory(watched.gateway)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            websocket = await stack.enter_async_context(
                connect_websocket(url, subprotocols=["graphql-transport-ws"], max_size=None)  # type: ignore[list-item]
            )
            await websocket.send('{"type":"connection_init"}')
            await websocket.recv()
            for number in range(100):
                message = {"id": str(number), "type": "subscribe", "payload": {"query": document}}
                await websocket.send(json.dumps(message))
        async with httpx.AsyncClient(timeout=20) as client:
            for _ in range(3):
                answer = (await client.post(watched.gateway.graphql, json={"query": document})).json()
                assert "errors" not in answer
    # All at once would take a gigabyte.
    assert memory.growth() < 300 * MEBIBYTE


async def test_over_http(watched: Watched, topic: TopicFactory) -> None:
    document = await _document(watched, topic)
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=QUERIES)) as client:

        async def run() -> None:
            posts = (client.post(watched.gateway.graphql, json={"query": document}) for _ in range(QUERIES))
            for answer in await asyncio.gather(*posts):
                assert "errors" not in answer.json()

        assert await watched.quietest(run) < MOST_BUSY


async def test_unread_subscriptions_do_not_delay_queries(
    watched: Watched, stack: BackgroundStack, topic: TopicFactory, connect: Connect
) -> None:
    document = await _document(watched, topic)
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for _ in range(5000):
        producer.produce(name, b"x" * 1000)
    assert await asyncio.to_thread(producer.flush, 30) == 0
    subscription = (
        f'subscription {{ records(topicName: "{name}", from: EARLIEST) {{ offset value {{ text base64 }} }} }}'
    )
    body = json.dumps({"query": subscription})
    head = "POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
    for _ in range(5):
        connection = await connect(watched.gateway, receive_buffer=4096)
        connection.stop_reading()
        await connection.send(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    await asyncio.sleep(2)
    async with httpx.AsyncClient(timeout=20) as client:
        answer = (await client.post(watched.gateway.graphql, json={"query": document})).json()
    assert "errors" not in answer
