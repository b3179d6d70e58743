"""RFC 9112 and RFC 9110 conformance of REST and GraphQL."""

import asyncio
import contextlib
import json
import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

from conftest import Connect, GatewayFactory, TopicFactory
from http_connection import Connection
from kafka_facade_devstack.gateway import Gateway

_V2_JSON = "application/vnd.kafka.json.v2+json"
_BODY = b'{"records":[{"value":1}]}'
_GET = b"GET /topics HTTP/1.1\r\nHost: h\r\n\r\n"


def _post(topic: str, *fields: str, body: bytes = _BODY, version: str = "1.1", host: str = "h") -> bytes:
    lines = [f"POST /topics/{topic} HTTP/{version}", f"Host: {host}", f"Content-Type: {_V2_JSON}", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _sized(body: bytes = _BODY) -> str:
    return f"Content-Length: {len(body)}"


async def _refusal(connection: Connection) -> int:
    """The status of the next answer, which is a refusal, and the last of the connection."""
    status, body = await connection.answer()
    assert json.loads(body)["error_code"] == status
    assert await connection.rest() == b""
    return status


async def _stored(gateway: Gateway, connect: Connect, topic: str) -> int:
    """How many records a topic has: the offset of one more."""
    connection = await connect(gateway)
    await connection.send(_post(topic, _sized()))
    status, body = await connection.answer()
    assert status == 200, body
    offset: int = json.loads(body)["offsets"][0]["offset"]
    return offset


def _answer_after_end(gateway: Gateway, request: bytes) -> bytes:
    """The answer to a request that the caller sends in one segment with the end of its side."""
    where = urlsplit(gateway.rest)
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.send(request, socket.MSG_MORE)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /topics HTTP/1.1\r\n", 400),
        (b"GET /topics HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        (b"GET /topics HTTP/1.1\r\nHost: a\r\nhost: b\r\n", 400),
        (b"GET /topics HTTP/1.0\r\nHost: a\r\nHost: b\r\n", 400),
        (b'GET /v3/clusters HTTP/1.1\r\nHost: "><script>\r\n', 400),
        (b"GET /topics HTTP/1.1\r\nHost: u@h\r\n", 400),
        (b"GET /topics HTTP/1.1\r\nHost: h:port\r\n", 400),
        (b"GET /topics HTTP/1.1\r\nHost: a, b\r\n", 400),
        (b"GET /graphql?query={__typename} HTTP/1.1\r\nHost: h/x\r\n", 400),
        (b"GET http://u@h/topics HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET http://<h>/topics HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET ftp://h/topics HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: h\r\n", 400),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n", 501),
        (b"GET /topics HTTP/2.0\r\nHost: h\r\n", 505),
        (b"GET /topics HTTP/3.0\r\nHost: h\r\n", 505),
        (b"GET /topics HTTP/0.9\r\nHost: h\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", 505),
        (b"GET /topics\r\n", 505),
        (b"GET /topics HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n", 417),
        (b"GET /topics HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, x\r\n", 417),
        (b"GET /topics HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nExpect: x\r\n", 417),
        (b"GET /topics HTTP/1.1\r\nHost : h\r\n", 400),
        (b"GET /topics HTTP/1.1\r\nHost: h\r\n folded\r\n", 400),
        (b"GET /topics HTTP/1.1\r\nHost: h\r\n: empty\r\n", 400),
        (b"GET /topics HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n", 400),
        (b"GET /topics HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n", 400),
        (b"GET /topics HTTP/1.1\nHost: h\n", 400),
        (b"GET /to pics HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET /top\x80ics HTTP/1.1\r\nHost: h\r\n", 400),
    ],
)
async def test_invalid_heads(gateway: Gateway, connect: Connect, head: bytes, status: int) -> None:
    connection = await connect(gateway)
    await connection.send(head + b"\r\n")
    assert await _refusal(connection) == status


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        (["Transfer-Encoding: gzip, chunked"], b"19\r\n%b\r\n0\r\n\r\n", 501),
        (["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], b"19\r\n%b\r\n0\r\n\r\n", 501),
        (["Transfer-Encoding: chunked, gzip"], b"19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked, chunked"], b"19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], b"19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: xchunked"], b"19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: \x0bchunked"], b"19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding:"], b"19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked", "Content-Length: 25"], b"19\r\n%b\r\n0\r\n\r\n", 400),
        (["Content-Length: 25", "Transfer-Encoding: chunked"], b"19\r\n%b\r\n0\r\n\r\n", 400),
        (["Content-Length: 25", "Content-Length: 25"], b"%b", 400),
        (["Content-Length: 25", "Content-Length: 26"], b"%b", 400),
        (["Content-Length: 25, 25"], b"%b", 400),
        (["Content-Length: +25"], b"%b", 400),
        (["Content-Length: -25"], b"%b", 400),
        (["Content-Length: 0x19"], b"%b", 400),
        (["Content-Length: 2 5"], b"%b", 400),
        (["Content-Length:"], b"%b", 400),
        (["Content-Length: 99999999999999999999999"], b"%b", 400),
        (["Transfer-Encoding: chunked"], b"+19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"-19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"0x19\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"fffffffffffffffffff\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"19\n%b\n0\n\n", 400),
        (["Transfer-Encoding: chunked"], b"19 \r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"18\r\n%b\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"19\r\n%b\r\n0\r\nX : y\r\n\r\n", 400),
    ],
)
async def test_invalid_framing(
    gateway: Gateway, topic: TopicFactory, connect: Connect, fields: list[str], body: bytes, status: int
) -> None:
    name = await topic()
    connection = await connect(gateway)
    await connection.send(_post(name, *fields, body=body % _BODY) + _post(name, _sized()))
    assert await _refusal(connection) == status
    assert await _stored(gateway, connect, name) == 0, "what was refused, or followed it, was carried out"


async def test_chunks_with_long_extensions_are_refused(
    gateway: Gateway, topic: TopicFactory, connect: Connect, cluster_id: str
) -> None:
    connection = await connect(gateway)
    path = f"/v3/clusters/{cluster_id}/topics/{await topic()}/records"
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    await connection.send(head.encode() + b'22;%b\r\n{"value":{"type":"JSON","data":1}}\r\n' % (b"x" * 200))
    assert b'"offset":0' in await connection.until(b"}\n\r\n")
    with contextlib.suppress(ConnectionError):
        await connection.send((b"1;" + b"x" * 4000 + b"\r\n \r\n") * 10)
        # A stream has no end of its own.
        await connection.rest()


async def test_chunks_may_be_small_and_have_extensions(gateway: Gateway, topic: TopicFactory, connect: Connect) -> None:
    connection = await connect(gateway)
    chunks = b"".join(b'1;a="b"\r\n%c\r\n' % byte for byte in b" " * 20_000 + _BODY)
    await connection.send(_post(await topic(), "Transfer-Encoding: Chunked", body=chunks + b"0\r\n\r\n"))
    assert (await connection.answer())[0] == 200


async def test_http_1_0_has_no_chunked_requests(gateway: Gateway, topic: TopicFactory, connect: Connect) -> None:
    connection = await connect(gateway)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)
    await connection.send(_post(await topic(), "Transfer-Encoding: chunked", body=body, version="1.0"))
    assert await _refusal(connection) == 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v3/clusters HTTP/1.1\r\nHost: h:81 \t\r\n",
        b"GET http://h:81/v3/clusters HTTP/1.1\r\nHost: other\r\n",
        b"GET /v3/clusters HTTP/1.0\r\nHost: h:81\r\n",
        b"GET /v3/clusters HTTP/1.1\r\nHost: h:81\r\nExpect: 100-Continue\r\nContent-Length: 0\r\n",
    ],
)
async def test_links_have_the_requested_host(gateway: Gateway, connect: Connect, head: bytes) -> None:
    connection = await connect(gateway)
    await connection.send(head + b"\r\n")
    status, fields = await connection.head()
    if status == 100:
        status, fields = await connection.head()
    assert status == 200
    document = json.loads(await connection.exactly(int(fields["content-length"])))
    assert document["metadata"]["self"] == "http://h:81/v3/clusters"


@pytest.mark.parametrize("head", [b"GET /v3/clusters HTTP/1.0\r\n", b"GET /v3/clusters HTTP/1.1\r\nHost:\r\n"])
async def test_requests_that_may_omit_host(gateway: Gateway, connect: Connect, head: bytes) -> None:
    connection = await connect(gateway)
    await connection.send(head + b"\r\n")
    status, body = await connection.answer()
    assert (status, json.loads(body)["metadata"]["self"]) == (200, f"{gateway.rest}/v3/clusters")


async def test_options_of_the_server_as_a_whole(gateway: Gateway, connect: Connect) -> None:
    connection = await connect(gateway)
    await connection.send(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await connection.head())[0] == 200


@pytest.mark.parametrize("answers", [1, 600])
async def test_http_1_0_gets_no_chunks(
    gateway: Gateway, topic: TopicFactory, connect: Connect, cluster_id: str, answers: int
) -> None:
    connection = await connect(gateway)
    body = b'{"value":{"type":"JSON","data":1}}\n' * answers
    head = f"POST /v3/clusters/{cluster_id}/topics/{await topic()}/records HTTP/1.0\r\nContent-Type: application/json"
    await connection.send(f"{head}\r\n{_sized(body)}\r\n\r\n".encode() + body)
    status, fields = await connection.head()
    assert status == 200
    assert "transfer-encoding" not in fields
    assert fields["connection"] == "close"
    documents = [json.loads(line) for line in (await connection.rest()).split(b"\n") if line]
    assert [document["offset"] for document in documents] == list(range(answers))


async def test_http_1_0_gets_events_without_chunks(gateway: Gateway, topic: TopicFactory, connect: Connect) -> None:
    name = await topic()
    await _stored(gateway, connect, name)
    query = f'subscription {{ records(topicName: "{name}", from: EARLIEST) {{ offset }} }}'
    body = json.dumps({"query": query}).encode()
    connection = await connect(gateway)
    head = f"POST /graphql HTTP/1.0\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n{_sized(body)}"
    await connection.send(head.encode() + b"\r\n\r\n" + body)
    status, fields = await connection.head()
    assert status == 200
    assert "transfer-encoding" not in fields
    assert (await connection.until(b"\n")).startswith((b"event", b"data", b":"))


async def test_a_caller_that_closes_its_side_is_answered(
    gateway: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    connection = await connect(gateway)
    name = await topic()
    await connection.send(_post(name, _sized()) * 3)
    connection.half_close()
    assert [json.loads((await connection.answer())[1])["offsets"][0]["offset"] for _ in range(3)] == [0, 1, 2]
    assert await connection.rest() == b""


async def test_a_graphql_caller_that_closes_its_side_is_answered(gateway: Gateway, connect: Connect) -> None:
    connection = await connect(gateway)
    body = b'{"query":"{ clusters { nodes { clusterId } } }"}'
    head = f"POST /graphql HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n{_sized(body)}\r\n\r\n"
    await connection.send(head.encode() + body)
    connection.half_close()
    assert (await connection.answer())[0] in (200, 400)


async def test_an_incomplete_request_is_not_carried_out(
    gateway: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    connection = await connect(gateway)
    name = await topic()
    await connection.send(_post(name, _sized()) + _post(name, _sized())[:-1])
    connection.half_close()
    assert (await connection.answer())[0] == 200
    await connection.rest()
    assert await _stored(gateway, connect, name) == 1


async def test_a_half_closed_connection_consumes_no_records(
    gateway: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    """Its closing cannot be told from its end, and records must not be lost."""
    name, group = await topic(), f"g-{uuid.uuid4().hex}"

    async def call(method: str, path: str, body: Any = None, *, half: bool = False) -> tuple[int, bytes]:
        connection = await connect(gateway)
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} /consumers/{group}{path} HTTP/1.1\r\nHost: h\r\n"
        head += "Content-Type: application/vnd.kafka.v2+json\r\n" if data else f"Accept: {_V2_JSON}\r\n"
        await connection.send(f"{head}{_sized(data)}\r\n\r\n".encode() + data)
        if half:
            await asyncio.sleep(0.5)
            connection.half_close()
        status, fields = await connection.head()
        return status, await connection.exactly(int(fields.get("content-length", 0)))

    made = {"name": "i", "format": "json", "auto.offset.reset": "earliest", "fetch.min.bytes": 1}
    assert (await call("POST", "", made))[0] == 200
    partitions = {"partitions": [{"topic": name, "partition": 0}]}
    assert (await call("POST", "/instances/i/assignments", partitions))[0] == 204
    status, body = await call("GET", "/instances/i/records?timeout=10000", half=True)
    assert (status, json.loads(body)["error_code"]) == (400, 400)
    await _stored(gateway, connect, name)
    status, body = await call("GET", "/instances/i/records?timeout=10000")
    assert [record["offset"] for record in json.loads(body)] == [0]
    # Now records are there at once, and the end arrives together with the request.
    for _ in range(20):
        await _stored(gateway, connect, name)
    await asyncio.sleep(0.5)
    path = f"/consumers/{group}/instances/i/records?max_bytes=2"
    request = f"GET {path} HTTP/1.1\r\nHost: h\r\nAccept: {_V2_JSON}\r\n\r\n".encode()
    found: list[int] = []
    while len(found) < 20:
        for _ in range(3):
            answer = await asyncio.to_thread(_answer_after_end, gateway, request)
            assert answer.startswith(b"HTTP/1.1 400 "), answer
        status, body = await call("GET", "/instances/i/records?max_bytes=2")
        found += [record["offset"] for record in json.loads(body)]
    assert found == list(range(1, 21))
    await call("DELETE", "/instances/i")


async def test_an_upgrade_that_is_not_offered_is_ignored(
    gateway: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    connection = await connect(gateway)
    name = await topic()
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    whole = _post(name, *upgrade, _sized())
    chunked = _post(name, *upgrade, "Transfer-Encoding: chunked", body=b"19\r\n%b\r\n0\r\n\r\n" % _BODY)
    await connection.send(whole + chunked + _GET)
    for offset in (0, 1):
        status, body = await connection.answer()
        assert (status, json.loads(body)["offsets"][0]["offset"]) == (200, offset)
    assert (await connection.answer())[0] == 200
    # A body in a later segment is not taken for the next request.
    await connection.send(whole[: -len(_BODY)])
    await asyncio.sleep(0.1)
    await connection.send(_BODY + _GET)
    assert [(await connection.answer())[0] for _ in range(2)] == [200, 200]


async def test_trailers_are_not_header_fields(gateway: Gateway, topic: TopicFactory, connect: Connect) -> None:
    connection = await connect(gateway)
    body = b"19\r\n%b\r\n0\r\nContent-Type: text/html\r\nHost: other\r\n\r\n" % _BODY
    await connection.send(_post(await topic(), "Transfer-Encoding: chunked", body=body))
    assert (await connection.answer())[0] == 200


@pytest.mark.parametrize("path", ["/topics/t", "/graphql"])
async def test_a_slow_body_times_out(gateway_factory: GatewayFactory, connect: Connect, path: str) -> None:
    gateway = await gateway_factory({"request.body.timeout.ms": "1500", "idle.timeout.ms": "60000"})
    connection = await connect(gateway)
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    await connection.send(head.encode())

    async def trickle() -> None:
        for _ in range(90):
            await connection.send(b" ")
            await asyncio.sleep(0.2)

    trickling = asyncio.create_task(trickle())
    status, _ = await connection.answer()
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)
    assert status == 408


async def test_a_slow_body_after_the_response_times_out(gateway_factory: GatewayFactory, connect: Connect) -> None:
    gateway = await gateway_factory({"request.body.timeout.ms": "1500"})
    connection = await connect(gateway)
    await connection.send(b"POST /nope HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n ")
    assert (await connection.answer())[0] == 404
    assert await connection.rest() == b""


async def test_a_stream_of_records_may_pause(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect, cluster_id: str
) -> None:
    gateway = await gateway_factory({"request.body.timeout.ms": "500", "idle.timeout.ms": "1000"})
    connection = await connect(gateway)
    path = f"/v3/clusters/{cluster_id}/topics/{await topic()}/records"
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    record = b'{"value":{"type":"JSON","data":1}}'
    await connection.send(head.encode())
    for number in range(2):
        await asyncio.sleep(1.5)
        await connection.send(b"%x\r\n%b\r\n" % (len(record), record))
        assert b'"offset":%d' % number in await connection.until(b"}\n\r\n")


async def test_a_slow_record_of_a_stream_times_out(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect, cluster_id: str
) -> None:
    gateway = await gateway_factory({"request.body.timeout.ms": "1000"})
    connection = await connect(gateway)
    path = f"/v3/clusters/{cluster_id}/topics/{await topic()}/records"
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    record = b'{"value":{"type":"JSON","data":1}}'
    await connection.send(head.encode() + b"%x\r\n%b {\r\n" % (len(record) + 2, record))
    assert b'"offset":0' in await connection.until(b"}\n\r\n")
    for _ in range(3):
        await asyncio.sleep(0.5)
        await connection.send(b"1\r\n \r\n")
    assert b'"error_code":400' in await connection.until(b"0\r\n\r\n")


@pytest.mark.parametrize("fields", ["Content-Length: %d", "Transfer-Encoding: chunked"])
async def test_a_websocket_handshake_has_no_body(
    gateway: Gateway, topic: TopicFactory, connect: Connect, fields: str
) -> None:
    name = await topic()
    hidden = _post(name, _sized())
    head = "GET /graphql HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    connection = await connect(gateway)
    await connection.send((head + (fields % len(hidden) if "%" in fields else fields)).encode() + b"\r\n\r\n")
    await connection.send(hidden)
    assert (await connection.head())[0] == 400
    with contextlib.suppress(ConnectionError):
        await connection.rest()
    assert await _stored(gateway, connect, name) == 0


async def test_a_websocket_handshake_with_many_fields(gateway: Gateway, connect: Connect) -> None:
    head = b"GET /graphql HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + b"a: b\r\n" * 300
    connection = await connect(gateway)
    await connection.send(head + b"\r\n")
    assert await _refusal(connection) == 400


async def test_a_websocket_handshake_waits_for_no_answer(gateway: Gateway, connect: Connect) -> None:
    head = b"GET /graphql HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    connection = await connect(gateway)
    await connection.send(_GET + head)
    assert (await connection.answer())[0] == 200
    assert await _refusal(connection) == 400
