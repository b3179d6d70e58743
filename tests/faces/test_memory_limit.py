"""A gateway that is short of memory rejects new calls, and cuts off requests that are still arriving."""

import asyncio
import os
import signal
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import psutil
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from http2_connection import Http2Connection, message
from http_connection import Connection
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc, topic_pb2, topic_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from peak_memory import MEBIBYTE, PeakMemory

GatewayFactory = Callable[..., Awaitable[Gateway]]
TopicFactory = Callable[..., Awaitable[str]]
Connect = Callable[..., Awaitable[Connection]]

LAUNCHER = str(Path(__file__).parent.parent / "full_gateway.py")
LEAST = 128 * MEBIBYTE
LIMIT = 400 * MEBIBYTE
# What arrives before the gateway looks at its memory.
SLACK = 600 * MEBIBYTE
SENT = 1500 * MEBIBYTE
RECORDS = "/kafka_facade.v1.RecordService/"
STREAM = RECORDS + "ProduceStream"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@pytest.fixture
async def full_gateway(stack: BackgroundStack) -> AsyncIterator[Gateway]:
    """A gateway whose memory is used up."""
    gateway = await stack.start_gateway({"memory.max.bytes": str(LEAST)}, program=(LAUNCHER,))
    os.kill(gateway.child.pid, signal.SIGUSR1)
    yield gateway
    await stack.stop_gateway(gateway)


async def test_the_least_memory_is_enough_for_calls(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway, name = await gateway_factory({"memory.max.bytes": str(LEAST)}), await topic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        for _ in range(20):
            assert (await client.post(f"/topics/{name}", json={"records": [{"value": "YQ=="}]})).status_code == 200
            assert (await client.post("/graphql", json={"query": "{ clusters { clusterId } }"})).status_code == 200


async def test_each_face_rejects_calls(full_gateway: Gateway) -> None:
    gateway = full_gateway
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        async with asyncio.timeout(30):
            while (answer := await client.get("/topics")).status_code != 429:  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.1)
        assert answer.json() == {"error_code": 429, "message": "The gateway is short of memory. Try again later."}
        # What frees memory is let through.
        answer = await client.delete("/consumers/group/instances/instance")
        assert answer.json()["error_code"] == 40403
        answer = await client.post("/graphql", json={"query": "{ clusters { clusterId } }"})
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "TOO_MANY_REQUESTS"
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await topic_pb2_grpc.TopicServiceStub(channel).ListTopics(topic_pb2.ListTopicsRequest(), timeout=20)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        call = record_pb2_grpc.RecordServiceStub(channel).ProduceStream(timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def _bodies(gateway: Gateway, path: str, kind: str, size: int, start: bytes) -> None:
    """Send a body that never ends."""
    parts = urlsplit(gateway.rest)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n\r\n"
    try:
        with suppress(OSError):
            writer.write(head.encode() + start)
            for _ in range(size // 65_536 - 1):
                writer.write(b"a" * 65_536)
                await writer.drain()
            await reader.read()
    finally:
        writer.transport.abort()


async def _websockets(gateway: Gateway, size: int) -> None:
    """Send a message that never ends."""
    parts = urlsplit(gateway.rest)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        with suppress(OSError):
            writer.write(
                b"GET /graphql HTTP/1.1\r\nhost: gateway\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
                b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            writer.write(struct.pack("!BBQ4x", 0x81, 0xFF, size) + b"a" * (size - 1))
            await writer.drain()
            await reader.read()
    finally:
        writer.transport.abort()


async def rest(gateway: Gateway) -> None:
    kind, size = "application/vnd.kafka.binary.v2+json", 30 * MEBIBYTE
    start = b'{"records":[{"value":"'
    await asyncio.gather(*(_bodies(gateway, "/topics/a", kind, size, start) for _ in range(SENT // size)))


async def rest_stream(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        cluster = (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]
    path, size = f"/v3/clusters/{cluster}/topics/a/records", 30 * MEBIBYTE
    start = b'{"value":{"type":"STRING","data":"'
    await asyncio.gather(*(_bodies(gateway, path, "application/json", size, start) for _ in range(SENT // size)))


async def websockets(gateway: Gateway) -> None:
    size = 4 * MEBIBYTE
    await asyncio.gather(*(_websockets(gateway, size) for _ in range(SENT // size)))


async def _calls(gateway: Gateway, path: str, before: bytes) -> None:
    size = 30 * MEBIBYTE
    part = message(size, b"a" * (size - 1))
    async with AsyncExitStack() as opened:
        tasks = []
        for _ in range(4):
            connection = await opened.enter_async_context(Http2Connection(gateway.grpc))
            for _ in range(SENT // size // 4):
                stream = connection.call(path)
                tasks.append(asyncio.create_task(connection.send(stream, before + part)))
        await asyncio.gather(*tasks)
        await asyncio.sleep(1)


async def grpc_requests(gateway: Gateway) -> None:
    await _calls(gateway, RECORDS + "ProduceRecords", b"")


async def grpc_frames(gateway: Gateway) -> None:
    setup = record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name="a")).SerializeToString()
    await _calls(gateway, STREAM, message(len(setup), setup))


async def reflection(gateway: Gateway) -> None:
    await _calls(gateway, REFLECTION, b"")


@pytest.mark.parametrize("attack", [rest, rest_stream, websockets, grpc_requests, grpc_frames, reflection])
async def test_requests_that_never_end_do_not_exhaust_memory(
    gateway_factory: GatewayFactory, attack: Callable[[Gateway], Awaitable[None]]
) -> None:
    gateway = await gateway_factory({"memory.max.bytes": str(LIMIT)})
    peak = PeakMemory(gateway)
    async with asyncio.timeout(60):
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                await attack(gateway)
        async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
            while (answer := await client.get("/v3/clusters")).status_code == 429:  # noqa: ASYNC110  the same
                await asyncio.sleep(0.1)
    assert answer.status_code == 200
    assert "cut off" in gateway.child.log.read_text()
    assert peak.growth() < LIMIT + SLACK
    found = psutil.Process(gateway.child.pid).memory_info()
    # Pages of files do not count.
    assert found.rss - found.shared < LIMIT


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


RECORD = b'{"value":{"type":"STRING","data":"a"}}'


async def _open(connect: Connect, gateway: Gateway, cluster: str, topic: str, begun: bytes) -> Connection:
    """Begin a streamed request."""
    connection = await connect(gateway)
    head = f"POST /v3/clusters/{cluster}/topics/{topic}/records HTTP/1.1\r\nhost: gateway\r\n"
    await connection.send(
        head.encode() + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + _chunk(begun)
    )
    return connection


async def test_streams_that_pause_outlast_a_shortage(
    gateway_factory: GatewayFactory, connect: Connect, cluster: str, topic: TopicFactory
) -> None:
    gateway, name = await gateway_factory({"memory.max.bytes": str(LIMIT)}), await topic()
    async with asyncio.timeout(60), grpc.aio.insecure_channel(gateway.grpc) as channel:
        streamed = await _open(connect, gateway, cluster, name, RECORD)
        assert (await streamed.head())[0] == 200
        await streamed.until(b"}\n\r\n")
        stub: record_pb2_grpc.RecordServiceAsyncStub = record_pb2_grpc.RecordServiceStub(channel)
        call = stub.ProduceStream()
        await call.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=name)))
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                await rest(gateway)
        assert "cut off" in gateway.child.log.read_text()
        await streamed.send(_chunk(RECORD) + b"0\r\n\r\n")
        assert (await streamed.until(b"\r\n0\r\n\r\n")).count(b'"error_code":200') == 1
        frame = record_pb2.ProduceStreamRecords(records=[record_pb2.RecordToProduce()])
        await call.write(record_pb2.ProduceStreamRequest(records=frame))
        response = await call.read()
        assert isinstance(response, record_pb2.ProduceStreamResponse)
        assert not response.results[0].HasField("error")


async def test_a_streamed_request_that_is_cut_off_ends_its_connection(
    gateway_factory: GatewayFactory, connect: Connect, cluster: str, topic: TopicFactory
) -> None:
    gateway, name = await gateway_factory({"memory.max.bytes": str(LIMIT)}), await topic()
    async with asyncio.timeout(60):
        answered = await _open(connect, gateway, cluster, name, RECORD + RECORD[:5])
        assert (await answered.head())[0] == 200
        await answered.until(b"}\n\r\n")
        unanswered = await _open(connect, gateway, cluster, name, RECORD[:5])
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                await rest(gateway)
        response = await answered.rest()
        assert b'"error_code":429' in response
        # The last chunk is missing.
        assert not response.endswith(b"0\r\n\r\n")
        status, fields = await unanswered.head()
        assert (status, fields["connection"]) == (429, "close")
        assert len(await unanswered.rest()) == int(fields["content-length"])


@pytest.mark.parametrize("sent", [0, 100])
async def test_a_grpc_request_that_does_not_arrive_ends_the_call(gateway_factory: GatewayFactory, sent: int) -> None:
    gateway = await gateway_factory({"request.body.timeout.ms": "1000"})
    async with Http2Connection(gateway.grpc) as connection:
        # The first message of a stream has the same limit.
        streams = [connection.call(method) for method in (RECORDS + "ProduceRecords", STREAM, REFLECTION)]
        for stream in streams:
            if sent:
                await connection.send(stream, message(sent + 1, b"a" * sent))
        for stream in streams:
            status, text = await connection.status(stream)
            assert int(status) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
            assert text == "The request took too long to arrive."


async def test_a_grpc_stream_may_pause_after_its_first_message(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    gateway, name = await gateway_factory({"request.body.timeout.ms": "500"}), await topic()
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub: record_pb2_grpc.RecordServiceAsyncStub = record_pb2_grpc.RecordServiceStub(channel)
        call = stub.ProduceStream(timeout=60)
        await call.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=name)))
        reflection: Any = channel.stream_stream(REFLECTION)(timeout=60)
        ask = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
        await reflection.write(ask)
        assert await reflection.read() is not grpc.aio.EOF
        await asyncio.sleep(1.5)
        await reflection.write(ask)
        assert await reflection.read() is not grpc.aio.EOF
        frame = record_pb2.ProduceStreamRecords(records=[record_pb2.RecordToProduce()])
        await call.write(record_pb2.ProduceStreamRequest(records=frame))
        response = await call.read()
        assert isinstance(response, record_pb2.ProduceStreamResponse)
        assert not response.results[0].HasField("error")


async def _refused(stub: "record_pb2_grpc.RecordServiceAsyncStub", streamed: bool) -> None:
    records = [record_pb2.RecordToProduce()] * 900_000
    if not streamed:
        await stub.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name="a", records=records))
        return
    call = stub.ProduceStream(timeout=60)
    frame = record_pb2.ProduceStreamRecords(records=records)
    await call.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name="a")))
    await call.write(record_pb2.ProduceStreamRequest(records=frame))
    await call.read()


@pytest.mark.parametrize("streamed", [False, True])
async def test_refused_grpc_requests_are_freed(gateway_factory: GatewayFactory, streamed: bool) -> None:
    gateway = await gateway_factory()
    before = psutil.Process(gateway.child.pid).memory_info().rss
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub: record_pb2_grpc.RecordServiceAsyncStub = record_pb2_grpc.RecordServiceStub(channel)
        for _ in range(10):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await _refused(stub, streamed)
            assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert psutil.Process(gateway.child.pid).memory_info().rss - before < 250 * MEBIBYTE
