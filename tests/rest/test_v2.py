"""The v2 API: metadata, producing, consumer instances."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

V2 = "application/vnd.kafka.v2+json"
TOPIC_NOT_FOUND = {"error_code": 40401, "message": "Topic not found."}
PARTITION_NOT_FOUND = {"error_code": 40402, "message": "Partition not found."}


def _type(format: str) -> str:
    return f"application/vnd.kafka.{format}.v2+json"


async def _produce(client: httpx.AsyncClient, path: str, body: Any, format: str = "json") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(path, headers={"content-type": _type(format)}, content=content)


async def test_metadata(client: httpx.AsyncClient, topic: Any) -> None:
    name = await topic(partitions=2)
    assert name in (await client.get("/topics")).json()
    assert len((await client.get("/brokers")).json()["brokers"]) == 1
    found = (await client.get(f"/topics/{name}")).json()
    assert list(found) == ["name", "configs", "partitions"]
    assert found["configs"]["cleanup.policy"] == "delete"
    partitions = (await client.get(f"/topics/{name}/partitions")).json()
    assert partitions == found["partitions"]
    leader = partitions[1]["leader"]
    assert partitions[1] == {
        "partition": 1,
        "leader": leader,
        "replicas": [{"broker": leader, "leader": True, "in_sync": True}],
    }
    assert (await client.get(f"/topics/{name}/partitions/1")).json() == partitions[1]
    offsets = await client.get(f"/topics/{name}/partitions/0/offsets")
    assert offsets.json() == {"beginning_offset": 0, "end_offset": 0}

    for path, body in (
        (f"/topics/{name}/partitions/9", PARTITION_NOT_FOUND),
        (f"/topics/{name}/partitions/9/offsets", PARTITION_NOT_FOUND),
        (f"/topics/{name}/partitions/abc", {"error_code": 404, "message": "HTTP 404 Not Found"}),
        ("/topics/no-such-topic", TOPIC_NOT_FOUND),
        ("/topics/no-such-topic/partitions", TOPIC_NOT_FOUND),
        ("/topics/no-such-topic/partitions/0/offsets", TOPIC_NOT_FOUND),
    ):
        response = await client.get(path)
        assert (response.status_code, response.json()) == (404, body)
        assert response.headers["content-type"] == V2
    illegal = await client.get("/topics/a%20b")
    assert (illegal.status_code, illegal.json()["error_code"]) == (400, 40002)


async def test_producing_json(client: httpx.AsyncClient, topic: Any) -> None:
    name = await topic(partitions=2)
    records = [{"value": {"a": 1}, "partition": 0}, {"key": "k", "value": None, "partition": 1}, {"value": 12.5}, {}]
    response = await _produce(client, f"/topics/{name}", {"records": records})
    assert (response.status_code, response.headers["content-type"]) == (200, V2)
    body = response.json()
    assert list(body) == ["offsets", "key_schema_id", "value_schema_id"]
    assert body["offsets"][0] == {"partition": 0, "offset": 0, "error_code": None, "error": None}
    assert len(body["offsets"]) == 4

    response = await _produce(client, f"/topics/{name}/partitions/1", {"records": [{"value": "p"}]})
    assert response.json()["offsets"][0]["partition"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, 422),
        (b"null", 422, 422),
        (b"{}", 422, 422),
        (b'{"records":[]}', 422, 422),
        (b'{"records":null}', 422, 422),
        (b'{"records":[{"value":1}]', 400, 400),
        (b'{"records":{"value":1}}', 400, 400),
        (b'{"records":[{"value":1,"partition":"x"}]}', 400, 400),
        (b'{"records":[{"value":1,"bogus":2}]}', 422, 422),
        (b'{"bogus":1,"records":[{"value":1}]}', 422, 422),
        (b'{"records":[{"value":1},{"value":1,"partition":9}]}', 404, 40402),
        (b'{"records":[{"value":1,"partition":-1}]}', 404, 40402),
    ],
)
async def test_produce_requests_that_fail(
    client: httpx.AsyncClient, topic: Any, body: bytes, status: int, code: int
) -> None:
    name = await topic()
    response = await _produce(client, f"/topics/{name}", body)
    assert (response.status_code, response.json()["error_code"]) == (status, code)
    assert (await client.get(f"/topics/{name}/partitions/0/offsets")).json()["end_offset"] == 0


async def test_producing_binary(client: httpx.AsyncClient, topic: Any) -> None:
    path = f"/topics/{await topic()}"
    good = {"records": [{"key": "a2V5", "value": "aGVsbG8="}, {"value": None}]}
    assert (await _produce(client, path, good, "binary")).status_code == 200
    for content_type in (V2, "application/vnd.kafka+json", "application/json", "application/octet-stream"):
        response = await client.post(path, headers={"content-type": content_type}, content=json.dumps(good).encode())
        assert response.status_code == 200
    for value, message in (
        ("not base64!", 'Bad Request: data="not base64!" is not a valid base64 string.'),
        (123, "Bad Request: data=123 is not a base64 string."),
    ):
        response = await _produce(client, path, {"records": [{"value": value}]}, "binary")
        assert (response.status_code, response.json()) == (400, {"error_code": 400, "message": message})


async def test_an_illegal_topic_name_fails_each_record(client: httpx.AsyncClient) -> None:
    response = await _produce(client, "/topics/bad%20name", {"records": [{"value": 1}]})
    assert response.status_code == 200
    [offset] = response.json()["offsets"]
    assert (offset["partition"], offset["offset"], offset["error_code"]) == (None, None, 1)


@pytest.fixture
async def instance(client: httpx.AsyncClient) -> AsyncIterator[str]:
    """The path of a JSON instance that starts at the beginning."""
    group = f"rest-{uuid.uuid4().hex[:12]}"
    body = {"name": "i", "format": "json", "auto.offset.reset": "earliest", "auto.commit.enable": "false"}
    response = await client.post(f"/consumers/{group}", headers={"content-type": V2}, content=json.dumps(body).encode())
    base = f"{client.base_url}".rstrip("/")
    path = f"/consumers/{group}/instances/i"
    assert (response.status_code, response.json()) == (200, {"instance_id": "i", "base_uri": base + path})
    yield path
    await client.delete(path)


async def _post(client: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
    return await client.post(path, headers={"content-type": V2}, content=json.dumps(body).encode())


async def _records(client: httpx.AsyncClient, path: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            response = await client.get(f"{path}/records?timeout=1000", headers={"accept": _type("json")})
            assert (response.status_code, response.headers["content-type"]) == (200, _type("json"))
            found += response.json()
    return found


async def test_a_subscription(client: httpx.AsyncClient, topic: Any, instance: str) -> None:
    name = await topic()
    await _produce(client, f"/topics/{name}", {"records": [{"key": "k", "value": {"n": 1}}, {"value": None}]})
    idle = await client.get(f"{instance}/records", headers={"accept": _type("json")})
    assert (idle.status_code, idle.json()["error_code"]) == (409, 40903)
    assert (await client.get(f"{instance}/subscription")).json() == {"topics": []}
    subscribed = await _post(client, f"{instance}/subscription", {"topics": [name]})
    assert (subscribed.status_code, subscribed.content) == (204, b"")
    assert (await client.get(f"{instance}/subscription")).json() == {"topics": [name]}
    assert await _records(client, instance, 2) == [
        {"topic": name, "key": "k", "value": {"n": 1}, "partition": 0, "offset": 0},
        {"topic": name, "key": None, "value": None, "partition": 0, "offset": 1},
    ]
    where = {"topic": name, "partition": 0}
    assert (await client.get(f"{instance}/assignments")).json() == {"partitions": [where]}

    committed = await client.post(f"{instance}/offsets")
    assert (committed.status_code, committed.json()) == (200, [])
    asked = {"partitions": [where]}
    answer = await client.request("GET", f"{instance}/offsets", json=asked)
    assert answer.json() == {"offsets": [{**where, "offset": 2, "metadata": ""}]}
    assert (await _post(client, f"{instance}/offsets", {"offsets": [{**where, "offset": 0}]})).json() == []
    answer = await client.request("GET", f"{instance}/offsets", json=asked)
    assert answer.json()["offsets"][0]["offset"] == 1

    assert (await _post(client, f"{instance}/positions/beginning", asked)).status_code == 204
    assert len(await _records(client, instance, 2)) == 2
    assert (await _post(client, f"{instance}/positions", {"offsets": [{**where, "offset": 1}]})).status_code == 204
    assert [record["offset"] for record in await _records(client, instance, 1)] == [1]

    assigned = await _post(client, f"{instance}/assignments", asked)
    assert (assigned.status_code, assigned.json()["error_code"]) == (409, 40903)
    assert (await client.delete(f"{instance}/subscription")).status_code == 204
    assert (await client.delete(instance)).status_code == 204
    gone = await client.delete(instance)
    assert (gone.status_code, gone.json()) == (
        404,
        {"error_code": 40403, "message": "Consumer instance not found."},
    )


async def test_an_assignment(client: httpx.AsyncClient, topic: Any, instance: str) -> None:
    name = await topic(partitions=2)
    await _produce(client, f"/topics/{name}/partitions/1", {"records": [{"value": 1}, {"value": 2}]})
    partitions = {"partitions": [{"topic": name, "partition": 1}]}
    assert (await _post(client, f"{instance}/assignments", partitions)).status_code == 204
    assert (await client.get(f"{instance}/assignments")).json() == partitions
    assert [record["value"] for record in await _records(client, instance, 2)] == [1, 2]
    elsewhere = await _post(client, f"{instance}/positions/end", {"partitions": [{"topic": name, "partition": 0}]})
    assert (elsewhere.status_code, elsewhere.json()["error_code"]) == (409, 40903)


async def test_the_accept_header_must_fit_the_instance(client: httpx.AsyncClient, instance: str) -> None:
    for accept in (_type("binary"), V2, "*/*", "application/json"):
        response = await client.get(f"{instance}/records", headers={"accept": accept})
        assert (response.status_code, response.json()["error_code"]) == (406, 40601)
    response = await client.get(f"{instance}/records", headers={"accept": "text/plain"})
    assert (response.status_code, response.json()["error_code"]) == (406, 406)
    response = await client.get(f"{instance}/records?timeout=abc", headers={"accept": _type("json")})
    assert (response.status_code, response.json()["error_code"]) == (404, 404)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"format":"nope"}', 422, 42204),
        (b'{"auto.offset.reset":"nope"}', 422, 42204),
        (b'{"auto.commit.enable":"maybe"}', 422, 42204),
        (b'{"fetch.min.bytes":"-2"}', 422, 42204),
        (b'{"consumer.request.timeout.ms":"zz"}', 422, 42204),
        (b'{"bogus":"1"}', 422, 422),
        (b"{bad", 400, 400),
        (b'{"format":5}', 400, 400),
    ],
)
async def test_invalid_instances(client: httpx.AsyncClient, body: bytes, status: int, code: int) -> None:
    response = await client.post("/consumers/rest-bad", headers={"content-type": V2}, content=body)
    assert (response.status_code, response.json()["error_code"]) == (status, code)


async def test_a_name_that_is_percent_encoded_in_the_base_uri(client: httpx.AsyncClient) -> None:
    response = await _post(client, "/consumers/a%2Fb", {"id": "c d", "auto.commit.enable": True, "fetch.min.bytes": 1})
    base_uri = response.json()["base_uri"]
    assert base_uri.endswith("/consumers/a%2Fb/instances/c%20d")
    again = await _post(client, "/consumers/a%2Fb", {"name": "c d"})
    assert (again.status_code, again.json()["error_code"]) == (409, 40902)
    assert (await client.delete(base_uri)).status_code == 204
