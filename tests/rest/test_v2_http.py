"""v2: HTTP versions, content codings, and brokers that do not create topics."""

from __future__ import annotations

import asyncio
import gzip
import json
from urllib.parse import urlsplit

import httpx
import pytest

from conftest import TopicFactory
from kafka_facade.core.catalogue import Operation
from kafka_facade_devstack.gateway import Gateway
from rest.v2_operations import V2, V2_OPERATIONS, body, error, media_type, operation_name, path, send


async def _raw(gateway: Gateway, request: str) -> tuple[str, dict[str, str], bytes]:
    """The status line, the headers and the body of an answer, after which the connection ends."""
    parts = urlsplit(gateway.rest)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request.encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status, dict(line.lower().split(": ", 1) for line in lines), content


async def test_http_1_0(gateway: Gateway) -> None:
    status, headers, content = await _raw(gateway, "GET /brokers HTTP/1.0\r\n\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert headers["content-type"] == V2
    assert list(json.loads(content)) == ["brokers"]


async def test_an_upgrade_to_http_2_is_not_offered(gateway: Gateway) -> None:
    request = (
        "GET /brokers HTTP/1.1\r\nHost: h\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
    )
    status, headers, content = await _raw(gateway, request)
    assert status == "HTTP/1.1 200 OK"
    assert "upgrade" not in headers
    assert list(json.loads(content)) == ["brokers"]


async def test_answers_in_gzip(client: httpx.AsyncClient, topic: TopicFactory) -> None:
    async with client.stream("GET", f"/topics/{await topic()}", headers={"accept-encoding": "gzip"}) as response:
        content = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers["content-type"] == V2
    assert list(json.loads(gzip.decompress(content))) == ["name", "configs", "partitions"]


async def test_bodies_in_gzip(client: httpx.AsyncClient, topic: TopicFactory) -> None:
    content = gzip.compress(b'{"records":[{"value":1}]}')
    headers = {"content-type": media_type("json"), "content-encoding": "gzip"}
    response = await client.post(f"/topics/{await topic()}", headers=headers, content=content)
    assert response.json()["offsets"][0]["offset"] == 0


_PRODUCE = [row for row in V2_OPERATIONS if "produce-to-" in row.identifier]


@pytest.mark.parametrize("operation", _PRODUCE, ids=operation_name)
async def test_producing_to_a_topic_that_nobody_creates(strict_gateway: Gateway, operation: Operation) -> None:
    """The error is returned at once, before any schema is registered."""
    async with httpx.AsyncClient(base_url=strict_gateway.rest, timeout=5, verify=False) as client:
        response = await send(client, operation, path(operation), body(operation))
        assert error(response) == (404, 40401)
        assert response.json()["message"] == "Topic not found."
