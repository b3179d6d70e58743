"""Callers and workers that leave during a read cause no log entries."""

import asyncio
import random
from pathlib import Path

import grpc
import pytest

from conftest import Connect, GatewayFactory, TopicFactory
from kafka_facade.peers import wire
from kafka_facade.peers.transport import UnixTransport
from peers.bare_workers import Worker
from peers.test_workers import JSON, V2

_SECONDS = 30
_ABORTED = 150


async def test_a_worker_that_leaves_before_its_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transport = UnixTransport(tmp_path / "b")
    worker = Worker(transport)
    await worker.peers.start(worker.core)
    async with transport.open_channel(transport.address) as channel:
        open_stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(wire.HAND_OVER_PATH)
        stream = open_stream(timeout=_SECONDS, metadata=(("kafka-facade-sender-bin", transport.address.encode()),))
        await stream.done_writing()
        assert await stream.code() is not grpc.StatusCode.OK
    await asyncio.wait_for(worker.peers.close(), _SECONDS)
    assert not caplog.records


async def test_callers_that_abort_reads(gateway_factory: GatewayFactory, connect: Connect, topic: TopicFactory) -> None:
    gateway = await gateway_factory({"workers": "2"})
    name = await topic()
    chance = random.Random(4)

    async def send(method: str, path: str, body: str = "", *fields: str) -> None:
        connection = await connect(gateway)
        await connection.send(_request(method, path, body, *fields))
        assert (await connection.head())[0] in {200, 204}

    records = ",".join(['{"value":"' + "x" * 900 + '"}'] * 1000)
    await send("POST", f"/topics/{name}", f'{{"records":[{records}]}}', f"content-type: {JSON}")
    typed = f"content-type: {V2['content-type']}"
    await send("POST", "/consumers/g", '{"name":"i","format":"json","auto.offset.reset":"earliest"}', typed)
    instance = "/consumers/g/instances/i"
    await send("POST", f"{instance}/assignments", f'{{"partitions":[{{"topic":"{name}","partition":0}}]}}', typed)
    for _ in range(_ABORTED):
        connection = await connect(gateway)
        read = f"{instance}/records?timeout=300&max_bytes={chance.choice([3000, 40_000, 300_000])}"
        await connection.send(_request("GET", read, "", f"accept: {JSON}"))
        await asyncio.sleep(chance.uniform(0, 0.03))
        connection.abort()
    await asyncio.sleep(1)
    log = gateway.child.log.read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def _request(method: str, path: str, body: str, *fields: str) -> bytes:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "host: h", f"content-length: {len(body)}", *fields])
    return f"{head}\r\n\r\n{body}".encode()
