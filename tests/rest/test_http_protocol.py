"""Split, invalid and over-long requests, alone and pipelined."""

import asyncio
import contextlib
import json
import time
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.typing import Subprotocol

from conftest import Connect, GatewayFactory, TopicFactory
from kafka_facade_devstack.gateway import Gateway

_SECONDS = 20
_SUBPROTOCOL = Subprotocol("graphql-transport-ws")
_GET = b"GET /topics HTTP/1.1\r\nHost: h\r\n\r\n"
_GARBAGE = b"garbage\r\n\r\n"
_RECORD = b'{"value":{"type":"JSON","data":1}}'


def _produce(topic: str, size: int = 1) -> bytes:
    body = json.dumps({"records": [{"value": "x" * size}]}).encode()
    head = f"POST /topics/{topic} HTTP/1.1\r\nHost: h\r\nContent-Type: application/vnd.kafka.json.v2+json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _chunked(path: str, content_type: str = "application/json") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _offset(answer: tuple[int, bytes]) -> int:
    status, body = answer
    assert status == 200, body
    offset: int = json.loads(body)["offsets"][0]["offset"]
    return offset


async def test_a_split_head_after_a_large_request(gateway: Gateway, topic: TopicFactory, connect: Connect) -> None:
    connection = await connect(gateway)
    await connection.send(_produce(await topic(), 60_000) + _GET[:20])
    assert _offset(await connection.answer()) == 0
    await connection.send(_GET[20:])
    assert (await connection.answer())[0] == 200


async def test_pipelined_requests_are_all_answered(gateway: Gateway, topic: TopicFactory, connect: Connect) -> None:
    connection = await connect(gateway)
    sending = asyncio.create_task(connection.send(_produce(await topic()) * 1000))
    assert [_offset(await connection.answer()) for _ in range(1000)] == list(range(1000))
    await sending


async def test_a_head_of_maximum_size_in_pieces(gateway: Gateway, connect: Connect) -> None:
    connection = await connect(gateway)
    head = b"GET /topics HTTP/1.1\r\nHost: h\r\nX-Big: " + b"a" * 8100
    for _ in range(2):
        for place in range(0, len(head), 1000):
            await connection.send(head[place : place + 1000])
            await asyncio.sleep(0.005)
        await connection.send(b"\r\n\r\n")
        assert (await connection.answer())[0] == 200


@pytest.mark.parametrize("before", [b"", _GET], ids=["alone", "behind another"])
@pytest.mark.parametrize(
    "begin", [b"GET /topics HTTP/1.1\r\nHost: h\r\nX-Big: ", b"GET /topics?"], ids=["field", "target"]
)
async def test_a_head_without_an_end_is_refused(
    gateway: Gateway, connect: Connect, before: bytes, begin: bytes
) -> None:
    connection = await connect(gateway)
    await connection.send(before + begin)
    if before:
        assert (await connection.answer())[0] == 200
    for _ in range(10):
        await connection.send(b"a" * 1000)
        await asyncio.sleep(0.01)
    status, body = await connection.answer()
    assert (status, json.loads(body)["error_code"]) == (431, 431)
    assert await connection.rest() == b""


async def test_a_trailer_without_an_end_is_refused(gateway: Gateway, topic: TopicFactory, connect: Connect) -> None:
    connection = await connect(gateway)
    await connection.send(_chunked(f"/topics/{await topic()}", "application/vnd.kafka.json.v2+json"))
    await connection.send(_chunk(b'{"records":[{"value":1}]}') + b"0\r\nX-Big: ")
    for _ in range(10):
        await connection.send(b"a" * 1000)
        await asyncio.sleep(0.01)
    assert (await connection.answer())[0] == 431
    assert await connection.rest() == b""


@pytest.mark.parametrize(
    ("broken", "refusal"),
    [(_GARBAGE, 400), (b"GET / HTTP/1.1\r\nX-Big: " + b"a" * 20_000 + b"\r\n\r\n", 431)],
    ids=["garbage", "too long"],
)
@pytest.mark.parametrize("requests", [1, 3])
async def test_requests_before_an_invalid_one_are_answered(
    gateway: Gateway, topic: TopicFactory, connect: Connect, requests: int, broken: bytes, refusal: int
) -> None:
    connection = await connect(gateway)
    name = await topic()
    await connection.send(_produce(name) * requests + broken + _produce(name))
    assert [_offset(await connection.answer()) for _ in range(requests)] == list(range(requests))
    assert (await connection.answer())[0] == refusal
    assert await connection.rest() == b""
    another = await connect(gateway)
    await another.send(_produce(name))
    assert _offset(await another.answer()) == requests, "what followed the broken request was carried out"


async def test_invalid_data_after_a_response_is_rejected_at_once(gateway: Gateway, connect: Connect) -> None:
    connection = await connect(gateway)
    await connection.send(_GET)
    assert (await connection.answer())[0] == 200
    await connection.send(_GARBAGE)
    assert (await connection.answer())[0] == 400
    assert await connection.rest() == b""


async def test_a_body_that_becomes_invalid_before_the_response(
    gateway: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    path = f"/topics/{await topic()}"
    for before in (b"", _GET):
        connection = await connect(gateway)
        await connection.send(before + _chunked(path, "application/vnd.kafka.json.v2+json") + b"zz\r\n")
        if before:
            assert (await connection.answer())[0] == 200
        status, body = await connection.answer()
        assert (status, json.loads(body)["error_code"]) == (400, 400)
        assert await connection.rest() == b""


async def test_a_body_that_becomes_invalid_during_the_response(
    gateway: Gateway, topic: TopicFactory, connect: Connect, cluster: str, client: httpx.AsyncClient
) -> None:
    connection = await connect(gateway)
    name = await topic()
    await connection.send(_chunked(f"{cluster}/topics/{name}/records") + _chunk(_RECORD))
    assert (await connection.head())[0] == 200
    assert b'"offset":0' in await connection.until(b"\n\r\n")
    await connection.send(b"zz\r\n" + _GET)
    assert await connection.rest() == b""
    # The gateway has noticed the disconnect and continues.
    response = await client.post(f"{cluster}/topics/{name}/records", json=json.loads(_RECORD))
    assert response.json()["offset"] == 1


@pytest.mark.parametrize("beginning", [b"", b"\r\n", _GET[:20], _GET, _GET + _GET[:20]])
async def test_an_idle_connection_is_closed(
    gateway_factory: GatewayFactory, connect: Connect, beginning: bytes
) -> None:
    connection = await connect(await gateway_factory({"idle.timeout.ms": "2000"}))
    await connection.send(beginning)
    started = time.monotonic()
    if beginning.startswith(_GET):
        assert (await connection.answer())[0] == 200
    assert await connection.rest() == b""
    assert 1.5 < time.monotonic() - started < 5


async def test_a_slow_head_does_not_extend_its_timeout(gateway_factory: GatewayFactory, connect: Connect) -> None:
    connection = await connect(await gateway_factory({"idle.timeout.ms": "2000"}))
    started = time.monotonic()

    async def trickle() -> None:
        for byte in b"GET /topics HTTP/1.1\r\nX-Long: " + b"a" * 1000:
            await connection.send(bytes([byte]))
            await asyncio.sleep(0.1)

    trickling = asyncio.create_task(trickle())
    with contextlib.suppress(ConnectionResetError):
        assert await connection.rest() == b""
    assert 1.5 < time.monotonic() - started < 5
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)


async def test_a_request_may_take_longer_than_the_idle_timeout(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Connect
) -> None:
    gateway = await gateway_factory({"idle.timeout.ms": "1000"})
    connection = await connect(gateway)
    request = _produce(await topic(), 100)
    await connection.send(request[:-50])
    await asyncio.sleep(3)
    await connection.send(request[-50:])
    assert _offset(await connection.answer()) == 0
    parts = urlsplit(gateway.graphql)
    async with connect_websocket(f"ws://{parts.netloc}{parts.path}", subprotocols=[_SUBPROTOCOL]) as websocket:
        await websocket.send('{"type":"connection_init"}')
        assert "connection_ack" in str(await websocket.recv())
        await asyncio.sleep(3)
        await websocket.send('{"type":"ping"}')
        assert "pong" in str(await websocket.recv())
