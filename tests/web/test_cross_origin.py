"""Requests of browsers for pages of other origins, on REST and GraphQL."""

import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from conftest import Connect, GatewayFactory, TopicFactory
from kafka_facade_devstack.gateway import Gateway

_FOREIGN = "https://evil.example.org"
_FRIEND = "https://console.example.org"
_V2 = "application/vnd.kafka.v2+json"
_V2_JSON = "application/vnd.kafka.json.v2+json"
_QUERY = {"query": "{ __typename }"}
_WS = Subprotocol("graphql-transport-ws")

# What browsers say of a page elsewhere; over plain HTTP they send no Sec-Fetch-Site.
_CROSS: list[dict[str, str]] = [
    {"origin": _FOREIGN},
    {"origin": "null"},
    {"origin": _FOREIGN, "sec-fetch-site": "cross-site"},
    {"origin": "http://127.0.0.1:1", "sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "chrome-extension://abcdef"},
    {"origin": "http://[::1"},
]


def _own(gateway: Gateway) -> list[dict[str, str]]:
    """What is no page elsewhere."""
    return [
        {},
        {"origin": gateway.rest},
        {"origin": gateway.rest, "sec-fetch-site": "same-origin"},
        {"origin": _FOREIGN, "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ]


async def _offset(client: httpx.AsyncClient, topic: str, headers: dict[str, str]) -> httpx.Response:
    return await client.post(f"/topics/{topic}", headers=headers, content=b'{"records":[{"value":"YQ=="}]}')


@pytest.fixture
async def client(gateway: Gateway) -> Any:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        client.headers.clear()
        yield client


async def test_pages_of_other_origins_cannot_produce(
    client: httpx.AsyncClient, gateway: Gateway, topic: TopicFactory, cluster_id: str
) -> None:
    name = await topic()
    for headers in _CROSS:
        for content_type in ({}, {"content-type": "text/plain"}, {"content-type": _V2_JSON}):
            response = await _offset(client, name, headers | content_type)
            assert (response.status_code, response.json()["error_code"]) == (403, 403), headers
        response = await client.post(f"/v3/clusters/{cluster_id}/topics/{name}/records", headers=headers, content=b"{}")
        assert response.status_code == 403
        made = {"topic_name": f"made-{uuid.uuid4().hex}"}
        response = await client.post(f"/v3/clusters/{cluster_id}/topics", headers=headers, content=json.dumps(made))
        assert response.status_code == 403
        response = await client.delete(f"/v3/clusters/{cluster_id}/topics/{name}", headers=headers)
        assert response.status_code == 403
    for offset, headers in enumerate(_own(gateway)):
        response = await _offset(client, name, headers)
        assert response.status_code == 200, headers
        assert response.json()["offsets"][0]["offset"] == offset
        assert not any(field.startswith("access-control") for field in response.headers)


async def test_pages_of_other_origins_may_link_but_not_read(client: httpx.AsyncClient) -> None:
    for headers in _CROSS:
        response = await client.get("/topics", headers=headers)
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers
        response = await client.request(
            "OPTIONS", "/topics", headers=headers | {"access-control-request-method": "GET"}
        )
        assert (response.status_code, response.text) == (200, "HEAD, GET, OPTIONS")
        assert "access-control-allow-origin" not in response.headers


async def test_pages_of_other_origins_consume_no_records(client: httpx.AsyncClient, topic: TopicFactory) -> None:
    name = await topic()
    assert (await _offset(client, name, {})).status_code == 200
    where = f"/consumers/{name}/instances/i"
    made = {"name": "i", "auto.offset.reset": "earliest", "fetch.min.bytes": 1}
    assert (await client.post(f"/consumers/{name}", json=made, headers={"content-type": _V2})).status_code == 200
    body = {"partitions": [{"topic": name, "partition": 0}]}
    assert (await client.post(f"{where}/assignments", json=body, headers={"content-type": _V2})).status_code == 204
    for headers in (*_CROSS, {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}):
        for path in (f"{where}/records", f"{where}/x/../records/", f"{where}/%72ecords"):
            assert (await client.get(path, headers=headers)).status_code == 403, (headers, path)
            # HEAD of records is not supported.
            assert (await client.head(path, headers=headers)).status_code == 405, (headers, path)
    response = await client.get(f"{where}/records?timeout=10000")
    assert [record["offset"] for record in response.json()] == [0]
    await client.delete(where)


async def test_graphql_rejects_pages_of_other_origins(client: httpx.AsyncClient, gateway: Gateway) -> None:
    for headers in _CROSS:
        for content_type in ("application/json", "text/plain"):
            body = json.dumps(_QUERY)
            typed = headers | {"content-type": content_type}
            assert (await client.post("/graphql", content=body, headers=typed)).status_code == 403
        assert (await client.get("/graphql", params=_QUERY, headers=headers)).status_code == 403
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "accept": "text/html"}
    assert (await client.get("/graphql", headers=followed)).status_code == 200
    for headers in _own(gateway):
        assert (await client.post("/graphql", json=_QUERY, headers=headers)).status_code == 200
        assert (await client.get("/graphql", params=_QUERY, headers=headers)).status_code == 200


async def test_websockets_reject_pages_of_other_origins(gateway: Gateway) -> None:
    url = f"ws://{urlsplit(gateway.graphql).netloc}/graphql"
    for headers in _CROSS:
        fields = {name: value for name, value in headers.items() if name != "origin"}
        origin = Origin(headers["origin"]) if "origin" in headers else None
        with pytest.raises(InvalidStatus) as refused:
            await connect_websocket(url, subprotocols=[_WS], origin=origin, additional_headers=fields)
        assert refused.value.response.status_code == 403
    for own in (None, Origin(gateway.rest)):
        async with connect_websocket(url, subprotocols=[_WS], origin=own) as socket:
            await socket.send('{"type":"connection_init"}')
            assert "connection_ack" in str(await socket.recv())


async def test_cors_allows_an_origin(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    settings = {
        "access.control.allow.origin": f"{_FRIEND},http://*.example.com:*",
        "access.control.allow.methods": "GET,POST,DELETE",
        "access.control.allow.headers": "content-type,x-own",
        "access.control.expose.headers": "x-request-id",
    }
    gateway = await gateway_factory(settings)
    name = await topic()
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        for origin in (_FRIEND, "http://a.example.com:81", "http://b.a.example.com:82"):
            asking = {"origin": origin, "sec-fetch-site": "cross-site"}
            for path in (f"/topics/{name}", "/v3/clusters", "/graphql"):
                response = await client.request("OPTIONS", path, headers=asking | wanted)
                assert (response.status_code, response.content) == (200, b"")
                assert response.headers["access-control-allow-origin"] == origin
                assert response.headers["access-control-allow-methods"] == "GET,POST,DELETE"
                assert response.headers["access-control-allow-headers"] == "content-type,x-own"
                assert response.headers["access-control-max-age"] == "1800"
                assert "Origin" in response.headers["vary"]
            for response in (
                await _offset(client, name, asking),
                await client.get("/nope", headers=asking),
                await client.post("/graphql", json=_QUERY, headers=asking),
            ):
                assert response.status_code in (200, 404)
                assert response.headers["access-control-allow-origin"] == origin
                assert response.headers["access-control-allow-credentials"] == "true"
                assert response.headers["access-control-expose-headers"] == "x-request-id"
                assert "Origin" in response.headers["vary"]
        for origin in (
            _FOREIGN,
            "https://a.example.com:81",
            "http://a.example.com.evil.org:81/",
            f"{_FRIEND}.evil.org",
            *(f"http://evil.org{end}.example.com:81" for end in ("?", "#", "/", "@", "\\", ":80/")),
        ):
            response = await _offset(client, name, {"origin": origin})
            assert response.status_code == 403
            assert "access-control-allow-origin" not in response.headers
            response = await client.request("OPTIONS", f"/topics/{name}", headers={"origin": origin} | wanted)
            assert "access-control-allow-origin" not in response.headers
        response = await client.get("/topics")
        assert "access-control-allow-origin" not in response.headers
        assert "Origin" in response.headers["vary"]
    url = f"ws://{urlsplit(gateway.graphql).netloc}/graphql"
    async with connect_websocket(url, subprotocols=[_WS], origin=Origin(_FRIEND)) as socket:
        await socket.send('{"type":"connection_init"}')
        assert "connection_ack" in str(await socket.recv())


async def test_cors_for_all_origins_has_no_credentials(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway = await gateway_factory({"access.control.allow.origin": "*", "access.control.allow.headers": "*"})
    name = await topic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        for headers in _CROSS:
            response = await _offset(client, name, headers)
            assert response.status_code == 200
            assert response.headers.get("access-control-allow-origin") == ("*" if "origin" in headers else None)
            assert "access-control-allow-credentials" not in response.headers
        wanted = {"access-control-request-method": "POST", "access-control-request-headers": "x-any"}
        response = await client.request("OPTIONS", "/topics/t", headers={"origin": _FOREIGN} | wanted)
        assert response.headers["access-control-allow-headers"] == "x-any"


async def test_pages_of_the_advertised_and_the_forwarded_origin(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    settings = {
        "advertised.listeners": "https://proxy.example.org/",
        "network.forwarded.request.customizer.enable": "true",
    }
    gateway = await gateway_factory(settings)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        assert (await _offset(client, name, {"origin": "https://proxy.example.org"})).status_code == 200
        assert (await _offset(client, name, {"origin": "https://proxy.example.org:444"})).status_code == 403
        forwarded = {"origin": "https://pub.example.org", "x-forwarded-host": "pub.example.org"}
        assert (await _offset(client, name, forwarded)).status_code == 200
        assert (await _offset(client, name, forwarded | {"x-forwarded-host": "other.example.org"})).status_code == 403


def _page(host: str, scheme: str = "http") -> dict[str, str]:
    """What a browser says of a page that it takes for one of the gateway's."""
    return {"host": host, "origin": f"{scheme}://{host}"}


_REBOUND = [
    _page("evil.example.org:8082"),
    _page("evil.example.org"),
    _page("127.0.0.1.evil.example.org:8082"),
    _page("localhost.evil.example.org:8082"),
    _page("notlocalhost:8082"),
    _page("evil.example.org:8082") | {"sec-fetch-site": "same-origin"},
    _page("evil.example.org:8082") | {"x-forwarded-host": "localhost:8082", "forwarded": "host=localhost"},
    _page("evil.example.org:8082") | {"x-forwarded-host": "evil.example.org:8082"},
]


@pytest.mark.parametrize("settings", [{}, {"network.forwarded.request.customizer.enable": "true"}], ids=str)
async def test_an_unknown_host_name_of_the_gateway(
    gateway_factory: GatewayFactory, topic: TopicFactory, settings: dict[str, str]
) -> None:
    names = {"access.control.own.hosts": "Gateway,*.own.example", "host.name": "named.example"}
    gateway = await gateway_factory(settings | names | {"advertised.listeners": "http://known.example/base"})
    name = await topic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        for headers in _REBOUND:
            response = await _offset(client, name, headers)
            assert response.status_code == 403, headers
            if "x-forwarded-host" not in headers:
                assert "access.control.own.hosts" in response.json()["message"]
            assert (await client.post("/graphql", json=_QUERY, headers=headers)).status_code == 403
        hosts = ("localhost:8082", "app.localhost", "127.0.0.1:81", "10.1.2.3", "[::1]:8082")
        for host in (*hosts, "gateway:8082", "a.own.example", "NAMED.example:1", "known.example"):
            assert (await _offset(client, name, _page(host))).status_code == 200, host
            assert (await client.post("/graphql", json=_QUERY, headers=_page(host))).status_code == 200, host
        # The certificate vouches for it; others are not browsers.
        for headers in (_page("any.example", "https"), {"host": "any.example"}):
            assert (await _offset(client, name, headers)).status_code == 200


async def test_a_websocket_under_an_unknown_host_name(gateway: Gateway, connect: Connect) -> None:
    for host, status in (("evil.example.org:8082", 403), ("localhost:8082", 101)):
        connection = await connect(gateway)
        await connection.send(
            f"GET /graphql HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )
        assert (await connection.head())[0] == status
