"""Many expensive queries at the same time do not block the event loop."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from websockets.asyncio.client import connect

from faces.conftest import MOST_BUSY, Watched

pytestmark = pytest.mark.xdist_group("event_loop")

TopicFactory = Callable[..., Awaitable[str]]

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
    async with connect(url, subprotocols=["graphql-transport-ws"], max_size=None) as websocket:  # type: ignore[list-item]
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


async def test_over_http(watched: Watched, topic: TopicFactory) -> None:
    document = await _document(watched, topic)
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=QUERIES)) as client:

        async def run() -> None:
            posts = (client.post(watched.gateway.graphql, json={"query": document}) for _ in range(QUERIES))
            for answer in await asyncio.gather(*posts):
                assert "errors" not in answer.json()

        assert await watched.quietest(run) < MOST_BUSY
