"""v2: operations that Kafka does not authorize fail at once, each time, and do not delay others."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import httpx
from confluent_kafka.admin import AclOperation, ResourceType

from conftest import TopicFactory
from denial import denied
from kafka_facade_devstack.background import BackgroundStack
from rest.v2_operations import V2, error, media_type


async def _post(client: httpx.AsyncClient, url: str, body: Any) -> httpx.Response:
    return await client.post(url, headers={"content-type": V2}, content=json.dumps(body))


async def _instance(client: httpx.AsyncClient, group: str) -> str:
    settings = {"name": "i", "format": "json", "auto.offset.reset": "earliest", "fetch.min.bytes": 0}
    uri: str = (await _post(client, f"/consumers/{group}", settings)).json()["base_uri"]
    return uri


async def test_each_read_of_an_unauthorized_topic_fails(
    client: httpx.AsyncClient, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    async with denied(stack, (ResourceType.TOPIC, name, AclOperation.READ)):
        for what, body in (
            ("subscription", {"topics": [name]}),
            ("assignments", {"partitions": [{"topic": name, "partition": 0}]}),
        ):
            uri = await _instance(client, f"g-{uuid.uuid4().hex}")
            await _post(client, f"{uri}/{what}", body)
            for _ in range(3):
                # The second one is [] after its timeout.
                response = await client.get(f"{uri}/records?timeout=3000", headers={"accept": media_type("json")})
                assert error(response) == (403, 40301), what
            started = time.monotonic()
            # Takes 5 s for the subscription; with api.request.timeout.ms=5000 it is 500, 50003.
            assert (await client.delete(uri)).status_code == 204
            assert time.monotonic() - started < 2


async def test_an_unauthorized_group(client: httpx.AsyncClient, stack: BackgroundStack, topic: TopicFactory) -> None:
    name, group = await topic(), f"g-{uuid.uuid4().hex}"
    uri = await _instance(client, group)
    client.timeout = 60
    async with denied(stack, (ResourceType.GROUP, group, AclOperation.READ)):
        started = time.monotonic()
        await _post(client, f"{uri}/subscription", {"topics": [name]})
        place = {"topic": name, "partition": 0}
        # 500, 50003 after 46 s, with any api.request.timeout.ms.
        assert error(await _post(client, f"{uri}/offsets", {"offsets": [{**place, "offset": 0}]})) == (403, 40301)
        content = json.dumps({"partitions": [place]})
        headers = {"content-type": V2}
        committed = await client.request("GET", f"{uri}/offsets", headers=headers, content=content)
        assert error(committed) == (403, 40301)
        # 500, 50003 after api.request.timeout.ms, and the subscription is still there.
        assert (await client.delete(f"{uri}/subscription")).status_code == 204
        assert (await client.delete(uri)).status_code == 204
        assert time.monotonic() - started < 10


async def test_a_group_that_is_authorized_again(
    client: httpx.AsyncClient, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name, group = await topic(), f"g-{uuid.uuid4().hex}"
    produced = {"records": [{"value": 1}]}
    headers = {"content-type": media_type("json")}
    assert (await client.post(f"/topics/{name}", headers=headers, json=produced)).status_code == 200
    uri = await _instance(client, group)
    read = f"{uri}/records?timeout=3000"
    async with denied(stack, (ResourceType.GROUP, group, AclOperation.READ)):
        await _post(client, f"{uri}/assignments", {"partitions": [{"topic": name, "partition": 0}]})
        for _ in range(3):
            assert error(await client.get(read, headers={"accept": media_type("json")})) == (403, 40301)
    # 403 for ever.
    found: list[Any] = []
    async with asyncio.timeout(30):
        while not found:
            response = await client.get(read, headers={"accept": media_type("json")})
            # What it knew of the refusal may be said once more.
            assert response.status_code in {200, 403}
            found = response.json() if response.status_code == 200 else []
    assert [record["offset"] for record in found] == [0]


async def test_a_subscription_to_an_invalid_topic_name(client: httpx.AsyncClient) -> None:
    uri = await _instance(client, f"g-{uuid.uuid4().hex}")
    for name in ("", "a b", "x" * 250):
        # 40002 with the client's words for "", 204 for the others, and then [] for ever.
        response = await _post(client, f"{uri}/subscription", {"topics": [name]})
        assert error(response) == (400, 40002)
        assert "Local:" not in response.json()["message"]
