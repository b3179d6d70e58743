"""The errors of v2: each cause with its codes, its operations, and a request that causes it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
from confluent_kafka.admin import AclOperation, ResourceType

from conftest import TopicFactory
from denial import denied
from kafka_facade.core.catalogue import Operation
from kafka_facade_devstack.background import BackgroundStack
from rest.v2_operations import (
    FORMATS,
    V2,
    V2_OPERATIONS,
    body,
    embedded_format,
    media_type,
    parameters,
    path,
    send,
)


@dataclass(slots=True)
class Trial:
    """An operation to call and its gateways. ``limited`` has low limits, ``blocked`` has v2 disabled."""

    operation: Operation
    client: httpx.AsyncClient
    limited: httpx.AsyncClient
    blocked: httpx.AsyncClient
    stack: BackgroundStack
    topic: TopicFactory

    async def call(self, content: Any = None, url: str | None = None, **how: Any) -> httpx.Response:
        """Call the operation, by default with a valid request about unknown resources."""
        usual = body(self.operation) if content is None else content
        return await send(self.client, self.operation, url or path(self.operation), usual, **how)

    async def instance(self, format: str = "json", reset: str = "earliest") -> dict[str, str]:
        """The path parameters of a new consumer instance."""
        group = f"e-{uuid.uuid4().hex[:12]}"
        settings = {"name": "i", "format": format, "auto.offset.reset": reset, "consumer.request.timeout.ms": 5000}
        content = json.dumps(settings | {"fetch.min.bytes": 0})
        created = await self.client.post(f"/consumers/{group}", headers={"content-type": V2}, content=content)
        assert created.status_code == 200, created.text
        return {"group": group, "instance": "i"}

    async def post(self, where: dict[str, str], what: str, content: Any) -> None:
        """Send a POST request to an instance."""
        url = f"/consumers/{where['group']}/instances/{where['instance']}/{what}"
        response = await self.client.post(url, headers={"content-type": V2}, content=json.dumps(content))
        assert response.status_code in (200, 204), response.text


Provoke = Callable[[Trial], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of an error. ``code`` is that of the body, or that of a record if ``status`` is 200."""

    name: str
    status: int
    code: int
    applies: Callable[[Operation], bool]
    provoke: Provoke


def _last(*names: str) -> Callable[[Operation], bool]:
    return lambda row: row.identifier.rpartition(".")[2] in names


def _with_body(row: Operation) -> bool:
    return row.method == "POST"


def _takes_json(row: Operation) -> bool:
    return body(row) is not None


def _of_instances(row: Operation) -> bool:
    return "instance" in parameters(row)


def _produces(row: Operation) -> bool:
    return ".produce-to-" in row.identifier


def _reads(row: Operation) -> bool:
    return ".consume-" in row.identifier


def _has_schemas(row: Operation) -> bool:
    return _produces(row) and embedded_format(row) not in ("binary", "json")


def _describes(row: Operation) -> bool:
    return "topic" in parameters(row) and not _produces(row)


def _of_partitions(row: Operation) -> bool:
    return "partition" in parameters(row)


_sees_places = _last(
    "assign", "commit-offsets", "get-committed-offsets", "seek-to-offset", "seek-to-beginning", "seek-to-end"
)
_seeks = _last("seek-to-offset", "seek-to-beginning", "seek-to-end")


async def _unacceptable(trial: Trial) -> httpx.Response:
    return await trial.call(accept="text/html")


async def _unsupported(trial: Trial) -> httpx.Response:
    return await trial.call(content_type="text/plain")


async def _blocked(trial: Trial) -> httpx.Response:
    return await send(trial.blocked, trial.operation, path(trial.operation), body(trial.operation))


async def _malformed(trial: Trial) -> httpx.Response:
    return await trial.call(b"{bad")


async def _unknown_member(trial: Trial) -> httpx.Response:
    return await trial.call(body(trial.operation) | {"bogus": 1})


async def _no_body(trial: Trial) -> httpx.Response:
    return await trial.call(b"")


async def _no_records(trial: Trial) -> httpx.Response:
    return await trial.call({"records": []})


async def _too_large(trial: Trial) -> httpx.Response:
    return await send(trial.limited, trial.operation, path(trial.operation), b" " * 4096)


async def _no_number(trial: Trial) -> httpx.Response:
    return await trial.call(url=path(trial.operation, topic=await trial.topic(), partition="x"))


async def _query(trial: Trial) -> httpx.Response:
    return await trial.call(url=f"{path(trial.operation)}?timeout=soon")


async def _no_topic(trial: Trial) -> httpx.Response:
    return await trial.call()


async def _no_partition(trial: Trial) -> httpx.Response:
    name = await trial.topic()
    request = body(trial.operation, name)
    if request is not None:
        request["records"][0]["partition"] = 7
    return await trial.call(request, path(trial.operation, topic=name, partition="7"))


async def _no_partition_to_commit(trial: Trial) -> httpx.Response:
    request: Any = {"partitions": []}
    if trial.operation.method == "POST":
        request = {"offsets": [{"topic": await trial.topic(), "partition": 7, "offset": 0}]}
    return await trial.call(request, path(trial.operation, **await trial.instance()))


async def _illegal_topic(trial: Trial) -> httpx.Response:
    url = path(trial.operation, topic="a%20b")
    if _of_instances(trial.operation):
        url = path(trial.operation, **await trial.instance())
    return await trial.call(body(trial.operation, "a b"), url)


async def _no_instance(trial: Trial) -> httpx.Response:
    return await trial.call()


async def _another_format(trial: Trial) -> httpx.Response:
    other = "json" if embedded_format(trial.operation) != "json" else "binary"
    return await trial.call(url=path(trial.operation, **await trial.instance(other)))


async def _read(trial: Trial, name: str) -> httpx.Response:
    """Read a topic's first partition by an instance of the operation's format."""
    where = await trial.instance(FORMATS[embedded_format(trial.operation) or "json"])
    await trial.post(where, "assignments", {"partitions": [{"topic": name, "partition": 0}]})
    return await trial.call(url=path(trial.operation, **where))


async def _undecodable(trial: Trial) -> httpx.Response:
    name = await trial.topic()
    headers = {"content-type": media_type("binary")}
    await trial.client.post(f"/topics/{name}", headers=headers, content=b'{"records":[{"value":"/w=="}]}')
    return await _read(trial, name)


async def _exists(trial: Trial) -> httpx.Response:
    where = await trial.instance()
    return await trial.call({"name": where["instance"]}, path(trial.operation, group=where["group"]))


async def _too_many(trial: Trial) -> httpx.Response:
    for _ in range(2):
        response = await send(trial.limited, trial.operation, path(trial.operation), {})
    return response


async def _illegal_state(trial: Trial) -> httpx.Response:
    where, name = await trial.instance(FORMATS[embedded_format(trial.operation) or "json"]), await trial.topic()
    if _last("assign")(trial.operation):
        await trial.post(where, "subscription", {"topics": [name]})
    elif _last("subscribe")(trial.operation):
        await trial.post(where, "assignments", {"partitions": [{"topic": name, "partition": 0}]})
    return await trial.call(body(trial.operation, name), path(trial.operation, **where))


async def _bad_setting(trial: Trial) -> httpx.Response:
    return await trial.call({"auto.offset.reset": "middle"})


async def _bad_pattern(trial: Trial) -> httpx.Response:
    return await trial.call({"topic_pattern": "("}, path(trial.operation, **await trial.instance()))


async def _with_schemas(trial: Trial, **changes: Any) -> httpx.Response:
    name = await trial.topic()
    request = body(trial.operation, name) | changes
    request = {member: value for member, value in request.items() if value is not None}
    return await trial.call(request, path(trial.operation, topic=name))


async def _no_key_schema(trial: Trial) -> httpx.Response:
    return await _with_schemas(trial, key_schema=None)


async def _no_value_schema(trial: Trial) -> httpx.Response:
    return await _with_schemas(trial, value_schema=None)


async def _bad_schema(trial: Trial) -> httpx.Response:
    return await _with_schemas(trial, value_schema="{")


async def _unknown_schema(trial: Trial) -> httpx.Response:
    return await _with_schemas(trial, value_schema=None, value_schema_id=2**31 - 1)


async def _not_of_the_format(trial: Trial) -> httpx.Response:
    return await _with_schemas(trial, records=[{"value": {"bogus": 5}}])


async def _too_large_a_record(trial: Trial) -> httpx.Response:
    name = await trial.topic(config={"max.message.bytes": "100"})
    [record] = body(trial.operation)["records"]
    large = json.loads(json.dumps(record).replace("hi", "hi" * 100).replace("aGk=", "aGlp" * 100))
    return await trial.call(body(trial.operation) | {"records": [large]}, path(trial.operation, topic=name))


async def _forbidden(trial: Trial) -> httpx.Response:
    name = await trial.topic()
    where = await trial.instance() if _of_instances(trial.operation) and not _reads(trial.operation) else {}
    async with denied(trial.stack, (ResourceType.TOPIC, name, AclOperation.ALL)):
        if _reads(trial.operation):
            return await _read(trial, name)
        values = where or {"topic": name}
        return await trial.call(body(trial.operation, name), path(trial.operation, **values))


def _any(row: Operation) -> bool:
    return True


CAUSES: Final = (
    Cause("no type in `Accept` is supported", 406, 406, _any, _unacceptable),
    Cause(
        "the allowlist or blocklist excludes the operation (GET)", 404, 404, lambda row: row.method == "GET", _blocked
    ),
    Cause("the allowlist or blocklist excludes the operation", 405, 405, lambda row: row.method != "GET", _blocked),
    Cause("an unsupported `Content-Type`", 415, 415, _with_body, _unsupported),
    Cause("a body that is not JSON, or that does not match the request", 400, 400, _takes_json, _malformed),
    Cause("a body with an unknown member", 422, 422, lambda row: bool(body(row)), _unknown_member),
    Cause(
        "no body",
        422,
        422,
        lambda row: _produces(row) or _seeks(row) or _last("subscribe", "assign")(row),
        _no_body,
    ),
    Cause("no records", 422, 422, _produces, _no_records),
    Cause("a body larger than `max.request.body.size`", 413, 413, _takes_json, _too_large),
    Cause("a partition in the path that is not a number", 404, 404, _of_partitions, _no_number),
    Cause("a `timeout` or `max_bytes` that is not a number", 404, 404, _reads, _query),
    Cause("unknown topic", 404, 40401, _describes, _no_topic),
    Cause("unknown partition", 404, 40402, lambda row: _of_partitions(row) or _produces(row), _no_partition),
    Cause(
        "unknown partition, or no partition",
        404,
        40402,
        _last("commit-offsets", "get-committed-offsets"),
        _no_partition_to_commit,
    ),
    Cause("invalid topic name", 400, 40002, lambda row: _describes(row) or _sees_places(row), _illegal_topic),
    Cause("unknown consumer instance", 404, 40403, _of_instances, _no_instance),
    Cause("the instance has another format", 406, 40601, _reads, _another_format),
    Cause(
        "a record that cannot be decoded in the instance's format",
        408,
        40801,
        lambda row: _reads(row) and embedded_format(row) != "binary",
        _undecodable,
    ),
    Cause("the instance exists already", 409, 40902, _last("create"), _exists),
    Cause(
        "there are `consumer.instances.max` instances in the worker, or as many Kafka clients as a process can hold",
        429,
        429,
        _last("create"),
        _too_many,
    ),
    Cause(
        "more than one of topics, pattern and assignment; a read without any of them; a partition that is not assigned",
        409,
        40903,
        lambda row: _reads(row) or _seeks(row) or _last("subscribe", "assign")(row),
        _illegal_state,
    ),
    Cause("a setting with an invalid value", 422, 42204, _last("create"), _bad_setting),
    Cause("an invalid regular expression", 400, 400, _last("subscribe"), _bad_pattern),
    Cause("keys without a key schema", 422, 42201, _has_schemas, _no_key_schema),
    Cause("values without a value schema", 422, 42202, _has_schemas, _no_value_schema),
    Cause("an invalid schema", 422, 42205, _has_schemas, _bad_schema),
    Cause("a schema that cannot be looked up or registered", 408, 40801, _has_schemas, _unknown_schema),
    Cause(
        "data that does not match its format or schema",
        400,
        400,
        lambda row: _produces(row) and embedded_format(row) != "json",
        _not_of_the_format,
    ),
    Cause("in a record: Kafka rejects the record (not retriable)", 200, 1, _produces, _too_large_a_record),
    Cause("in a record: invalid topic name", 200, 1, _produces, _illegal_topic),
    Cause(
        "Kafka's authorizer denies access",
        403,
        40301,
        lambda row: _describes(row) or _reads(row) or _last("commit-offsets", "get-committed-offsets")(row),
        _forbidden,
    ),
    Cause("in a record: Kafka's authorizer denies access", 200, 1, _produces, _forbidden),
)

_WITHOUT_KAFKA: Final = "Kafka does not answer within `api.request.timeout.ms`"
NEEDS_KAFKA: Final = [
    row
    for row in V2_OPERATIONS
    if _describes(row) or _produces(row) or _last("list", "commit-offsets", "get-committed-offsets")(row)
]
"""What fails with 500 and 50003 while Kafka does not answer; the other operations do not wait for it."""


def table() -> list[str]:
    """The lines of two tables in Markdown: the causes with their codes, and the codes of each operation."""
    lines = ["| status | `error_code` | cause |", "|---|---|---|"]
    lines += [f"| {cause.status} | {cause.code} | {cause.name} |" for cause in CAUSES]
    lines += [f"| 500 | 50003 | {_WITHOUT_KAFKA} |", ""]
    lines += ["| operation | REST | errors |", "|---|---|---|"]
    for row in V2_OPERATIONS:
        codes = {(cause.status, cause.code) for cause in CAUSES if cause.applies(row)}
        if row in NEEDS_KAFKA:
            codes.add((500, 50003))
        shown = ", ".join(f"{status}" if status == code else f"{status} ({code})" for status, code in sorted(codes))
        lines.append(f"| {row.identifier} | {row.method} {row.path} | {shown} |")
    return lines
