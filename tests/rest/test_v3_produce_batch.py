"""v3 ``records:batch``: the result of each record by its id, and invalid batches."""

import base64
from typing import Any

import httpx
import pytest

JSON = {"content-type": "application/json"}


def entry(id: Any, data: Any = 1, **members: Any) -> dict[str, Any]:
    return {"id": id, "value": {"type": "JSON", "data": data}, **members}


async def test_successes_and_failures(client: httpx.AsyncClient, cluster: str, topic: Any) -> None:
    name = await topic()
    where = f"{cluster}/topics/{name}/records:batch"
    stamp = "2026-01-02T03:04:05.678Z"
    headers = [{"name": "h", "value": base64.b64encode(b"x").decode()}, {"name": "h"}]
    entries = [
        entry("first_1", {"a": [1, None]}, timestamp=stamp, headers=headers, partition_id=0),
        {"id": "bad-base64", "value": {"type": "BINARY", "data": "!!"}},
        {"id": "tombstone", "key": {"type": "STRING", "data": "k"}, "value": {"type": "JSON", "data": None}},
        {"id": "nothing"},
        entry("no-partition", partition_id=7),
        entry("negative", partition_id=-1),
        {"id": "not-text", "value": {"type": "STRING", "data": 5}},
        {"id": "Z" * 80, "value": {"type": "BINARY", "data": base64.b64encode(b"\0\xff").decode()}},
    ]
    response = await client.post(where, json={"entries": entries})
    assert (response.status_code, response.headers["content-type"]) == (207, "application/json")
    answer = response.json()
    assert list(answer) == ["successes", "failures"]
    successes = answer["successes"]
    assert [(found["id"], found["partition_id"], found["offset"]) for found in successes] == [
        ("first_1", 0, 0),
        ("tombstone", 0, 1),
        ("nothing", 0, 2),
        ("Z" * 80, 0, 3),
    ]
    assert successes[0] == {
        "id": "first_1",
        "cluster_id": cluster.rsplit("/", 1)[1],
        "topic_name": name,
        "partition_id": 0,
        "offset": 0,
        "timestamp": stamp,
        "value": {"type": "JSON", "size": 14},
    }
    assert (successes[1]["key"], successes[1]["value"]) == (
        {"type": "STRING", "size": 1},
        {"type": "JSON", "size": -1},
    )
    assert list(successes[2]) == ["id", "cluster_id", "topic_name", "partition_id", "offset", "timestamp"]
    assert answer["failures"] == [
        {"id": "bad-base64", "error_code": 400, "message": 'Bad Request: data="!!" is not a valid base64 string.'},
        {"id": "no-partition", "error_code": 40402, "message": "Partition not found."},
        {"id": "negative", "error_code": 40402, "message": "Partition not found."},
        {"id": "not-text", "error_code": 400, "message": "Bad Request: data=5 is not a string."},
    ]


async def test_records_with_schemas(client: httpx.AsyncClient, cluster: str, topic: Any) -> None:
    name = await topic()
    text = {"type": "AVRO", "schema": '"string"'}
    proto = {"type": "PROTOBUF", "schema": 'syntax="proto3"; message Foo { string f1 = 1; int64 n = 2; }'}
    given: dict[str, dict[str, Any]] = {
        "text": {"value": {**text, "data": "a"}},
        "latest": {"key": {"type": "STRING", "data": "k"}, "value": {"data": "bc"}},
        "plain": {"value": {"type": "JSON", "data": 1}},
        "key": {"key": {**proto, "data": {"f1": "v", "n": 3}}},
        "not-of-it": {"value": {"data": 5}},
        "no-subject": {"value": {"subject": "no-such", "data": 1}},
        "no-id": {"value": {"schema_id": 99999, "data": "x"}},
        "excluded": {"value": {"type": "AVRO", "data": "x"}},
        "not-a-schema": {"value": {"type": "AVRO", "schema": "{bad", "data": "x"}},
        "no-partition": {"value": {"data": "x"}, "partition_id": 7},
    }
    entries = [{"id": id, **record} for id, record in given.items()]
    response = await client.post(f"{cluster}/topics/{name}/records:batch", json={"entries": entries})
    assert response.status_code == 207, response.text
    successes = {found["id"]: found for found in response.json()["successes"]}
    assert [(id, found["offset"]) for id, found in successes.items()] == [
        ("text", 0),
        ("latest", 1),
        ("plain", 2),
        ("key", 3),
    ]
    schema_id = successes["text"]["value"]["schema_id"]
    value = {"type": "AVRO", "subject": f"{name}-value", "schema_id": schema_id, "schema_version": 1}
    assert successes["text"]["value"] == {**value, "size": 7}
    assert (successes["latest"]["key"], successes["latest"]["value"]) == (
        {"type": "STRING", "size": 1},
        {**value, "size": 8},
    )
    assert successes["plain"]["value"] == {"type": "JSON", "size": 1}
    key = successes["key"]["key"]
    assert (key["type"], key["subject"], key["size"]) == ("PROTOBUF", f"{name}-key", 11)
    assert "value" not in successes["key"]
    assert [(found["id"], found["error_code"]) for found in response.json()["failures"]] == [
        ("not-of-it", 400),
        ("no-subject", 50002),
        ("no-id", 50002),
        ("excluded", 400),
        ("not-a-schema", 422),
        ("no-partition", 40402),
    ]


async def test_an_invalid_topic_name(client: httpx.AsyncClient, cluster: str) -> None:
    entries = [entry("1"), {"id": "2", "value": {"type": "BINARY", "data": "!!"}}]
    response = await client.post(f"{cluster}/topics/bad name/records:batch", json={"entries": entries})
    assert response.status_code == 207
    assert response.json()["successes"] == []
    failures = [(found["id"], found["error_code"]) for found in response.json()["failures"]]
    assert failures == [("1", 40002), ("2", 40002)]


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (b"", 422, 42208, "Request body is empty. Data is required."),
        (b"null", 422, 42208, "Request body is empty. Data is required."),
        (b"{}", 422, 42208, "Empty batch."),
        (b'{"entries":[]}', 422, 42208, "Empty batch."),
        (b'{"entries":null}', 422, 42208, "Empty batch."),
        (b'{"entries":{}}', 400, 400, None),
        (b'{"entries":[1]}', 400, 400, None),
        (b"[]", 400, 400, None),
        (b"{bad", 400, 400, None),
        (b'{"records":[]}', 422, 422, "Unrecognized field: records"),
        (b'{"entries":[{"id":"1","bogus":1}]}', 422, 422, "Unrecognized field: bogus"),
        (b'{"entries":[{}]}', 400, 400, "Missing required field: id"),
        (b'{"entries":[{"id":"1","value":{"type":"NOPE","data":1}}]}', 400, 400, None),
        (b'{"entries":[{"id":"1","value":{"type":"JSON"}}]}', 400, 400, None),
        (b'{"entries":[{"id":"1","partition_id":"x"}]}', 400, 400, None),
        (b'{"entries":[{"id":"1","timestamp":"yesterday"}]}', 400, 400, None),
        (b'{"entries":[{"id":"1","headers":[{"name":"h","value":"!"}]}]}', 400, 400, None),
        (b'{"entries":[' + b"[" * 100_000, 400, 400, None),
    ],
)
async def test_invalid_bodies(
    client: httpx.AsyncClient, cluster: str, topic: Any, body: bytes, status: int, code: int, message: str | None
) -> None:
    response = await client.post(f"{cluster}/topics/{await topic()}/records:batch", headers=JSON, content=body)
    assert (response.status_code, response.json()["error_code"]) == (status, code), response.text
    assert message in (None, response.json()["message"])
    assert "Traceback" not in response.text


async def test_ids_and_limits(client: httpx.AsyncClient, cluster: str, topic: Any) -> None:
    name = await topic()
    where = f"{cluster}/topics/{name}/records:batch"
    for id in ("", "a b", "ä", "x" * 81, "a.b", "a\n", 1, None, True, ["a"]):
        response = await client.post(where, json={"entries": [entry(id)]})
        expected = {"error_code": 42208, "message": "Batch entry identifier is not a valid string."}
        assert (response.status_code, response.json()) == (422, expected), id
    twice = await client.post(where, json={"entries": [entry("1"), entry("2"), entry("1")]})
    assert twice.json() == {"error_code": 42208, "message": "Batch entry IDs are not distinct."}
    many = await client.post(where, json={"entries": [entry(str(number)) for number in range(11)]})
    assert (many.status_code, many.json()) == (422, {"error_code": 42208, "message": "Too many entries in batch."})
    assert (await client.get(f"{cluster}/topics/{name}/partitions/0/offset")).json()["latest_offset"] == 0
    most = await client.post(where, json={"entries": [entry(str(number)) for number in range(10)]})
    assert [found["id"] for found in most.json()["successes"]] == [str(number) for number in range(10)]


async def test_the_id_of_another_cluster_is_echoed(client: httpx.AsyncClient, topic: Any) -> None:
    name = await topic()
    response = await client.post(f"/v3/clusters/nope/topics/{name}/records:batch", json={"entries": [entry("1")]})
    assert response.status_code == 207
    [found] = response.json()["successes"]
    assert (found["cluster_id"], found["topic_name"], found["offset"]) == ("nope", name, 0)
    long = f"/v3/clusters/{'x' * 250}/topics/{name}/records:batch"
    response = await client.post(long, json={"entries": [entry("1")]})
    assert (response.status_code, response.json()["error_code"]) == (404, 404)


async def test_the_limit_is_a_setting(gateway_factory: Any, topic: Any, stack: Any) -> None:
    gateway = await gateway_factory({"api.v3.produce.batch.maximum.entries": "2"})
    where = f"{gateway.rest}/v3/clusters/{stack.cluster_id}/topics/{await topic()}/records:batch"
    async with httpx.AsyncClient(timeout=20) as client:
        assert (await client.post(where, json={"entries": [entry("1"), entry("2")]})).status_code == 207
        assert (await client.post(where, json={"entries": [entry(str(n)) for n in range(3)]})).status_code == 422
