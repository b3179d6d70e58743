"""Every link in every v3 response resolves to a resource with that link as its own."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from conftest import TopicFactory
from kafka_facade.core.catalogue import OPERATIONS, Operation
from kafka_facade.core.core import IMPLEMENTED
from kafka_facade.rest.routing import Router

_V2 = {"content-type": "application/vnd.kafka.v2+json"}
# Other tests leave many topics behind: of links that lead to the same operation only so many are followed.
_LINKS_EACH = 25
_READ_SECONDS = 20
# There is none while nothing is being moved; a group of another test may have committed nothing.
_MAY_BE_MISSING = ("api.v3.partition-reassignments.get",)
_MAY_BE_MISSING_ELSEWHERE = (
    "api.v3.consumer-group-lag-summary.get",
    "api.v3.consumer-lags.get",
    "api.v3.consumer-lags.list",
)

_router = Router(OPERATIONS)


def _operation(path: str) -> Operation:
    for match in _router.find(path):
        if "GET" in match.endpoint.operations:
            return match.endpoint.operations["GET"][0]
    raise AssertionError(f"{path} has no operation that gets it")


def _links(document: Any) -> Iterator[str]:
    """All URLs in an answer."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name in ("self", "related", "next") and isinstance(value, str):
                yield value
            else:
                yield from _links(value)
    elif isinstance(document, list):
        for item in document:
            yield from _links(item)


@pytest.fixture
async def things(client: httpx.AsyncClient, cluster: str, topic: TopicFactory) -> AsyncIterator[None]:
    """A topic, a consumer group with a member whose name needs escaping, and an ACL; all names begin with crawl."""
    name = await topic("crawl", partitions=2)
    records = {"records": [{"value": 1, "partition": 0}, {"value": 2, "partition": 1}]}
    produced = {"content-type": "application/vnd.kafka.json.v2+json"}
    assert (await client.post(f"/topics/{name}", json=records, headers=produced)).status_code == 200
    instances = f"/consumers/{quote(f'crawl {uuid.uuid4().hex[:8]}/ü?%', safe='')}"
    settings = {"name": "i", "format": "json", "auto.offset.reset": "earliest"}
    created = await client.post(instances, json=settings, headers=_V2)
    assert created.status_code == 200
    instance = f"{instances}/instances/i"
    assert (await client.post(f"{instance}/subscription", json={"topics": [name]}, headers=_V2)).status_code == 204
    read: list[Any] = []
    deadline = time.monotonic() + _READ_SECONDS
    while len(read) < len(records["records"]):
        assert time.monotonic() < deadline
        accept = {"accept": "application/vnd.kafka.json.v2+json"}
        read += (await client.get(f"{instance}/records?timeout=500", headers=accept)).json()
    assert (await client.post(f"{instance}/offsets")).status_code == 200
    # Not on the topic itself, which would be closed to all others by it.
    rule = {"resource_type": "TOPIC", "resource_name": f"{name}-rule", "pattern_type": "LITERAL"}
    rule |= {"principal": "User:crawl & co", "host": "*", "operation": "READ", "permission": "ALLOW"}
    with_rule = "api.v3.acls.create" in IMPLEMENTED
    if with_rule:
        assert (await client.post(f"{cluster}/acls", json=rule)).status_code == 201
    yield
    if with_rule:
        assert (await client.delete(f"{cluster}/acls", params=rule)).status_code == 200
    await client.delete(instance)


@pytest.mark.usefixtures("things")
async def test_every_link_resolves(client: httpx.AsyncClient) -> None:
    start = "/v3/clusters"
    seen, waiting = {start}, deque([start])
    followed: Counter[str] = Counter()
    missing = []
    while waiting:
        url = waiting.popleft()
        operation = _operation(urlsplit(url).path)
        # What belongs to the test's own topic is followed to the end.
        if "/crawl" not in url and followed[operation.identifier] >= _LINKS_EACH:
            continue
        followed[operation.identifier] += 1
        response = await client.get(url)
        if response.status_code == 501 and operation.identifier not in IMPLEMENTED:
            continue
        allowed = _MAY_BE_MISSING if "/crawl" in url else _MAY_BE_MISSING + _MAY_BE_MISSING_ELSEWHERE
        if response.status_code == 404 and operation.identifier in allowed:
            continue
        if response.status_code != 200:
            missing.append((operation.identifier, url, response.status_code, response.text))
            continue
        document = response.json()
        assert urlsplit(document["metadata"]["self"]).path == urlsplit(url).path
        for link in _links(document):
            if link not in seen:
                seen.add(link)
                waiting.append(link)
    assert missing == []
    assert {"api.v3.clusters.get", "api.v3.partitions.get", "api.v3.topic-configs.get"} <= followed.keys()
