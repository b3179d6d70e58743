"""What callers get wrong, for each operation of v2: always the documented error, never a 500, never a hang.

The cases are made from the catalogue: the parameters of its paths, and right bodies that a case spoils in one place.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from conftest import TopicFactory
from kafka_facade.core.catalogue import OPERATIONS, Operation
from kafka_facade.rest.routing import Router
from rest.v2_operations import (
    JSON_SCHEMA,
    V2,
    V2_OPERATIONS,
    body,
    embedded_format,
    error,
    operation_name,
    parameters,
    path,
    send,
)

_ROOT = "api.v2.root.post"
_CREATE = "api.v2.consumers.create"
_COMMIT = "api.v2.consumers.commit-offsets"
_GET_COMMITTED = "api.v2.consumers.get-committed-offsets"
_SEEK = "api.v2.consumers.seek-to-offset"
_PRODUCE = [row for row in V2_OPERATIONS if "produce-to-" in row.identifier]
_READS = [row for row in V2_OPERATIONS if ".consume-" in row.identifier]
_OF_INSTANCES = [row for row in V2_OPERATIONS if "instance" in parameters(row)]
_WITH_BODY = [row for row in V2_OPERATIONS if body(row) is not None]
# Without a body these do something of their own.
_OPTIONAL = {_ROOT: (200, None), _CREATE: (200, None), _COMMIT: (404, 40403), _GET_COMMITTED: (404, 40403)}
_REQUIRED = {
    "api.v2.consumers.assign": ("partitions",),
    _COMMIT: ("offsets",),
    _GET_COMMITTED: ("partitions",),
    _SEEK: ("offsets",),
    "api.v2.consumers.seek-to-beginning": ("partitions",),
    "api.v2.consumers.seek-to-end": ("partitions",),
}
_NO_NUMBERS = ("x", "1.5", "1e3", "0x1", "2147483648", "-2147483649", "9" * 400, "%20", "%EF%BC%91", "true")
_router = Router(OPERATIONS)


@pytest.fixture
async def instance(client: httpx.AsyncClient) -> AsyncIterator[dict[str, str]]:
    """The path parameters of a JSON instance."""
    group = f"bad-{uuid.uuid4().hex[:12]}"
    settings = {"name": "i", "format": "json", "auto.offset.reset": "earliest", "consumer.request.timeout.ms": "10"}
    created = await client.post(f"/consumers/{group}", headers={"content-type": V2}, content=json.dumps(settings))
    assert created.status_code == 200
    yield {"group": group, "instance": "i"}
    await client.delete(f"/consumers/{group}/instances/i")


def _nodes(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield where
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _nodes(child, (*where, key))


def _at(value: Any, where: tuple[str | int, ...]) -> Any:
    for key in where:
        value = value[key]
    return value


def _with(value: Any, where: tuple[str | int, ...], replacement: Any) -> Any:
    if not where:
        return replacement
    changed = copy.deepcopy(value)
    _at(changed, where[:-1])[where[-1]] = replacement
    return changed


def _spoilt(operation: Operation) -> Iterator[tuple[Any, int]]:
    """Bodies that are invalid in one place, with the expected code."""
    right = body(operation)
    for where in _nodes(right):
        # Data may be any JSON, as far as its format goes.
        if any(name in ("key", "value") for name in where):
            continue
        value = _at(right, where)
        wrong: list[Any] = [5, "x", True] if isinstance(value, dict | list) else [[value], {"x": value}]
        if isinstance(value, dict):
            wrong.append([value])
        if isinstance(value, list):
            wrong += [{"x": value}, [None], [[]], ["x" if isinstance(value[0], dict) else {}]]
        if type(value) is int:
            wrong += ["x", 1.5, 10**30, True, *((2**63,) if where[-1] == "offset" else (2**31, -(2**31) - 1))]
        for replacement in wrong:
            yield _with(right, where, replacement), 400
        if isinstance(value, dict) and operation.identifier != _ROOT:
            yield _with(right, (*where, "bogus"), 1), 422


@pytest.mark.parametrize("operation", _OF_INSTANCES, ids=operation_name)
async def test_unknown_instances(client: httpx.AsyncClient, instance: dict[str, str], operation: Operation) -> None:
    for changed in (
        {"group": "no-such"},
        {"instance": "no-such"},
        {"instance": "I"},
        {"group": "x" * 300, "instance": "y" * 300},
        {"instance": "%00"},
        {"group": "a%2Fb%20%F0%9F%A6%8A"},
        {"instance": "%C2%A0"},
    ):
        response = await send(client, operation, path(operation, **instance | changed), body(operation))
        assert error(response) == (404, 40403), changed
        assert response.json()["message"] == "Consumer instance not found."
    not_utf8 = await send(client, operation, path(operation, **instance | {"instance": "%FF"}), body(operation))
    assert error(not_utf8)[0] == 400


@pytest.mark.parametrize(
    "operation", [row for row in V2_OPERATIONS if "partition" in parameters(row)], ids=operation_name
)
async def test_unknown_partitions(client: httpx.AsyncClient, topic: TopicFactory, operation: Operation) -> None:
    name = await topic()
    sent = body(operation, name)
    if sent is not None:
        del sent["records"][0]["partition"]
    for partition in ("1", "4242", "-1", "-2147483648", "2147483647"):
        response = await send(client, operation, path(operation, topic=name, partition=partition), sent)
        assert error(response) == (404, 40402), partition
    for partition in _NO_NUMBERS:
        response = await send(client, operation, path(operation, topic=name, partition=partition), sent)
        assert error(response) == (404, 404), partition
    assert (await client.get(f"/topics/{name}/partitions/0/offsets")).json()["end_offset"] == 0


@pytest.mark.parametrize("operation", [row for row in V2_OPERATIONS if "topic" in parameters(row)], ids=operation_name)
async def test_unknown_topics(client: httpx.AsyncClient, operation: Operation) -> None:
    sent = body(operation)
    for name in ("%2F", "a%20b", "%F0%9F%A6%8A", "x" * 250, "a%00b", "%C3%A9"):
        response = await send(client, operation, path(operation, topic=name), sent)
        if operation in _PRODUCE:
            # As in the official proxy, each record has the error.
            assert response.status_code == 200, name
            [outcome] = response.json()["offsets"]
            assert (outcome["partition"], outcome["offset"], outcome["error_code"]) == (None, None, 1)
            assert outcome["error"]
        else:
            assert error(response) == (400, 40002), name
    if operation not in _PRODUCE:
        for name in ("not-there", "-", "x" * 249):
            response = await send(client, operation, path(operation, topic=name))
            assert error(response) == (404, 40401), name
            assert response.json()["message"] == "Topic not found."


@pytest.mark.parametrize("operation", [row for row in V2_OPERATIONS if row.method == "GET"], ids=operation_name)
async def test_unknown_query_parameters_are_ignored(client: httpx.AsyncClient, operation: Operation) -> None:
    url = path(operation)
    expected = (await send(client, operation, url)).status_code
    for query in ("bogus=1", "bogus", "=", "&&&", "%zz=%zz", "timeouts=x"):
        assert (await send(client, operation, f"{url}?{query}")).status_code == expected, query
    assert (await send(client, operation, f"{url}?{'a=1&' * 1500}")).status_code in (400, expected)


@pytest.mark.parametrize("operation", _READS, ids=operation_name)
async def test_query_parameters_of_reads(client: httpx.AsyncClient, operation: Operation) -> None:
    for name in ("timeout", "max_bytes"):
        for value in ("x", "", "1.5", "%201", "1e3", "9" * 25, "%EF%BC%91", "true"):
            response = await send(client, operation, f"{path(operation)}?{name}={value}")
            assert error(response) == (404, 404), (name, value)
        for value in ("0", "-1", "%2B5", "9223372036854775807", "-9223372036854775808"):
            response = await send(client, operation, f"{path(operation)}?{name}={value}")
            assert error(response) == (404, 40403), (name, value)


@pytest.mark.parametrize("operation", _WITH_BODY, ids=operation_name)
async def test_bodies_that_are_not_json(client: httpx.AsyncClient, operation: Operation) -> None:
    url = path(operation)
    for content in (b"", b"  \r\n", b"null", b" null "):
        response = await send(client, operation, url, content)
        status, code = _OPTIONAL.get(operation.identifier, (422, 422))
        if code is not None:
            assert error(response) == (status, code), content
        assert response.status_code == status
        if operation.identifier == _CREATE:
            assert (await client.delete(httpx.URL(response.json()["base_uri"]).path)).status_code == 204
    for content in (
        b"{bad",
        b"{",
        b"\xff\xfe{\x00}\x00",
        b"[" * 50_000,
        b"\x1f\x8b\x08\x00",
        b"{'a':1}",
        b"NaN",
        b"5",
        b'"x"',
        b"true",
        b"[]",
        b"[{}]",
    ):
        assert error(await send(client, operation, url, content)) == (400, 400), content[:20]
    # Of two faults the first one is named.
    for content in (b'{"a":1}}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":' * 50_000):
        assert error(await send(client, operation, url, content)) in ((400, 400), (422, 422)), content[:20]


@pytest.mark.parametrize("operation", _WITH_BODY, ids=operation_name)
async def test_bodies_of_the_wrong_shape(client: httpx.AsyncClient, operation: Operation) -> None:
    for changed, expected in _spoilt(operation):
        assert error(await send(client, operation, path(operation), changed)) == (expected, expected), changed


@pytest.mark.parametrize("operation", _WITH_BODY, ids=operation_name)
async def test_members_that_are_required(
    client: httpx.AsyncClient, instance: dict[str, str], operation: Operation
) -> None:
    right = body(operation)
    for name in _REQUIRED.get(operation.identifier, ()):
        url = path(operation, **instance)
        cases: list[tuple[dict[str, Any], int]] = []
        if operation.identifier != _SEEK:
            cases += [({}, 400), ({name: None}, 400)]
        for member in right[name][0]:
            rest = {key: value for key, value in right[name][0].items() if key != member}
            cases += [({name: [rest]}, 400), ({name: [rest | {member: None}]}, 400)]
        for changed, expected in cases:
            assert error(await send(client, operation, url, changed)) == (expected, expected), changed


@pytest.mark.parametrize("operation", _PRODUCE, ids=operation_name)
async def test_records_that_are_required(client: httpx.AsyncClient, operation: Operation) -> None:
    url = path(operation)
    changes: list[dict[str, Any]] = [{}, {"records": None}, {"records": []}, body(operation) | {"records": []}]
    for changed in changes:
        assert error(await send(client, operation, url, changed)) == (422, 422), changed


@pytest.mark.parametrize(
    "operation",
    [row for row in V2_OPERATIONS if {"partitions", "offsets"} & set(body(row) or ()) and row in _OF_INSTANCES],
    ids=operation_name,
)
async def test_invalid_positions(client: httpx.AsyncClient, instance: dict[str, str], operation: Operation) -> None:
    """Unknown topics, partitions and offsets."""
    url = path(operation, **instance)
    [(name, [right])] = body(operation).items()
    for changed, expected in (
        ({"topic": "a b"}, 40002),
        ({"topic": ""}, 40002),
        ({"topic": "x" * 250}, 40002),
        ({"topic": "a\u0000b"}, 40002),
        ({"partition": -1}, 400),
        ({"partition": -(2**31)}, 400),
        *(((({"offset": -1}, 400)), ({"offset": 2**63 - 1}, 400)) if "offset" in right else ()),
    ):
        response = await send(client, operation, url, {name: [right, right | changed]})
        assert error(response) == (400, expected), changed


@pytest.mark.parametrize("operation", [row for row in V2_OPERATIONS if row.identifier == _CREATE], ids=operation_name)
async def test_invalid_settings(client: httpx.AsyncClient, operation: Operation) -> None:
    for name, values in {
        "format": ("nope", "", "string", "json "),
        "auto.offset.reset": ("nope", "Latest", 5, True, "by_duration:P1D"),
        "auto.commit.enable": ("maybe", 1, "yes", ""),
        "fetch.min.bytes": ("-2", -2, 10_000_001, "x", "", 1.5, True),
        "responseMinBytes": ("-2", 10_000_001, "x"),
        "consumer.request.timeout.ms": ("-1", -1, 2**31, "x", "", 1.5),
        "requestWaitMs": ("-1", 2**31, "x"),
        "name": ("", "a\u0000b", "a\nb"),
        "id": ("", "\u007f"),
    }.items():
        for value in values:
            response = await send(client, operation, path(operation), {name: value})
            assert error(response) == (422, 42204), (name, value)
            assert response.json()["message"].startswith("Invalid consumer configuration: ")
    for group in ("%00", "a%0Ab", "%7F"):
        assert error(await send(client, operation, path(operation, group=group), {})) == (422, 42204), group


@pytest.mark.parametrize(
    "operation", [row for row in V2_OPERATIONS if row.identifier.endswith(".subscribe")], ids=operation_name
)
async def test_invalid_subscriptions(client: httpx.AsyncClient, instance: dict[str, str], operation: Operation) -> None:
    url = path(operation, **instance)
    for changed, expected in (
        ({"topics": ["a"], "topic_pattern": "b"}, (409, 40903)),
        ({"topic_pattern": "("}, (400, 400)),
        ({"topic_pattern": "(?=x)"}, (400, 400)),
        ({"topic_pattern": "a{1001}{1001}"}, (400, 400)),
        ({"topic_pattern": 5}, (400, 400)),
        ({"topics": [5]}, (400, 400)),
    ):
        assert error(await send(client, operation, url, changed)) == expected, changed
    empty: list[dict[str, Any]] = [{}, {"topics": None}, {"topics": []}]
    for nothing in empty:
        response = await send(client, operation, url, nothing)
        assert (response.status_code, response.content) == (204, b"")
    assert (await client.get(url)).json() == {"topics": []}


@pytest.mark.parametrize(
    "operation", [row for row in _PRODUCE if embedded_format(row) not in ("binary", "json")], ids=operation_name
)
async def test_invalid_schemas(client: httpx.AsyncClient, topic: TopicFactory, operation: Operation) -> None:
    """The errors of schemas in each format; none of the requests produces a record."""
    name = await topic()
    url = path(operation, topic=name)
    right: Any = body(operation, name)
    broken = {"avro": '{"type":"nonsense"}', "json-schema": '{"type":5}', "protobuf": "message {"}
    format = embedded_format(operation) or ""
    other = JSON_SCHEMA if format != "json-schema" else '{"type":'
    [record] = right["records"]
    without_key = {key: value for key, value in right.items() if key != "key_schema"}
    without_value = {key: value for key, value in right.items() if key != "value_schema"}
    cases: list[tuple[Any, tuple[int, int]]] = [
        (without_key, (422, 42201)),
        (without_value, (422, 42202)),
        (right | {"value_schema": broken[format]}, (422, 42205)),
        (right | {"key_schema": broken[format]}, (422, 42205)),
        (right | {"value_schema": other}, (422, 42205)),
        (right | {"value_schema": ""}, (422, 42205)),
        (right | {"value_schema_id": 1}, (400, 400)),
        (without_value | {"value_schema_id": 2**31 - 1}, (408, 40801)),
        (without_value | {"value_schema_id": -1}, (408, 40801)),
        (without_key | {"key_schema_id": 0}, (408, 40801)),
        (right | {"records": [record, {"key": record["key"], "value": {"bogus": 1}}]}, (400, 400)),
        (right | {"records": [{"key": 5, "value": record["value"]}]}, (400, 400)),
        (right | {"records": [record | {"partition": 1}]}, (404, 40402)),
    ]
    for sent, expected in cases:
        assert error(await send(client, operation, url, sent)) == expected, sent
    assert (await client.get(f"/topics/{name}/partitions/0/offsets")).json()["end_offset"] == 0


@pytest.mark.parametrize(
    "operation", [row for row in _PRODUCE if embedded_format(row) in ("binary", "json")], ids=operation_name
)
async def test_invalid_records(client: httpx.AsyncClient, topic: TopicFactory, operation: Operation) -> None:
    name = await topic()
    url = path(operation, topic=name)
    right: Any = body(operation, name)
    [record] = right["records"]
    cases: list[tuple[Any, tuple[int, int]]] = [
        ([record, record | {"partition": 1}], (404, 40402)),
        ([record, record | {"partition": -1}], (404, 40402)),
        ([record, record | {"headers": []}], (422, 422)),
        ([record, record | {"timestamp": 1}], (422, 422)),
        ([record, None], (400, 400)),
    ]
    if embedded_format(operation) == "binary":
        bad: tuple[Any, ...] = ("a", "a===", "not base64!", "aGk=\n", 5, 1.5, True, {}, [], "é")
        cases += [([record, {where: value}], (400, 400)) for where in ("key", "value") for value in bad]
    for records, expected in cases:
        assert error(await send(client, operation, url, {"records": records})) == expected, records
    assert (await client.get(f"/topics/{name}/partitions/0/offsets")).json()["end_offset"] == 0


@pytest.mark.parametrize("url", sorted({row.path for row in V2_OPERATIONS}))
async def test_unsupported_methods(client: httpx.AsyncClient, url: str) -> None:
    url = path(next(row for row in V2_OPERATIONS if row.path == url))
    there = {method for match in _router.find(url) for method in match.endpoint.operations}
    options = await client.request("OPTIONS", url)
    assert options.status_code == 200
    headed = "GET" in there and not url.endswith("/records")
    assert set(options.headers["allow"].split(",")) == there | {"OPTIONS"} | ({"HEAD"} if headed else set())
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - there:
        response = await client.request(method, url)
        if method == "HEAD":
            assert response.content == b""
            assert headed or response.status_code == 405
            continue
        assert error(response) == (405, 405), method
        assert response.headers["allow"] == options.headers["allow"]


HEADED = [row for row in V2_OPERATIONS if row.method == "GET" and not row.path.endswith("/records")]


@pytest.mark.parametrize("operation", HEADED, ids=operation_name)
async def test_head_is_get_without_a_body(client: httpx.AsyncClient, operation: Operation) -> None:
    url = path(operation)
    response, head = await client.get(url), await client.head(url)
    assert (head.status_code, head.content) == (response.status_code, b"")
    assert head.headers["content-type"] == response.headers["content-type"]


async def test_bodies_that_are_too_long(gateway_factory: Any) -> None:
    gateway = await gateway_factory({"max.request.body.size": "2048"})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        for operation in _WITH_BODY:
            response = await send(client, operation, path(operation), b'{"bogus":"' + b"x" * 4096 + b'"}')
            assert error(response) == (413, 413), operation.identifier
