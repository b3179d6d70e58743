"""v2: each operation on consumer instances, with its responses and errors."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import httpx
import pytest

from conftest import TopicFactory
from kafka_facade_devstack.gateway import Gateway
from rest.v2_operations import V2, error, media_type

GatewayFactory = Callable[..., Awaitable[Gateway]]
_SECONDS = 30
_EXCLUSIVE = "Illegal state: Subscription to topics, partitions and pattern are mutually exclusive"
_NOTHING_TO_READ = "Illegal state: Consumer is not subscribed to any topics or assigned any partitions"


class Instance:
    """A consumer instance as its caller sees it."""

    def __init__(self, client: httpx.AsyncClient, path: str, format: str) -> None:
        self.client = client
        self.path = path
        self.format = format

    async def post(self, what: str, body: Any = None) -> httpx.Response:
        headers = {} if body is None else {"content-type": V2}
        content = None if body is None else json.dumps(body).encode()
        return await self.client.post(f"{self.path}/{what}", headers=headers, content=content)

    async def get(self, what: str, body: Any = None) -> httpx.Response:
        content = None if body is None else json.dumps(body).encode()
        headers = {"content-type": V2} if content else {}
        return await self.client.request("GET", f"{self.path}/{what}", headers=headers, content=content)

    async def delete(self, what: str = "") -> httpx.Response:
        return await self.client.delete(f"{self.path}/{what}" if what else self.path)

    async def did(self, what: str, body: Any) -> None:
        """Send a POST request whose response has no body."""
        response = await self.post(what, body)
        assert (response.status_code, response.content) == (204, b""), response.text

    async def records(self, query: str = "timeout=500") -> httpx.Response:
        return await self.client.get(f"{self.path}/records?{query}", headers={"accept": media_type(self.format)})

    async def values(self, count: int, query: str = "timeout=500") -> list[Any]:
        """The values of the next ``count`` records."""
        found: list[Any] = []
        async with asyncio.timeout(_SECONDS):
            while len(found) < count:
                response = await self.records(query)
                assert response.status_code == 200, response.text
                found += [record["value"] for record in response.json()]
        return found

    async def committed(self, *places: tuple[str, int]) -> list[dict[str, Any]]:
        response = await self.get("offsets", {"partitions": _places(places)})
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["offsets"]
        return found


InstanceFactory = Callable[..., Awaitable[Instance]]


def _places(places: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"topic": topic, "partition": partition} for topic, partition in places]


def _offset(topic: str, partition: int, offset: int) -> dict[str, Any]:
    return {"topic": topic, "partition": partition, "offset": offset}


def _group() -> str:
    return f"v2-{uuid.uuid4().hex[:12]}"


async def _create(client: httpx.AsyncClient, group: str, settings: Any) -> httpx.Response:
    return await client.post(f"/consumers/{group}", headers={"content-type": V2}, content=json.dumps(settings).encode())


@pytest.fixture
async def instance(client: httpx.AsyncClient) -> AsyncIterator[InstanceFactory]:
    """``await instance(group, **settings)``: an instance in JSON that starts at the beginning and commits nothing."""
    made: list[Instance] = []

    async def create(group: str | None = None, **settings: Any) -> Instance:
        usual = {
            "format": "json",
            "auto.offset.reset": "earliest",
            "auto.commit.enable": "false",
            "fetch.min.bytes": "0",
        }
        response = await _create(client, group or _group(), usual | settings)
        assert response.status_code == 200, response.text
        path = httpx.URL(response.json()["base_uri"]).raw_path.decode()
        made.append(Instance(client, path, settings.get("format", "json")))
        return made[-1]

    yield create
    for one in made:
        await one.delete()


async def _fill(client: httpx.AsyncClient, topic: str, values: Iterable[Any], partition: int = 0) -> None:
    body = {"records": [{"value": value} for value in values]}
    headers = {"content-type": media_type("json")}
    response = await client.post(f"/topics/{topic}/partitions/{partition}", headers=headers, content=json.dumps(body))
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"name": "n"}, "n"),
        ({"id": "i"}, "i"),
        ({"id": "i", "name": "n"}, "i"),
        ({}, None),
        ({"name": None, "id": None, "format": None, "auto.offset.reset": None, "fetch.min.bytes": None}, None),
        ({"format": "JSON", "auto.offset.reset": "none", "auto.commit.enable": "TRUE"}, None),
        ({"auto.commit.enable": False, "fetch.min.bytes": 10_000_000, "consumer.request.timeout.ms": 0}, None),
        ({"auto.offset.reset": "latest", "fetch.min.bytes": "-1", "consumer.request.timeout.ms": "2147483647"}, None),
        ({"responseMinBytes": "0", "requestWaitMs": 5}, None),
        ({"name": "ü/ %?#"}, "ü/ %?#"),
    ],
)
async def test_creation(client: httpx.AsyncClient, settings: dict[str, Any], name: str | None) -> None:
    group = _group()
    response = await _create(client, group, settings)
    assert (response.status_code, response.headers["content-type"]) == (200, V2), response.text
    body = response.json()
    assert list(body) == ["instance_id", "base_uri"]
    if name is None:
        assert body["instance_id"].startswith("rest-consumer-")
    else:
        assert body["instance_id"] == name
    origin, path = body["base_uri"].split("/consumers/", 1)
    assert origin == str(client.base_url).rstrip("/")
    assert path.startswith(f"{group}/instances/")
    assert (await client.get(f"{body['base_uri']}/subscription")).json() == {"topics": []}
    assert (await client.get(f"{body['base_uri']}/assignments")).json() == {"partitions": []}
    again = await _create(client, group, {"id": body["instance_id"]})
    assert error(again) == (409, 40902)
    text = "Consumer with specified consumer ID already exists in the specified consumer group."
    assert again.json()["message"] == text
    # Another group's instances have names of their own.
    other = await _create(client, group + "-2", {"id": body["instance_id"]})
    assert other.status_code == 200
    for uri in (body["base_uri"], other.json()["base_uri"]):
        assert (await client.delete(uri)).status_code == 204
        gone = await client.delete(uri)
        assert error(gone) == (404, 40403)


async def test_without_a_body_an_instance_has_the_defaults(client: httpx.AsyncClient) -> None:
    for content in (None, b"", b"null"):
        headers = {} if content is None else {"content-type": V2}
        response = await client.post(f"/consumers/{_group()}", headers=headers, content=content)
        assert response.status_code == 200
        assert (await client.delete(response.json()["base_uri"])).status_code == 204


async def test_the_limit_of_instances(gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory({"consumer.instances.max": "2"})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20, verify=False) as client:
        uris = [(await _create(client, "limit", {"name": name})).json()["base_uri"] for name in "ab"]
        refused = await _create(client, "limit", {"name": "c"})
        assert error(refused) == (429, 429)
        assert (await client.delete(uris[0])).status_code == 204
        assert (await _create(client, "limit", {"name": "c"})).status_code == 200


async def test_an_idle_instance_expires_and_leaves_its_group(
    gateway_factory: GatewayFactory, cluster: str, topic: TopicFactory
) -> None:
    gateway = await gateway_factory({"consumer.instance.timeout.ms": "1500"})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20, verify=False) as client:
        group = _group()
        paths = [(await _create(client, group, {"name": name})).json()["base_uri"] for name in ("used", "idle")]
        used, idle = (Instance(client, httpx.URL(path).path, "binary") for path in paths)
        for one in (used, idle):
            await one.did("subscription", {"topics": [await topic()]})
        consumers = f"{cluster}/consumer-groups/{group}/consumers"

        async def members() -> int:
            response = await client.get(consumers)
            return len(response.json()["data"]) if response.status_code == 200 else 0

        async with asyncio.timeout(_SECONDS):
            while await members() < 2:
                await used.get("subscription")
                await idle.get("subscription")
                await asyncio.sleep(0.1)
            while await members() > 1:
                assert (await used.get("subscription")).status_code == 200
                await asyncio.sleep(0.1)
        assert error(await idle.get("subscription")) == (404, 40403)
        assert (await used.delete()).status_code == 204


async def test_subscriptions(client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory) -> None:
    first, second = await topic("v2sub"), await topic("v2sub")
    await _fill(client, first, ["first"])
    await _fill(client, second, ["second"])
    one = await instance()
    before = await one.records()
    assert (error(before), before.json()["message"]) == ((409, 40903), _NOTHING_TO_READ)
    await one.did("subscription", {"topics": [first]})
    # The latest one replaces what was there; one that names nothing changes nothing.
    await one.did("subscription", {"topics": [second]})
    await one.did("subscription", {})
    assert (await one.get("subscription")).json() == {"topics": [second]}
    assert await one.values(1) == ["second"]
    await one.did("subscription", {"topics": [first, second]})
    assert sorted((await one.get("subscription")).json()["topics"]) == sorted([first, second])
    # Partitions cannot be assigned by hand meanwhile.
    assigned = await one.post("assignments", {"partitions": _places([(first, 0)])})
    assert (error(assigned), assigned.json()["message"]) == ((409, 40903), _EXCLUSIVE)
    assert (await one.delete("subscription")).status_code == 204
    assert (await one.get("subscription")).json() == {"topics": []}
    assert (await one.get("assignments")).json() == {"partitions": []}
    assert error(await one.records()) == (409, 40903)
    # It may be dropped twice, and an assignment may follow.
    assert (await one.delete("subscription")).status_code == 204
    await one.did("assignments", {"partitions": _places([(first, 0)])})
    assert await one.values(1) == ["first"]
    assert error(await one.post("subscription", {"topics": [first]})) == (409, 40903)


async def test_a_pattern(client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory) -> None:
    prefix = f"v2p{uuid.uuid4().hex[:8]}"
    names = sorted([await topic(f"{prefix}-a"), await topic(f"{prefix}-b")])
    other = await topic(f"x{prefix}")
    for name in (*names, other):
        await _fill(client, name, [name])
    one = await instance()
    # The whole name has to match.
    await one.did("subscription", {"topic_pattern": f"{prefix}-[ab].*"})
    async with asyncio.timeout(_SECONDS):
        while sorted((await one.get("subscription")).json()["topics"]) != names:
            await one.records("timeout=100")
    assert sorted(await one.values(2)) == names
    assert (await one.delete("subscription")).status_code == 204
    assert (await one.get("subscription")).json() == {"topics": []}
    assert error(await one.records()) == (409, 40903)
    await one.did("subscription", {"topics": [other]})
    assert await one.values(1) == [other]


async def test_assignments(client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory) -> None:
    name = await topic(partitions=3)
    for partition in range(3):
        await _fill(client, name, [partition], partition)
    one = await instance()
    await one.did("assignments", {"partitions": _places([(name, 2), (name, 0)])})
    assert (await one.get("assignments")).json() == {"partitions": _places([(name, 0), (name, 2)])}
    assert sorted(await one.values(2)) == [0, 2]
    for body in ({"topics": [name]}, {"topic_pattern": ".*"}):
        refused = await one.post("subscription", body)
        assert (error(refused), refused.json()["message"]) == ((409, 40903), _EXCLUSIVE)
    # The latest one replaces what was there.
    await one.did("assignments", {"partitions": _places([(name, 1)])})
    assert (await one.get("assignments")).json() == {"partitions": _places([(name, 1)])}
    assert await one.values(1) == [1]
    assert (await one.delete("subscription")).status_code == 204
    assert (await one.get("assignments")).json() == {"partitions": []}
    await one.did("subscription", {"topics": [name]})
    # What does not exist can be assigned; it is waited for.
    two = await instance()
    await two.did("assignments", {"partitions": _places([(name, 77)])})
    assert (await two.get("assignments")).json() == {"partitions": _places([(name, 77)])}
    response = await two.records()
    assert (response.status_code, response.json()) == (200, [])


async def test_positions(client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory) -> None:
    name = await topic(partitions=2)
    await _fill(client, name, range(5))
    one = await instance()
    place = {"partitions": _places([(name, 0)])}
    for what, body in (
        ("positions", {"offsets": [_offset(name, 0, 0)]}),
        ("positions/beginning", place),
        ("positions/end", place),
    ):
        refused = await one.post(what, body)
        assert error(refused) == (409, 40903)
        assert refused.json()["message"] == f"Illegal state: No current assignment for partition {name}-0"
        await one.did(what, {name: [] for name in body})
    await one.did("positions", {})
    await one.did("assignments", {"partitions": _places([(name, 0), (name, 1)])})
    assert await one.values(5) == [0, 1, 2, 3, 4]
    await one.did("positions", {"offsets": [{**_offset(name, 0, 3), "metadata": "m"}, _offset(name, 1, 0)]})
    assert await one.values(2) == [3, 4]
    await one.did("positions/beginning", {"partitions": _places([(name, 0), (name, 1)])})
    # Earlier and prefetched records are discarded.
    assert (await one.values(1, "timeout=500&max_bytes=1")) == [0]
    await one.did("positions/end", {"partitions": _places([(name, 0)])})
    assert (await one.records()).json() == []
    await _fill(client, name, [5])
    assert await one.values(1) == [5]
    # Beyond the end, auto.offset.reset decides.
    await one.did("positions", {"offsets": [_offset(name, 0, 1000)]})
    assert await one.values(6) == [0, 1, 2, 3, 4, 5]


async def test_commits(client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory) -> None:
    name = await topic(partitions=2)
    group = _group()
    one = await instance(group)
    await _fill(client, name, range(3))
    await one.did("assignments", {"partitions": _places([(name, 0), (name, 1)])})
    assert await one.committed((name, 0), (name, 1)) == []
    # Nothing was read: there is nothing to commit.
    for content in (None, b""):
        response = await client.post(f"{one.path}/offsets", content=content)
        assert (response.status_code, response.json()) == (200, [])
    assert await one.committed((name, 0), (name, 1)) == []
    assert await one.values(3) == [0, 1, 2]
    response = await one.post("offsets")
    assert (response.status_code, response.headers["content-type"], response.json()) == (200, V2, [])
    # The positions, also in the empty partition.
    standing = [{**_offset(name, 0, 3), "metadata": ""}, {**_offset(name, 1, 0), "metadata": ""}]
    assert await one.committed((name, 0), (name, 1)) == standing
    # Offset n commits n + 1; the group continues there.
    body = {"offsets": [_offset(name, 0, 0), _offset(name, 1, 7)]}
    assert (await one.post("offsets?async=true", body)).json() == []
    expected = [{**_offset(name, 0, 1), "metadata": ""}, {**_offset(name, 1, 8), "metadata": ""}]
    assert await one.committed((name, 0), (name, 1)) == expected
    assert (await one.post("offsets", {"offsets": []})).json() == []
    # Another member of the group, and partitions without commits, or that do not exist.
    two = await instance(group)
    assert await two.committed((name, 0), (name, 99), (f"{name}-missing", 0)) == expected[:1]
    none: dict[str, Any] = {"partitions": []}
    for nothing in (None, none):
        response = await two.get("offsets", nothing)
        assert (error(response), response.json()["message"]) == ((404, 40402), "Partition not found.")
    for place in (_offset(f"{name}-missing", 0, 1), _offset(name, 99, 1)):
        response = await two.post("offsets", {"offsets": [place]})
        assert (error(response), response.json()["message"]) == ((404, 40402), "Partition not found.")
    assert (await one.delete()).status_code == 204
    await two.did("assignments", {"partitions": _places([(name, 0)])})
    assert await two.values(2) == [1, 2]


async def test_automatic_commits(client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory) -> None:
    name, group = await topic(), _group()
    await _fill(client, name, range(4))
    one = await instance(group, **{"auto.commit.enable": "true"})
    await one.did("subscription", {"topics": [name]})
    assert await one.values(1, "timeout=1000&max_bytes=1") == [0]
    assert await one.values(1, "timeout=1000&max_bytes=1") == [1]
    assert (await one.delete()).status_code == 204
    two = await instance(group)
    # Not what was fetched ahead of the caller.
    assert await two.committed((name, 0)) == [{**_offset(name, 0, 2), "metadata": ""}]
    await two.did("subscription", {"topics": [name]})
    assert await two.values(2) == [2, 3]


async def test_max_bytes(client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory) -> None:
    name = await topic()
    # As JSON each is 10 bytes long, the last one 102.
    values = [*(f"{n:08}" for n in range(6)), "x" * 100]
    await _fill(client, name, values)
    one = await instance(**{"fetch.min.bytes": "-1", "consumer.request.timeout.ms": "700"})
    await one.did("assignments", {"partitions": _places([(name, 0)])})
    assert await one.values(2, "max_bytes=20") == values[:2]
    assert await one.values(2, "max_bytes=29&timeout=9999") == values[2:4]
    # A record that is longer than all that is asked for comes alone.
    assert await one.values(1, "max_bytes=1") == values[4:5]
    assert await one.values(1, "max_bytes=50&timeout=500") == values[5:6]
    assert await one.values(1, "max_bytes=50") == values[6:]
    for unlimited in ("0", "-1", "9223372036854775807"):
        await one.did("positions/beginning", {"partitions": _places([(name, 0)])})
        assert await one.values(7, f"max_bytes={unlimited}") == values


@pytest.mark.serial
async def test_timeouts(client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory) -> None:
    name = await topic()
    one = await instance(**{"fetch.min.bytes": "-1", "consumer.request.timeout.ms": "600"})
    await one.did("assignments", {"partitions": _places([(name, 0)])})
    # The shorter of the request's and the instance's holds; 0 and less is none.
    for query, seconds in (
        ("timeout=200", 0.2),
        ("", 0.6),
        ("timeout=99999", 0.6),
        ("timeout=0", 0.6),
        ("timeout=-1", 0.6),
    ):
        started = time.monotonic()
        response = await one.records(query)
        assert (response.status_code, response.json()) == (200, [])
        assert seconds - 0.01 <= time.monotonic() - started < seconds + 0.3, query
    # With a least number of bytes the first records end it.
    await _fill(client, name, ["a"])
    two = await instance(**{"fetch.min.bytes": "1", "consumer.request.timeout.ms": "20000"})
    await two.did("assignments", {"partitions": _places([(name, 0)])})
    started = time.monotonic()
    assert await two.values(1, "") == ["a"]
    assert time.monotonic() - started < 10


async def test_each_format_of_one_topic(
    client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory
) -> None:
    name = await topic()
    body = {"records": [{"key": "aw==", "value": "MTI="}, {"value": None}, {"value": "/w=="}]}
    await client.post(f"/topics/{name}", headers={"content-type": media_type("binary")}, content=json.dumps(body))
    place = {"partitions": _places([(name, 0)])}
    one = await instance(format="binary")
    await one.did("assignments", place)
    read = (await one.records("timeout=2000")).json()
    assert [(record["key"], record["value"]) for record in read] == [("aw==", "MTI="), (None, None), (None, "/w==")]
    assert list(read[0]) == ["topic", "key", "value", "partition", "offset"]
    for format in ("json", "avro", "jsonschema", "protobuf"):
        other = await instance(format=format)
        await other.did("assignments", place)
        # The key is not JSON, and nothing of it has a schema: the position stays until the caller moves it.
        for _ in range(2):
            response = await other.records("timeout=2000")
            assert error(response) == (408, 40801)
            assert response.headers["content-type"] == media_type(format)
            assert f"partition {name}-0 at offset 0" in response.json()["message"]
        await other.did("positions", {"offsets": [_offset(name, 0, 1)]})
        # The good records before a bad one are delivered.
        assert await other.values(1) == [None]
        assert error(await other.records("timeout=2000")) == (408, 40801)
        wrong = await client.get(f"{other.path}/records", headers={"accept": media_type("binary")})
        assert error(wrong) == (406, 40601)


async def test_two_members_share_a_topic(
    client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory
) -> None:
    name, group = await topic(partitions=2), _group()
    both = [await instance(group), await instance(group)]
    for one in both:
        await one.did("subscription", {"topics": [name]})
    async with asyncio.timeout(_SECONDS):
        while True:
            shares = [(await one.get("assignments")).json()["partitions"] for one in both]
            if [len(share) for share in shares] == [1, 1]:
                break
            await asyncio.gather(*(one.records("timeout=200") for one in both))
    assert sorted(share[0]["partition"] for share in shares) == [0, 1]
    await _fill(client, name, [0], 0)
    await _fill(client, name, [1], 1)
    found = await asyncio.gather(*(one.values(1) for one in both))
    assert sorted(found) == [[0], [1]]
    assert [share[0]["partition"] for share in shares] == [values[0] for values in found]


async def test_topics_and_a_pattern_cannot_be_combined(topic: TopicFactory, instance: InstanceFactory) -> None:
    name = await topic()
    by_name, by_pattern = {"topics": [name]}, {"topic_pattern": name}
    for first, second in ((by_name, by_pattern), (by_pattern, by_name)):
        one = await instance()
        await one.did("subscription", first)
        await one.did("subscription", first)
        refused = await one.post("subscription", second)
        assert (error(refused), refused.json()["message"]) == ((409, 40903), _EXCLUSIVE)
        assert (await one.delete("subscription")).status_code == 204
        await one.did("subscription", second)


async def test_repeated_and_empty_assignments(
    client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory
) -> None:
    name = await topic()
    await _fill(client, name, [1])
    one = await instance()
    await one.did("assignments", {"partitions": _places([(name, 0), (name, 0)])})
    assert (await one.get("assignments")).json() == {"partitions": _places([(name, 0)])}
    assert await one.values(1) == [1]
    # None is the same as to unsubscribe.
    await one.did("assignments", {"partitions": []})
    assert (await one.get("assignments")).json() == {"partitions": []}
    refused = await one.records()
    assert (error(refused), refused.json()["message"]) == ((409, 40903), _NOTHING_TO_READ)
    await one.did("subscription", {"topics": [name]})
    assert await one.values(1) == [1]


async def test_head_consumes_no_records(
    client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory
) -> None:
    name = await topic()
    await _fill(client, name, [1, 2])
    one = await instance()
    await one.did("assignments", {"partitions": _places([(name, 0)])})
    await one.did("positions/beginning", {"partitions": _places([(name, 0)])})
    head = await client.head(f"{one.path}/records?timeout=3000", headers={"accept": media_type(one.format)})
    assert (head.status_code, head.content) == (405, b"")
    assert head.headers["allow"] == "GET,OPTIONS"
    assert await one.values(2) == [1, 2]


async def test_metadata_of_commits(topic: TopicFactory, instance: InstanceFactory) -> None:
    name = await topic(partitions=2)
    one = await instance()
    texts = ("é" * 100, "")
    body = {"offsets": [{**_offset(name, n, 4), "metadata": text} for n, text in enumerate(texts)]}
    assert (await one.post("offsets", body)).json() == []
    expected = [{**_offset(name, n, 5), "metadata": text} for n, text in enumerate(texts)]
    assert await one.committed((name, 0), (name, 1)) == expected
    # Kafka keeps 4096 bytes (offset.metadata.max.bytes); other texts cannot be sent to it.
    for text in ("x" * 5000, "x" * 40_000, "cut\0"):
        body = {"offsets": [{**_offset(name, 0, 5), "metadata": text}]}
        assert error(await one.post("offsets", body)) == (400, 40002)


async def test_seeking_to_times(
    client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory, cluster: str
) -> None:
    name = await topic(partitions=2)
    for second in range(4):
        record = {
            "partition_id": 0,
            "value": {"type": "JSON", "data": second},
            "timestamp": f"2026-01-01T00:00:0{second}Z",
        }
        await client.post(f"{cluster}/topics/{name}/records", headers={"content-type": "application/json"}, json=record)
    one = await instance()
    place = {"topic": name, "partition": 0}
    refused = await one.post("positions", {"timestamps": [{**place, "timestamp": "2026-01-01T00:00:02Z"}]})
    assert error(refused) == (409, 40903)
    await one.did("assignments", {"partitions": _places([(name, 0), (name, 1)])})
    for timestamp in ("2026-01-01T00:00:02Z", "2026-01-01T01:00:01.5+01:00", 1767225602, 1767225601.5):
        await one.did("positions", {"offsets": [], "timestamps": [{**place, "timestamp": timestamp, "metadata": "m"}]})
        assert await one.values(2) == [2, 3], timestamp
    for timestamp in ("1969-12-31T23:59:59.999Z", "1960-01-01T00:00:00Z"):
        await one.did("positions", {"timestamps": [{**place, "timestamp": timestamp}]})
        assert await one.values(4) == [0, 1, 2, 3], timestamp
    # Past the last record the end is meant.
    late = [{**place, "timestamp": "2030-01-01T00:00:00Z"}, {"topic": name, "partition": 1, "timestamp": 0}]
    await one.did("positions", {"timestamps": late})
    assert (await one.records()).json() == []
    await _fill(client, name, [4])
    assert await one.values(1) == [4]
    bad: tuple[Any, ...] = ("yesterday", "2026-13-01T00:00:00Z", None, True, {})
    for wrong in bad:
        response = await one.post("positions", {"timestamps": [{**place, "timestamp": wrong}]})
        assert error(response) == (400, 400), wrong


async def test_seek_to_end_uses_the_current_end(
    client: httpx.AsyncClient, topic: TopicFactory, instance: InstanceFactory
) -> None:
    name = await topic()
    await _fill(client, name, [1, 2])
    one = await instance()
    await one.did("assignments", {"partitions": _places([(name, 0)])})
    await one.did("positions/end", {"partitions": _places([(name, 0)])})
    await _fill(client, name, [3])
    assert await one.values(1) == [3]
