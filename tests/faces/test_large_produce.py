"""Reading large requests to produce does not block the event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from conftest import Connect
from faces.conftest import MOST_BUSY, Watched

pytestmark = pytest.mark.xdist_group("event_loop")

TopicFactory = Callable[..., Awaitable[str]]

BINARY = "application/vnd.kafka.binary.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
# Processor time (s) of the loop: copying 45 MB takes longer.
MOST_BUSY_LARGE = 0.03


async def _post(client: httpx.AsyncClient, path: str, body: bytes, media_type: str) -> None:
    # Kafka's own limit rejects the records.
    response = await client.post(path, content=body, headers={"content-type": media_type})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("media_type", [BINARY, JSON])
async def test_one_large_v2_record(watched: Watched, topic: TopicFactory, media_type: str) -> None:
    path = f"/topics/{await topic()}"
    body = json.dumps({"records": [{"value": "A" * 20_000_000}]}).encode()
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60) as client:

        async def run() -> None:
            await _post(client, path, body, media_type)

        assert await watched.quietest(run) < MOST_BUSY


LARGE_BODIES = {
    "one JSON record": (JSON, 1, 45_000_000),
    "one binary record": (BINARY, 1, 45_000_000),
    "large records": (JSON, 45, 1_000_000),
    "many records": (JSON, 80_000, 500),
}


@pytest.mark.parametrize("name", LARGE_BODIES)
async def test_a_v2_body_of_45_mb(watched: Watched, topic: TopicFactory, name: str) -> None:
    media_type, count, size = LARGE_BODIES[name]
    path = f"/topics/{await topic()}"
    body = json.dumps({"records": [{"value": "A" * size}] * count}).encode()
    async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=60) as client:

        async def run() -> None:
            await _post(client, path, body, media_type)

        most = MOST_BUSY if name == "many records" else MOST_BUSY_LARGE
        assert await watched.quietest(run, enough=most) < most


async def test_many_large_v3_requests(watched: Watched, connect: Connect, topic: TopicFactory) -> None:
    async with httpx.AsyncClient(base_url=watched.gateway.rest) as client:
        cluster = (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]
    body = b'{"value":{"type":"JSON","data":[' + b"[]," * 700_000 + b"1]}}"
    head = f"POST /v3/clusters/{cluster}/topics/{await topic()}/records HTTP/1.1\r\nhost: h\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"

    async def send() -> None:
        connection = await connect(watched.gateway)
        await connection.send(head.encode() + body)
        assert (await connection.head())[0] == 200

    async def run() -> None:
        await asyncio.gather(*(send() for _ in range(200)))

    assert await watched.quietest(run) < MOST_BUSY
