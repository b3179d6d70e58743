"""What callers get wrong, for each operation of v3 that is served: always the documented error, never a 500.

The cases are made from the catalogue: the parameters of its paths, and the bodies below, which are right until a case
spoils them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from conftest import TopicFactory
from kafka_facade.core.catalogue import OPERATIONS, Operation
from kafka_facade.core.core import IMPLEMENTED
from kafka_facade.rest.routing import Router

_JSON = {"content-type": "application/json"}
_CONFIGS = {"data": [{"name": "compression.type", "value": "gzip", "operation": "SET"}], "validate_only": True}
_RULE = {
    "resource_type": "TOPIC",
    "resource_name": "bad-input",
    "pattern_type": "LITERAL",
    "principal": "User:nobody",
    "host": "*",
    "operation": "READ",
    "permission": "ALLOW",
}
_EXCLUSIONS = {"data": [{"broker_id": 4242, "reason": "because"}]}
_BODIES: dict[str, Any] = {
    "api.v3.acls.batch-create": {"data": [_RULE]},
    "api.v3.acls.create": _RULE,
    "api.v3.batch-produce.produce-to-topic": {"entries": [{"id": "1", "value": {"type": "JSON", "data": 1}}]},
    "api.v3.broker-configs.alter": _CONFIGS,
    "api.v3.broker-configs.update": {"value": "gzip"},
    "api.v3.broker-replica-exclusions.create": _EXCLUSIONS,
    "api.v3.broker-replica-exclusions.delete": _EXCLUSIONS,
    "api.v3.brokers.delete-batch": {"broker_ids": [4242]},
    "api.v3.cluster-configs.alter": _CONFIGS,
    "api.v3.cluster-configs.update": {"value": "gzip"},
    "api.v3.produce.produce-to-topic": {"value": {"type": "JSON", "data": 1}},
    "api.v3.topic-configs.alter": _CONFIGS,
    "api.v3.topic-configs.alter-multi": {
        "data": [{"topic_name": "not-there", "configs": [{"name": "compression.type", "value": "gzip"}]}],
        "validate_only": True,
    },
    "api.v3.topic-configs.update": {"value": "gzip"},
    "api.v3.topics.create": {
        "topic_name": "bad-input",
        "partitions_count": 1,
        "replication_factor": 1,
        "configs": [{"name": "cleanup.policy", "value": "compact"}],
        "validate_only": True,
    },
    "api.v3.topics.partitions": {"partitions_count": 2},
}
_REQUIRED: dict[str, tuple[str, ...]] = {
    "api.v3.acls.batch-create": ("data",),
    "api.v3.acls.create": tuple(_RULE),
    "api.v3.broker-configs.alter": ("data",),
    "api.v3.broker-replica-exclusions.create": ("data",),
    "api.v3.broker-replica-exclusions.delete": ("data",),
    "api.v3.brokers.delete-batch": ("broker_ids",),
    "api.v3.cluster-configs.alter": ("data",),
    "api.v3.topic-configs.alter": ("data",),
    "api.v3.topic-configs.alter-multi": ("data",),
    "api.v3.topics.create": ("topic_name",),
    "api.v3.topics.partitions": ("partitions_count",),
}
# An empty batch is a payload error.
_MISSING = {"api.v3.acls.batch-create": (422, 42206)}
# Without a whole filter nothing is deleted.
_QUERIES = {"api.v3.acls.delete": urlencode(_RULE)}
# An unknown topic has no reassignments.
_LISTS_NOTHING = ("api.v3.partition-reassignments.search-by-topic",)
# The topic need not exist.
_OF_NEW_TOPICS = ("api.v3.topic-default-configs.list",)
_WITHOUT_BODY = ("api.v3.brokers.unregister",)
_NUMBERS = ("broker_id", "partition_id")
# Their errors are in the documents of the answer, record by record.
_STREAMS = "api.v3.produce.produce-to-topic"
_BATCHES = "api.v3.batch-produce.produce-to-topic"
# Where brokers create topics, a topic that is not there is not an error.
_CREATING = (_STREAMS, _BATCHES)

_OPERATIONS = [row for row in OPERATIONS if row.identifier.startswith("api.v3.")]
_SERVED = [row for row in _OPERATIONS if row.identifier in IMPLEMENTED]
_WITH_BODY = [row for row in _SERVED if row.method in ("POST", "PUT", "PATCH") and row.identifier not in _WITHOUT_BODY]
_router = Router(OPERATIONS)


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _parameters(operation: Operation) -> list[str]:
    return re.findall(r"\{(\w+)\}", operation.path)


def _path(operation: Operation, cluster: str, **values: str) -> str:
    """A path whose parameters are right in form, but for those that are given."""
    usual = {name: "0" if name in _NUMBERS else "no-such" for name in _parameters(operation)}
    path = operation.path.format_map(usual | {"cluster_id": cluster.rpartition("/")[2]} | values)
    query = _QUERIES.get(operation.identifier)
    return f"{path}?{query}" if query else path


def _error(response: httpx.Response) -> tuple[int, int]:
    """The status and code of an error, after a check of its form."""
    body = response.json()
    assert list(body) == ["error_code", "message"], response.text
    assert body["message"]
    assert "Traceback" not in response.text
    return response.status_code, body["error_code"]


async def _send(client: httpx.AsyncClient, operation: Operation, path: str, body: Any = None) -> httpx.Response:
    headers, content = ({}, None) if body is None else (_JSON, json.dumps(body).encode())
    return await client.request(operation.method, path, headers=headers, content=content)


def _nodes(body: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    children = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in children:
        yield from _nodes(value, (*path, key))


def _at(body: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        body = body[key]
    return body


def _spoilt(operation: Operation) -> Iterator[tuple[Any, int]]:
    """Bodies that are invalid in one place, with the expected code."""
    body = _BODIES[operation.identifier]
    for path in _nodes(body):
        # Data may be any JSON; the errors of a batch's entries are in its answer.
        if (path[-1:] == ("data",) and len(path) > 1) or (operation.identifier == _BATCHES and len(path) > 1):
            continue
        value = _at(body, path)
        wrong: list[Any] = [5, "x"] if isinstance(value, dict | list) else [[value], {"x": value}]
        if type(value) is int:
            wrong += ["x", 1.5, 2**31, -(2**31) - 1, 10**30]
        if type(value) is bool:
            wrong += ["x", 5]
        for replacement in wrong:
            if not path:
                yield replacement, 400
                continue
            changed = copy.deepcopy(body)
            _at(changed, path[:-1])[path[-1]] = replacement
            yield changed, 400
        if isinstance(value, dict):
            changed = copy.deepcopy(body)
            _at(changed, path)["bogus"] = 1
            yield changed, 422


@pytest.mark.parametrize("operation", _SERVED, ids=_name)
async def test_another_cluster(client: httpx.AsyncClient, operation: Operation) -> None:
    # What produces answers with the id that it was given.
    if "cluster_id" not in _parameters(operation) or operation.identifier in _CREATING:
        return
    response = await _send(client, operation, _path(operation, "nope"), _BODIES.get(operation.identifier))
    assert _error(response) == (404, 404)


@pytest.mark.parametrize("operation", _SERVED, ids=_name)
async def test_invalid_numbers_in_paths(client: httpx.AsyncClient, cluster: str, operation: Operation) -> None:
    for name in set(_NUMBERS) & set(_parameters(operation)):
        for value in ("x", "1.5", "1e3", "0x1", "2147483648", "-2147483649", "9" * 400, "%20", "%EF%BC%91", "true"):
            path = _path(operation, cluster, **{name: value})
            assert _error(await _send(client, operation, path, _BODIES.get(operation.identifier))) == (400, 400), path


@pytest.mark.parametrize("operation", _SERVED, ids=_name)
async def test_unknown_resources(
    client: httpx.AsyncClient, cluster: str, topic: TopicFactory, operation: Operation
) -> None:
    there = {"topic_name": await topic(), "partition_id": "0", "broker_id": "1", "name": "compression.type"}
    there["task_type"] = "remove-broker"
    body = _BODIES.get(operation.identifier)
    for name in _parameters(operation):
        needless = _CREATING + _LISTS_NOTHING + _OF_NEW_TOPICS
        if name == "cluster_id" or (name == "topic_name" and operation.identifier in needless):
            continue
        for missing in ("4242", "-7") if name in _NUMBERS else ("not-there", "-", "a%20b", "%F0%9F%A6%8A", "x" * 300):
            path = _path(operation, cluster, **there | {name: missing})
            if len(_router.find(path.partition("?")[0])) > 1 and missing == "-":
                continue
            status, code = _error(await _send(client, operation, path, body))
            possible = {"topic_name": (400, 40002), "task_type": (400, 400)}.get(name)
            assert status == 404 or (status, code) == possible, (path, status, code)


@pytest.mark.parametrize("operation", [row for row in _SERVED if row.method == "GET"], ids=_name)
async def test_unknown_query_parameters_are_ignored(
    client: httpx.AsyncClient, cluster: str, operation: Operation
) -> None:
    path = _path(operation, cluster)
    expected = (await client.get(path)).status_code
    for query in ("bogus=1", "bogus", "=", "&&&", "%zz=%zz", "page_size=x", "include_authorized_operations=maybe"):
        assert (await client.get(f"{path}?{query}")).status_code == expected, query
    assert (await client.get(f"{path}?{'a=1&' * 1500}")).status_code in (400, expected)


@pytest.mark.parametrize("operation", _WITH_BODY, ids=_name)
async def test_bodies_that_are_not_json(client: httpx.AsyncClient, cluster: str, operation: Operation) -> None:
    if operation.identifier == _STREAMS:
        return
    path = _path(operation, cluster)
    for body, expected in (
        (b"", (422, 42206)),
        (b"  \r\n", (422, 42206)),
        (b"null", (422, 42206)),
        (b"{bad", (400, 400)),
        (b"{", (400, 400)),
        (b'{"a":1}}', (400, 400)),
        (b"\xff\xfe{\x00}\x00", (400, 400)),
        (b'{"a":"\xff"}', (400, 400)),
        (b"[" * 50_000, (400, 400)),
        (b'{"a":' * 50_000, (400, 400)),
        (b"\x1f\x8b\x08\x00", (400, 400)),
    ):
        response = await client.request(operation.method, path, headers=_JSON, content=body)
        assert _error(response) in (expected, (422, 422)) if body[:5] == b'{"a":' else (expected,), body[:20]


@pytest.mark.parametrize("operation", _WITH_BODY, ids=_name)
async def test_bodies_of_the_wrong_shape(client: httpx.AsyncClient, cluster: str, operation: Operation) -> None:
    path = _path(operation, cluster)
    for body, expected in _spoilt(operation):
        response = await _send(client, operation, path, body)
        if operation.identifier == _STREAMS:
            assert (response.status_code, response.json()["error_code"]) == (200, 400), body
            continue
        assert _error(response) == (expected, expected), body


@pytest.mark.parametrize("operation", _WITH_BODY, ids=_name)
async def test_members_that_are_required(client: httpx.AsyncClient, cluster: str, operation: Operation) -> None:
    body = _BODIES[operation.identifier]
    for name in _REQUIRED.get(operation.identifier, ()):
        for changed in ({key: value for key, value in body.items() if key != name}, body | {name: None}):
            expected = _MISSING.get(operation.identifier, (400, 400))
            assert _error(await _send(client, operation, _path(operation, cluster), changed)) == expected, changed


@pytest.mark.parametrize("operation", _WITH_BODY, ids=_name)
async def test_unsupported_content_types(client: httpx.AsyncClient, cluster: str, operation: Operation) -> None:
    for content_type in ("text/plain", "application/xml", "text/plain; charset=utf-8", "json", "", "a/b/c"):
        headers = {"content-type": content_type}
        response = await client.request(operation.method, _path(operation, cluster), headers=headers, content=b"{}")
        assert _error(response) == (415, 415), content_type


@pytest.mark.parametrize("operation", _WITH_BODY, ids=_name)
async def test_unsupported_charsets(client: httpx.AsyncClient, cluster: str, operation: Operation) -> None:
    for charset in ("utf-16", "windows-1252", "iso-8859-15", "x" * 4000):
        headers = {"content-type": f"application/json; charset={charset}"}
        response = await client.request(operation.method, _path(operation, cluster), headers=headers, content=b"{}")
        assert _error(response) == (400, 400), charset
        assert response.json()["message"] == "The charset in Content-Type must be UTF-8 or ISO-8859-1."


@pytest.mark.parametrize("operation", _OPERATIONS, ids=_name)
async def test_unsupported_accept_headers(client: httpx.AsyncClient, cluster: str, operation: Operation) -> None:
    for accept in ("text/html", "application/vnd.kafka.v2+json", "application/json;q=0", "nonsense"):
        headers = {"accept": accept, "content-type": "application/json"}
        response = await client.request(operation.method, _path(operation, cluster), headers=headers, content=b"{}")
        assert _error(response) == (406, 406), accept


@pytest.mark.parametrize("path", sorted({row.path for row in _OPERATIONS}))
async def test_unsupported_methods(client: httpx.AsyncClient, cluster: str, path: str) -> None:
    operation = next(row for row in _OPERATIONS if row.path == path)
    url = _path(operation, cluster)
    there = {method for match in _router.find(url.partition("?")[0]) for method in match.endpoint.operations}
    options = await client.request("OPTIONS", url)
    assert options.status_code == 200
    assert set(options.headers["allow"].split(",")) == there | {"OPTIONS"} | ({"HEAD"} if "GET" in there else set())
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - there:
        response = await client.request(method, url)
        if method == "HEAD":
            assert response.content == b""
            assert "GET" in there or response.status_code == 405
            continue
        assert _error(response) == (405, 405), method
        assert response.headers["allow"] == options.headers["allow"]


@pytest.mark.parametrize("operation", [row for row in _SERVED if row.method == "GET"], ids=_name)
async def test_head_is_get_without_a_body(client: httpx.AsyncClient, cluster: str, operation: Operation) -> None:
    path = _path(operation, cluster)
    response, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (response.status_code, b"")
    assert head.headers["content-type"] == response.headers["content-type"]


async def test_bodies_that_are_too_long(gateway_factory: Any, cluster: str) -> None:
    gateway = await gateway_factory({"max.request.body.size": "2048"})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        for operation in _WITH_BODY:
            body = b'{"bogus":"' + b"x" * 4096 + b'"}'
            path = _path(operation, cluster)
            response = await client.request(operation.method, path, headers=_JSON, content=body)
            streamed = operation.identifier == _STREAMS
            assert _error(response) == ((200, 413) if streamed else (413, 413)), operation.identifier


async def test_a_number_that_is_too_long_is_named(client: httpx.AsyncClient, cluster: str, topic: TopicFactory) -> None:
    body = b'{"partition_id": ' + b"9" * 4_000_000 + b"}"
    answer = await client.post(f"{cluster}/topics/{await topic()}/records", content=body, headers=_JSON)
    [error] = [json.loads(line) for line in answer.text.splitlines()]
    assert (error["error_code"], error["message"]) == (400, "The number is out of range (at partition_id).")
