"""Callers that stream records and read no answers take limited memory, and keep no others waiting."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

import grpc
import httpx

from http2_connection import Http2Connection, message
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.gateway import Gateway
from peak_memory import MEBIBYTE, PeakMemory

GatewayFactory = Callable[..., Awaitable[Gateway]]
TopicFactory = Callable[..., Awaitable[str]]

# The smallest budget.
BUDGET = {"memory.requests.max.bytes": str(16 * MEBIBYTE)}
TINY = b'{"value":{"type":"JSON","data":1}}'
LARGE = b'{"value":{"type":"STRING","data":"%b"}}' % (b"x" * 500_000)
STREAMS = 8
SECONDS = 15


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Unread:
    """A streamed request whose answers are not read; the connection has a tiny buffer for them."""

    def __init__(self) -> None:
        self._socket = socket.socket()

    async def open(self, gateway: Gateway, cluster: str, topic: str) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        parts = urlsplit(gateway.rest)
        await asyncio.get_running_loop().sock_connect(self._socket, (parts.hostname, parts.port))
        head = f"POST /v3/clusters/{cluster}/topics/{topic}/records HTTP/1.1\r\nhost: gateway\r\n"
        await self.send(head.encode() + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")

    async def send(self, data: bytes) -> bool:
        """Send; return whether all was taken before the gateway stopped to read, or ended the connection."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(3):
                await asyncio.get_running_loop().sock_sendall(self._socket, data)
                return True
        return False

    async def fill(self) -> None:
        """Send small records, as the gateway takes them, until it ends the connection."""
        with suppress(OSError):
            while True:
                await asyncio.get_running_loop().sock_sendall(self._socket, _chunk(TINY * 1000))

    def close(self) -> None:
        self._socket.close()


class _Streams:
    """Closes streams at the end."""

    def __init__(self) -> None:
        self._streams: list[_Unread] = []

    async def open(self, gateway: Gateway, cluster: str, topic: str) -> _Unread:
        stream = _Unread()
        self._streams.append(stream)
        await stream.open(gateway, cluster, topic)
        return stream

    def __enter__(self) -> _Streams:
        return self

    def __exit__(self, *error: object) -> None:
        for stream in self._streams:
            stream.close()


async def test_large_records_behind_unread_answers(
    gateway_factory: GatewayFactory, cluster: str, topic: TopicFactory
) -> None:
    gateway, name = await gateway_factory(), await topic()
    with _Streams() as streams:
        stream = await streams.open(gateway, cluster, name)
        # Few enough that the window has room for many records.
        for _ in range(18):
            await stream.send(_chunk(TINY * 1000))
            await asyncio.sleep(0.05)
        peak = PeakMemory(gateway)
        for _ in range(400):
            if not await stream.send(_chunk(LARGE)):
                break
        # They were 200 MB.
        assert peak.growth() < 100 * MEBIBYTE
        async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
            assert (await client.get("/v3/clusters")).status_code == 200


async def _stream_is_answered(gateway: Gateway, topic: str) -> None:
    async with asyncio.timeout(SECONDS), grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub: record_pb2_grpc.RecordServiceAsyncStub = record_pb2_grpc.RecordServiceStub(channel)
        call = stub.ProduceStream()
        await call.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=topic)))
        value = record_pb2.RecordData(binary=b"x" * 500_000)
        records = record_pb2.ProduceStreamRecords(records=[record_pb2.RecordToProduce(value=value)])
        for _ in range(10):
            await call.write(record_pb2.ProduceStreamRequest(records=records))
            response = await call.read()
            assert isinstance(response, record_pb2.ProduceStreamResponse)
            assert not response.results[0].HasField("error")


async def test_other_streams_are_answered(gateway_factory: GatewayFactory, cluster: str, topic: TopicFactory) -> None:
    gateway, name = await gateway_factory(BUDGET), await topic()
    with _Streams() as streams:
        opened = [await streams.open(gateway, cluster, name) for _ in range(STREAMS)]
        filling = [asyncio.create_task(stream.fill()) for stream in opened]
        async with asyncio.timeout(60):
            while "whose callers read no answers" not in gateway.child.log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await _stream_is_answered(gateway, name)
        for task in filling:
            task.cancel()
        await asyncio.gather(*filling, return_exceptions=True)


async def test_frames_behind_unread_answers(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway, name = await gateway_factory(BUDGET), await topic()
    setup = record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=name))
    tiny = [record_pb2.RecordToProduce(value=record_pb2.RecordData(binary=b"x"))] * 3_000
    large = [record_pb2.RecordToProduce(value=record_pb2.RecordData(binary=b"x" * 500_000))] * 4
    frames = [record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=tiny))] * 2
    frames += [record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=large))] * 12
    sent = b"".join(message(len(data), data) for data in (frame.SerializeToString() for frame in [setup, *frames]))
    peak = PeakMemory(gateway)
    async with AsyncExitStack() as stack:
        tasks = []
        for _ in range(STREAMS * 6):
            connection = await stack.enter_async_context(Http2Connection(gateway.grpc, reads=False))
            stream = connection.call("/kafka_facade.v1.RecordService/ProduceStream")
            tasks.append(asyncio.create_task(connection.send(stream, sent)))
        await asyncio.wait(tasks, timeout=SECONDS)
        await _stream_is_answered(gateway, name)
        body = {"records": [{"value": "x" * 200_000}]}
        async with httpx.AsyncClient(base_url=gateway.rest, timeout=SECONDS) as client:
            headers = {"content-type": "application/vnd.kafka.json.v2+json"}
            answer = await client.post(f"/topics/{name}", headers=headers, content=json.dumps(body))
        assert answer.status_code == 200
        # They were 1150 MB. gRPC itself keeps up to 8 MB of each connection.
        assert peak.growth() < 600 * MEBIBYTE
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
