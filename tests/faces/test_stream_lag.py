"""Streams of half a million records do not delay other requests, whether callers are fast, slow or disconnected."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from faces.conftest import Watched
from faces.many_resources import Many, delete_topics, many_resources
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

# They share the fixtures of the module.
pytestmark = pytest.mark.xdist_group("stream_lag")

LONGEST = 0.05
"""Maximum time (s) for which the gateway holds its event loop or the interpreter lock."""
RECORDS = 500_000
# How long (s) the slow caller reads, and how long it pauses after each piece.
SLOW_SECONDS, PAUSE_SECONDS = 2.0, 0.2
DOCUMENT = b'{"value":{"type":"JSON","data":{"some":"value"}}}'
OFFSET = b'"offset":'

SUBSCRIPTION = """subscription ($topic: String!) {
  records(topicName: $topic, from: EARLIEST, follow: false) { offset timestamp key { text } value { text json base64 } }
}"""


@pytest.fixture(scope="module")
async def backlog(stack: BackgroundStack) -> AsyncIterator[str]:
    """A topic with 500,000 records."""
    name = f"backlog-{os.getpid()}"
    await asyncio.to_thread(_fill, stack, name)
    yield name
    await asyncio.to_thread(delete_topics, stack, name)


def _fill(stack: BackgroundStack, topic: str) -> None:
    producer = Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 20, "queue.buffering.max.messages": RECORDS}
    )
    for number in range(RECORDS):
        producer.produce(topic, b'{"n":%d,"text":"some text"}' % number, key=b"%d" % number)
        if not number % 10_000:
            producer.poll(0)
    assert producer.flush(60) == 0


@pytest.fixture(scope="module")
async def many(stack: BackgroundStack) -> AsyncIterator[Many]:
    async with many_resources(stack) as made:
        yield made


class Caller:
    """Reads all that comes."""

    records = RECORDS
    """How many records the caller produces."""

    def __init__(self) -> None:
        self.pieces = 0
        self.seen = 0
        self._end = b""

    async def goes_on(self, piece: bytes) -> bool:
        """Take a piece of a response, and return whether to read another."""
        self.pieces += 1
        text = self._end + piece
        self.seen += text.count(OFFSET)
        self._end = text[-len(OFFSET) + 1 :]
        return True


class SlowCaller(Caller):
    """Pauses after each piece, and disconnects after a while."""

    records = 50_000

    def __init__(self) -> None:
        super().__init__()
        self._until = time.monotonic() + SLOW_SECONDS

    async def goes_on(self, piece: bytes) -> bool:
        await super().goes_on(piece)
        await asyncio.sleep(PAUSE_SECONDS)
        return time.monotonic() < self._until


class LeavingCaller(Caller):
    """Disconnects after the first piece."""

    records = 50_000

    async def goes_on(self, piece: bytes) -> bool:
        await super().goes_on(piece)
        return False


async def _http(url: str, request: bytes, caller: Caller) -> None:
    """Send a request over a raw connection, read the response meanwhile, and abort the connection."""
    parts = urlsplit(url)
    source, sink = await asyncio.open_connection(parts.hostname, parts.port)

    async def send() -> None:
        with suppress(OSError):
            sink.write(request)
            await sink.drain()

    sending = asyncio.create_task(send())
    with suppress(OSError):
        while (piece := await source.read(65_536)) and await caller.goes_on(piece):
            pass
    sink.transport.abort()
    await sending


def _get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "host: gateway", *headers, "connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _post(path: str, body: bytes, *headers: str) -> bytes:
    length = f"content-length: {len(body)}"
    lines = [f"POST {path} HTTP/1.1", "host: gateway", length, *headers, "connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _cluster(gateway: Gateway) -> str:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        return "/v3/clusters/" + str((await client.get("/v3/clusters")).json()["data"][0]["cluster_id"])


async def sse(gateway: Gateway, topic: str, caller: Caller) -> None:
    body = json.dumps({"query": SUBSCRIPTION, "variables": {"topic": topic}}).encode()
    request = _post("/graphql", body, "content-type: application/json", "accept: text/event-stream")
    await _http(gateway.rest, request, caller)


async def websocket(gateway: Gateway, topic: str, caller: Caller) -> None:
    url = gateway.graphql.replace("http", "ws")
    connection = await connect(url, subprotocols=["graphql-transport-ws"])  # type: ignore[list-item]
    await connection.send('{"type":"connection_init"}')
    assert json.loads(await connection.recv())["type"] == "connection_ack"
    payload = {"query": SUBSCRIPTION, "variables": {"topic": topic}}
    await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    with suppress(ConnectionClosed):
        while b'"complete"' not in (piece := await connection.recv(decode=False)) and await caller.goes_on(piece):
            pass
    connection.transport.abort()


async def consume(gateway: Gateway, topic: str, caller: Caller) -> None:
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        request = record_pb2.ConsumeRequest(topic_name=topic, earliest=Empty())
        call = record_pb2_grpc.RecordServiceStub(channel).Consume(request)
        while isinstance(frame := await call.read(), record_pb2.ConsumeResponse):
            if not await caller.goes_on(OFFSET * len(frame.records)):
                break
        call.cancel()


async def produce(gateway: Gateway, topic: str, caller: Caller) -> None:
    path = f"{await _cluster(gateway)}/topics/{topic}-produced/records"
    await _http(gateway.rest, _post(path, DOCUMENT * caller.records, "content-type: application/json"), caller)


async def fetch(gateway: Gateway, topic: str, caller: Caller) -> None:
    kind = "application/vnd.kafka.v2+json"
    async with httpx.AsyncClient(timeout=30, headers={"content-type": kind}) as client:
        settings = {"format": "binary", "auto.offset.reset": "earliest"}
        made = await client.post(f"{gateway.rest}/consumers/{topic}-{id(caller)}", json=settings)
        instance = made.json()["base_uri"]
        assert (await client.post(f"{instance}/subscription", json={"topics": [topic]})).status_code == 204
        path = urlsplit(instance).path + "/records?timeout=1500&max_bytes=4000000"
        request = _get(path, "accept: application/vnd.kafka.binary.v2+json")
        await _http(gateway.rest, request, caller)
        while type(caller) is Caller and caller.seen < RECORDS:
            await _http(gateway.rest, request, caller)
        await client.delete(instance)


@pytest.mark.parametrize("path", [sse, websocket, consume, produce, fetch])
async def test_streams_do_not_block_the_event_loop(
    watched: Watched, backlog: str, path: Callable[[Gateway, str, Caller], Awaitable[None]]
) -> None:
    async def run() -> None:
        callers = [Caller(), SlowCaller(), LeavingCaller()]
        async with asyncio.timeout(120):
            await asyncio.gather(*(path(watched.gateway, backlog, caller) for caller in callers))
        assert callers[0].seen == RECORDS
        assert all(caller.pieces for caller in callers)

    assert await watched.quietest(run, "longest_held", LONGEST) < LONGEST


async def configs(gateway: Gateway, caller: Caller) -> None:
    await _http(gateway.rest, _get(f"{await _cluster(gateway)}/topics/-/configs"), caller)


async def answer(gateway: Gateway, caller: Caller) -> None:
    document = "{ clusters { topics(first: 1000) { nodes { topicName configs { name value } } } } }"
    body = json.dumps({"query": document}).encode()
    await _http(gateway.rest, _post("/graphql", body, "content-type: application/json"), caller)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("path", [configs, answer])
async def test_large_responses_do_not_block_the_event_loop(
    watched: Watched, path: Callable[[Gateway, Caller], Awaitable[None]]
) -> None:
    async def run() -> None:
        callers = [Caller(), Caller(), SlowCaller(), LeavingCaller()]
        await asyncio.gather(*(path(watched.gateway, caller) for caller in callers))
        assert all(caller.pieces for caller in callers)

    assert await watched.quietest(run, "longest_held", LONGEST) < LONGEST
