"""Paths, methods, negotiation, errors and headers over real HTTP."""

import asyncio
import gzip
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kafka_facade_devstack.gateway import Gateway

V2 = "application/vnd.kafka.v2+json"
JSON = "application/json"
NOT_FOUND = {"error_code": 404, "message": "HTTP 404 Not Found"}
NOT_ALLOWED = {"error_code": 405, "message": "HTTP 405 Method Not Allowed"}


async def test_the_root(client: httpx.AsyncClient) -> None:
    for response in (await client.get("/"), await client.post("/", headers={"content-type": V2}, content=b"{}")):
        assert (response.status_code, response.json()) == (200, {})
        assert response.headers["content-type"] == V2
        assert response.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["/nope", "/topics/a/b/c", "/v3", "/v3/", "/v3/bogus", "/consumers", "/kafka/topics"])
async def test_unknown_paths(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert response.headers["content-type"] == JSON


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/topics", "HEAD,GET,OPTIONS"),
        ("POST", "/brokers", "HEAD,GET,OPTIONS"),
        ("PUT", "/topics/x", "HEAD,POST,GET,OPTIONS"),
        ("TRACE", "/topics", "HEAD,GET,OPTIONS"),
        ("GET", "/consumers/g", "POST,OPTIONS"),
        ("GET", "/v3/clusters/c/topics/t/records", "POST,OPTIONS"),
    ],
)
async def test_wrong_methods(client: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.json()) == (405, NOT_ALLOWED)
    assert response.headers["allow"] == allowed


async def test_options_name_the_methods(client: httpx.AsyncClient, cluster: str) -> None:
    response = await client.request("OPTIONS", f"{cluster}/topics")
    assert (response.status_code, response.text) == (200, "HEAD, POST, GET, OPTIONS")
    assert response.headers["allow"] == "HEAD,POST,GET,OPTIONS"
    assert response.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("path", ["/topics", "/v3/clusters", "/nope", "/topics/no-such-topic"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_head_has_the_headers_of_get(client: httpx.AsyncClient, path: str, encoding: str) -> None:
    asked = {"accept-encoding": encoding}
    expected = await client.get(path, headers=asked)
    for _ in range(2):
        response = await client.head(path, headers=asked)
        assert (response.status_code, response.content) == (expected.status_code, b"")
        for name in ("content-type", "content-encoding", "vary"):
            assert response.headers.get(name) == expected.headers.get(name)
        if "content-encoding" not in expected.headers:
            assert response.headers["content-length"] == str(len(expected.content))


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    response = await client.head("/topics")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == V2
    assert (await client.head("/topics/no-such-topic")).status_code == 404


@pytest.mark.parametrize("accept", ["text/html", "application/vnd.kafka.v1+json", "bogus"])
async def test_not_acceptable(client: httpx.AsyncClient, cluster: str, accept: str) -> None:
    for path in ("/topics", cluster):
        response = await client.get(path, headers={"accept": accept})
        assert response.status_code == 406
        assert response.json() == {"error_code": 406, "message": "HTTP 406 Not Acceptable"}


async def test_v2_responds_with_the_accepted_type(client: httpx.AsyncClient) -> None:
    for accept in (V2, JSON, "application/vnd.kafka+json"):
        response = await client.get("/topics", headers={"accept": accept})
        assert (response.status_code, response.headers["content-type"]) == (200, accept)


@pytest.mark.parametrize("content_type", ["text/plain", "application/vnd.kafka.json.v2+json"])
async def test_unsupported_bodies(client: httpx.AsyncClient, cluster: str, content_type: str) -> None:
    for path in (f"{cluster}/topics", f"{cluster}/topics/t/records"):
        response = await client.post(path, headers={"content-type": content_type}, content=b"{}")
        assert response.status_code == 415
        assert response.json() == {"error_code": 415, "message": "HTTP 415 Unsupported Media Type"}
        assert response.headers["content-type"] == JSON


async def test_unimplemented_operations_return_501(client: httpx.AsyncClient, cluster: str) -> None:
    response = await client.get(f"{cluster}/links")
    assert (response.status_code, response.json()["error_code"]) == (501, 50101)


async def test_compression(client: httpx.AsyncClient, cluster: str) -> None:
    async with client.stream("GET", cluster, headers={"accept-encoding": "gzip"}) as response:
        raw = b"".join([part async for part in response.aiter_raw()])
    assert response.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw))["kind"] == "KafkaCluster"
    assert "content-encoding" not in (await client.get(cluster)).headers


async def test_links_have_the_requested_host_and_prefix(client: httpx.AsyncClient, cluster: str) -> None:
    document = (await client.get(f"/kafka{cluster}", headers={"host": "example.org"})).json()
    assert document["metadata"]["self"] == f"http://example.org/kafka{cluster}"
    assert document["topics"]["related"] == f"http://example.org/kafka{cluster}/topics"


async def test_links_have_the_configured_base(gateway_factory: Any) -> None:
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "pub.example.org"}
    for settings, expected in (
        ({"advertised.listeners": "http://proxy.example.org:8080"}, "http://proxy.example.org:8080"),
        ({"network.forwarded.request.customizer.enable": "true"}, "https://pub.example.org"),
    ):
        gateway = await gateway_factory(settings)
        async with httpx.AsyncClient(base_url=gateway.rest, headers=forwarded) as client:
            clusters = (await client.get("/v3/clusters")).json()
            assert clusters["metadata"]["self"] == f"{expected}/v3/clusters"
            assert clusters["data"][0]["topics"]["related"].startswith(f"{expected}/v3/clusters/")
            where = f"/consumers/g-{uuid.uuid4().hex}"
            body = {"name": "i"}
            created = await client.post(where, json=body, headers={"content-type": V2})
            assert created.json()["base_uri"] == f"{expected}{where}/instances/i"
            await client.delete(f"{where}/instances/i")


async def _raw(gateway: Gateway, request: bytes) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(gateway.rest)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    async with asyncio.timeout(10):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
        head = dict(line.split(": ", 1) for line in lines[1:-1])
        body = await reader.readexactly(int(head["content-length"]))
    writer.close()
    assert head["content-type"] == "application/json"
    return int(lines[0].split()[1]), json.loads(body)


async def test_an_empty_path_segment(gateway: Gateway) -> None:
    status, body = await _raw(gateway, b"GET //topics HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (status, body["error_code"]) == (400, 400)


async def test_malformed_http(gateway: Gateway) -> None:
    status, body = await _raw(gateway, b"NONSENSE\r\n\r\n")
    assert (status, body["error_code"]) == (400, 400)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
async def test_header_fields_that_are_too_long(gateway: Gateway, end: bytes) -> None:
    status, body = await _raw(gateway, b"GET /topics HTTP/1.1\r\nHost: h\r\nX-Big: " + b"a" * 20_000 + end)
    assert (status, body["error_code"]) == (431, 431)


async def test_a_body_over_the_limit(gateway_factory: Any) -> None:
    gateway = await gateway_factory({"max.request.body.size": "65536"})
    async with httpx.AsyncClient(base_url=gateway.rest) as client:
        headers = {"content-type": "application/vnd.kafka.json.v2+json"}
        content = b'{"records":[{"value":"' + b"x" * 70_000 + b'"}]}'
        response = await client.post("/topics/t", headers=headers, content=content)
        assert (response.status_code, response.json()["error_code"]) == (413, 413)

        async def chunks() -> Any:
            yield content[:50_000]
            yield content[50_000:]

        response = await client.post("/topics/t", headers=headers, content=chunks())
        assert (response.status_code, response.json()["error_code"]) == (413, 413)


async def test_blocked_operations_appear_not_to_exist(gateway_factory: Any) -> None:
    gateway = await gateway_factory({"api.endpoints.blocklist": "api.v2.topics.list,api.v2.produce-to-topic.*"})
    async with httpx.AsyncClient(base_url=gateway.rest) as client:
        response = await client.get("/topics")
        assert (response.status_code, response.json()) == (404, NOT_FOUND)
        response = await client.post("/topics/t", headers={"content-type": JSON}, content=b"not even JSON")
        assert (response.status_code, response.json()) == (405, NOT_ALLOWED)
        assert (await client.get("/brokers")).status_code == 200


async def test_an_api_version_can_be_disabled(gateway_factory: Any) -> None:
    gateway = await gateway_factory({"api.v2.enable": "false"})
    async with httpx.AsyncClient(base_url=gateway.rest) as client:
        assert (await client.get("/topics")).status_code == 404
        assert (await client.get("/v3/clusters")).status_code == 200
