"""v2: media types of requests and responses, with the running gateway."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest

from conftest import TopicFactory
from kafka_facade.core.catalogue import Operation
from rest.v2_operations import (
    FORMATS,
    V2,
    V2_OPERATIONS,
    body,
    embedded_format,
    error,
    media_type,
    operation_name,
    parameters,
    path,
    send,
)

KAFKA = "application/vnd.kafka+json"
JSON = "application/json"
BINARY, IN_JSON, AVRO = media_type("binary"), media_type("json"), media_type("avro")
EMBEDDED = [media_type(format) for format in FORMATS.values()]

# Accept -> the type of the response; None is 406.
_ANYWHERE: list[tuple[str | None, str | None]] = [
    (None, V2),
    ("", V2),
    ("*/*", V2),
    ("application/*", V2),
    ("*/*;q=0.1", V2),
    (V2, V2),
    (V2.upper(), V2),
    (KAFKA, KAFKA),
    (JSON, JSON),
    (f"{V2}; q=0.9, {JSON}; q=0.5", V2),
    (f"{V2}; q=0.5, {JSON}; q=0.9", JSON),
    (f"{JSON}, {V2}", V2),
    (f"{V2}, {KAFKA}, {JSON}", V2),
    (f"{JSON};q=0.1, {V2}", V2),
    (f"{V2};q=0, {JSON}", JSON),
    (f"text/html, {V2};q=0.001", V2),
    ("text/html,*/*;q=0.8", V2),
    (f"{V2} ; q = 0.3 ,{JSON};q=0.2", V2),
    (f"{V2};charset=utf-8", f"{V2};charset=utf-8"),
    (f"{V2};charset=utf-8, {V2};q=0.9, {JSON}", f"{V2};charset=utf-8"),
    (f"{JSON}; charset=UTF-8", f"{JSON};charset=UTF-8"),
    (f"{V2};charset=iso-8859-1", V2),
    (f"bogus, {V2}", V2),
    ("bogus", None),
    ("*", None),
    ("text/html", None),
    ("text/*", None),
    ("application/vnd.kafka.v1+json", None),
    ("application/vnd.kafka.v3+json", None),
    ("application/vnd.kafka.json.v1+json", None),
    ("application/octet-stream", None),
    (f"{V2};q=0", None),
    ("*/*;q=0", None),
    (f"{V2};q=7", None),
]
_UNEMBEDDED = [row for row in V2_OPERATIONS if not (row.method == "GET" and embedded_format(row))]
_READS = [row for row in V2_OPERATIONS if row not in _UNEMBEDDED]
_TYPE_OF_406 = JSON


async def _accepting(client: httpx.AsyncClient, operation: Operation, accept: str | None) -> httpx.Response:
    """The response to a request about unknown resources."""
    headers = {"accept": accept} if accept is not None else {}
    content = None
    if operation.method == "POST" and (sent := body(operation)) is not None:
        content = json.dumps(sent).encode()
        format = embedded_format(operation)
        headers["content-type"] = V2 if format is None else media_type(FORMATS[format])
    url = path(operation, topic="a%20b")
    return await client.request(operation.method, url, headers=headers, content=content)


@pytest.mark.parametrize("operation", _UNEMBEDDED, ids=operation_name)
async def test_supported_accept_headers(client: httpx.AsyncClient, operation: Operation) -> None:
    consumers = operation.identifier.startswith("api.v2.consumers.")
    cases = list(_ANYWHERE)
    for embedded in EMBEDDED:
        cases += [
            (embedded, embedded if consumers else None),
            (f"{embedded}, {V2}", V2),
            (f"{embedded}, {V2};q=0.9", embedded if consumers else V2),
            (f"{embedded}, {JSON};q=0.9", embedded if consumers else JSON),
        ]
    for accept, content_type in cases:
        response = await _accepting(client, operation, accept)
        assert "Traceback" not in response.text
        if content_type is None:
            assert error(response) == (406, 406), accept
            assert response.json()["message"] == "HTTP 406 Not Acceptable"
            assert response.headers["content-type"] == _TYPE_OF_406
        else:
            assert response.status_code != 406, accept
            if response.status_code != 204:
                assert response.headers["content-type"] == content_type, accept
    if operation.identifier == "api.v2.consumers.create":
        assert (await client.delete("/consumers/no-such/instances/bad-input")).status_code == 204


@pytest.mark.parametrize("format", FORMATS.values())
async def test_accept_headers_of_reads(client: httpx.AsyncClient, topic: TopicFactory, format: str) -> None:
    """An instance is read only in its format; a binary one also with types without a format."""
    name = await topic()
    base = f"/consumers/g-{uuid.uuid4().hex[:12]}"
    settings = {"name": "i", "format": format, "consumer.request.timeout.ms": 0}
    created = await client.post(base, headers={"content-type": V2}, content=json.dumps(settings))
    assert created.status_code == 200
    assigned = {"partitions": [{"topic": name, "partition": 0}]}
    url = f"{base}/instances/i"
    await client.post(f"{url}/assignments", headers={"content-type": V2}, content=json.dumps(assigned))
    mine = media_type(format)
    other = BINARY if format != "binary" else AVRO
    # Accept -> the type of the response, and whether it is that of the instance.
    cases: list[tuple[str | None, str | None, bool]] = [
        (mine, mine, True),
        (f"{mine}; charset=utf-8", f"{mine};charset=utf-8", True),
        (f"{mine}, {JSON}", mine, True),
        (f"{mine}, {KAFKA}, {JSON}", mine, True),
        (f"{mine}, {V2};q=0.9, {JSON};q=0.5", mine, True),
        (f"{other};q=0.5, {mine}", mine, True),
        (f"{mine}, */*;q=0.1", mine, True),
        (other, other, False),
        (f"{other}, {mine};q=0.5", other, False),
        # As to the official proxy, no format is binary, and of equal types that goes first.
        (None, BINARY, format == "binary"),
        ("*/*", BINARY, format == "binary"),
        ("application/*", BINARY, format == "binary"),
        (V2, V2, format == "binary"),
        (KAFKA, KAFKA, format == "binary"),
        (JSON, JSON, format == "binary"),
        (f"{V2}, {IN_JSON}", V2, format == "binary"),
        (f"{', '.join(EMBEDDED)}, {V2}", BINARY, format == "binary"),
        (f"{V2};q=0.9, {JSON}", JSON, format == "binary"),
        ("text/plain", None, False),
        (f"{mine};q=0", None, False),
        (media_type("string"), None, False),
        ("application/octet-stream", None, False),
    ]
    for accept, content_type, fits in cases:
        headers = {} if accept is None else {"accept": accept}
        response = await client.get(f"{url}/records", headers=headers)
        if content_type is None:
            assert error(response) == (406, 406), accept
            assert response.headers["content-type"] == _TYPE_OF_406
            continue
        assert response.headers["content-type"] == content_type, accept
        if fits:
            assert (response.status_code, response.json()) == (200, []), accept
        else:
            assert error(response) == (406, 40601), accept
    assert (await client.delete(url)).status_code == 204


_BODIES_OF_OTHERS: list[tuple[str, bool]] = [
    (V2, True),
    (KAFKA, True),
    (f"{V2}; charset=utf-8", True),
    (f'{V2};charset="UTF-8"', True),
    (f"{V2};charset=US-ASCII", True),
    (f"{V2};version=2", True),
    (V2.upper(), True),
    *((type_, True) for type_ in EMBEDDED),
    (f"{V2}; charset=utf-16", False),
    (f"{V2}; charset=latin1", False),
    (JSON, False),
    ("application/octet-stream", False),
    ("application/vnd.kafka.v1+json", False),
    ("application/vnd.kafka.string.v2+json", False),
    ("application/x-www-form-urlencoded", False),
    ("text/plain", False),
    ("application/*", False),
    ("*/*", False),
    ("", False),
    ("json", False),
    ("a/b/c", False),
]
_WITHOUT_DATA = [row for row in V2_OPERATIONS if row.method == "POST" and embedded_format(row) is None]
_PRODUCE = [row for row in V2_OPERATIONS if row.method == "POST" and embedded_format(row) == "binary"]


@pytest.mark.parametrize("operation", _WITHOUT_DATA, ids=operation_name)
async def test_content_types_of_bodies(client: httpx.AsyncClient, operation: Operation) -> None:
    url = path(operation)
    for content_type, taken in _BODIES_OF_OTHERS:
        response = await send(client, operation, url, b"{]", content_type=content_type)
        if not taken:
            assert error(response) == (415, 415), content_type
            assert response.json()["message"] == "HTTP 415 Unsupported Media Type"
            assert response.headers["content-type"] == JSON
        else:
            assert error(response) == (400, 400), content_type
            assert response.headers["content-type"] == V2
    # 415 goes before 406, and a body of no type is taken.
    response = await send(client, operation, url, b"{]", content_type="text/plain", accept="text/plain")
    assert error(response) == (415, 415)
    assert error(await client.request("POST", url, content=b"{]")) == (400, 400)


@pytest.mark.parametrize("operation", _PRODUCE, ids=operation_name)
async def test_content_types_of_records(client: httpx.AsyncClient, topic: TopicFactory, operation: Operation) -> None:
    """The type names the format of the data; without a format the data is binary."""
    name = await topic()
    url = path(operation, topic=name)
    cases: list[tuple[str | None, str | None]] = [
        (None, "binary"),
        (V2, "binary"),
        (KAFKA, "binary"),
        (JSON, "binary"),
        ("application/octet-stream", "binary"),
        (f"{JSON}; charset=utf-8", "binary"),
        *((media_type(format), format) for format in FORMATS.values()),
        *((f"{media_type(format)}; charset=UTF-8", format) for format in FORMATS.values()),
        (IN_JSON.upper(), "json"),
        (f"{IN_JSON};charset=utf-16", None),
        ("application/vnd.kafka.json.v1+json", None),
        ("application/vnd.kafka.string.v2+json", None),
        ("text/plain", None),
        ("application/*", None),
        ("*/*", None),
        (f"{IN_JSON}, {V2}", None),
        ("", None),
    ]
    by_format = {FORMATS[embedded_format(row) or ""]: row for row in V2_OPERATIONS if "produce-to" in row.identifier}
    for content_type, format in cases:
        sent: Any = body(by_format[format or "binary"])
        headers = {} if content_type is None else {"content-type": content_type}
        response = await client.post(url, headers=headers, content=json.dumps(sent).encode())
        if format is None:
            assert error(response) == (415, 415), content_type
            assert response.headers["content-type"] == JSON
            continue
        assert response.status_code == 200, (content_type, response.text)
        assert response.headers["content-type"] == V2
        answer = response.json()
        assert answer["offsets"][0]["error_code"] is None
        assert (answer["value_schema_id"] is None) == (format in ("binary", "json"))


@pytest.mark.parametrize("operation", [row for row in V2_OPERATIONS if row.method != "POST"], ids=operation_name)
async def test_requests_without_a_body_may_have_any_content_type(
    client: httpx.AsyncClient, operation: Operation
) -> None:
    usual = await send(client, operation, path(operation))
    for content_type in (V2, JSON, "text/plain", "nonsense", f"{V2}, {KAFKA}, {JSON}"):
        response = await send(client, operation, path(operation), content_type=content_type)
        assert response.status_code == usual.status_code
        assert response.headers.get("content-type") == usual.headers.get("content-type")


def test_the_operations_are_those_of_the_catalogue() -> None:
    assert len(_READS) == len(FORMATS)
    assert all(parameters(row) for row in _READS)
