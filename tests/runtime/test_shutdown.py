"""Shutdown finishes running requests and loses no acknowledged record."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition

from http_connection import Connection
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]
TopicFactory = Callable[..., Awaitable[str]]

CALLERS = 8
ENOUGH = 300


def _values(stack: BackgroundStack, topic: str) -> set[int]:
    """All values of a one-partition topic, read with a plain Kafka client."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": f"check-{topic}"})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: set[int] = set()
        seen = 0
        while seen < end:
            messages = consumer.consume(min(1000, end - seen), timeout=20)
            assert messages, f"only {seen} of {end} records came"
            for message in messages:
                assert message.error() is None
                found.add(int(message.value() or b""))
            seen += len(messages)
        return found
    finally:
        consumer.close()


class Load:
    """Callers that produce one number after the other and remember which were acknowledged."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.acknowledged: list[int] = []
        self.broken: list[str] = []
        self.refused = 0
        self.enough = asyncio.Event()
        self._next = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._caller() for _ in range(CALLERS)))

    async def _caller(self) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                number, self._next = self._next, self._next + 1
                try:
                    answer = await client.post(self.url, json={"value": {"type": "JSON", "data": number}})
                except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError) as error:
                    # Rejecting a connection, or closing an idle one, is how a server stops to accept.
                    self.broken.append(repr(error))
                    return
                if answer.status_code != 200 or answer.json()["error_code"] != 200:
                    self.refused += 1
                    return
                self.acknowledged.append(number)
                if len(self.acknowledged) >= ENOUGH:
                    self.enough.set()


async def _load(stack: BackgroundStack, gateway: Gateway, topic: str) -> tuple[Load, "asyncio.Task[None]"]:
    load = Load(f"{gateway.rest}/v3/clusters/{stack.cluster_id}/topics/{topic}/records")
    task = asyncio.create_task(load.run())
    await asyncio.wait_for(load.enough.wait(), 30)
    return load, task


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_acknowledged_records_survive_sigkill(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory, workers: str
) -> None:
    name = await topic()
    gateway = await gateway_factory({"workers": workers})
    load, task = await _load(stack, gateway, name)
    for pid in _tree(gateway.child.pid):
        os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(task, 30)
    stored = await asyncio.to_thread(_values, stack, name)
    assert len(load.acknowledged) >= ENOUGH
    assert set(load.acknowledged) <= stored


async def test_sigterm_finishes_requests_and_exits_with_0(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory({"shutdown.timeout.ms": "10000"})
    load, task = await _load(stack, gateway, name)
    os.kill(gateway.child.pid, signal.SIGTERM)
    await asyncio.wait_for(task, 30)
    assert await _exit_code(gateway) == 0
    stored = await asyncio.to_thread(_values, stack, name)
    assert set(load.acknowledged) <= stored
    # A record that is in Kafka but was never acknowledged would be a request that was not finished.
    assert stored == set(load.acknowledged)
    assert load.refused == 0


async def test_an_unread_stream_ends_without_an_error_in_the_log(
    gateway_factory: GatewayFactory, topic: TopicFactory, connect: Callable[..., Awaitable[Connection]]
) -> None:
    name = await topic(config={"max.message.bytes": "10000000"})
    gateway = await gateway_factory({"shutdown.timeout.ms": "3000"})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        for _ in range(16):
            value = {"records": [{"value": "x" * 900_000}]}
            produced = await client.post(
                f"/topics/{name}", json=value, headers={"Content-Type": "application/vnd.kafka.json.v2+json"}
            )
            assert produced.status_code == 200
    query = f'subscription {{ records(topicName: "{name}", from: EARLIEST) {{ value {{ base64 }} }} }}'
    body = json.dumps({"query": query}).encode()
    connection = await connect(gateway, receive_buffer=4096)
    await connection.send(
        b"POST /graphql HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert (await connection.head())[0] == 200
    connection.stop_reading()
    # The stream has filled what there is between the two.
    await asyncio.sleep(1)
    os.kill(gateway.child.pid, signal.SIGTERM)
    assert await _exit_code(gateway) == 0
    log = gateway.child.log.read_text()
    assert "timeout graceful shutdown exceeded" in log
    assert "Traceback" not in log


async def _exit_code(gateway: Gateway) -> int:
    for _ in range(300):
        if gateway.child.exit_code is not None:
            return gateway.child.exit_code
        await asyncio.sleep(0.05)
    raise AssertionError("the gateway didn't end")


def _tree(pid: int) -> list[int]:
    process = psutil.Process(pid)
    return [child.pid for child in process.children(recursive=True)] + [pid]


async def test_a_rest_stream_gets_the_results_of_its_records(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory({"shutdown.timeout.ms": "20000"})
    host, _, port = gateway.rest.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = f"/v3/clusters/{stack.cluster_id}/topics/{name}/records"
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    record = b'{"value":{"type":"JSON","data":1}}'
    chunk = b"%x\r\n%b\r\n" % (len(record), record)
    writer.write(head.encode() + b"transfer-encoding: chunked\r\n\r\n" + chunk)
    assert b'"offset":0' in await asyncio.wait_for(reader.readuntil(b'"offset":0'), 15)
    await stack.pause_broker(0)
    try:
        writer.write(chunk * 3)
        await writer.drain()
        await asyncio.sleep(0.5)
        os.kill(gateway.child.pid, signal.SIGTERM)
        await asyncio.sleep(1)
    finally:
        await stack.resume_broker(0)
    rest = await asyncio.wait_for(reader.read(), 20)
    assert [f'"offset":{n},'.encode() in rest for n in (1, 2, 3)] == [True] * 3
    assert rest.endswith(b"0\r\n\r\n")
    writer.close()
    assert await _exit_code(gateway) == 0


async def test_a_grpc_stream_gets_the_results_of_its_records(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory({"shutdown.timeout.ms": "20000"})
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stream = record_pb2_grpc.RecordServiceStub(channel).ProduceStream()
        setup = record_pb2.ProduceStreamSetup(topic_name=name)
        await stream.write(record_pb2.ProduceStreamRequest(setup=setup))
        records = [record_pb2.RecordToProduce(value=record_pb2.RecordData(text="x"))]
        frame = record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(records=records * 10))
        await stream.write(frame)
        answer: Any = await asyncio.wait_for(stream.read(), 15)
        assert answer.results[9].offset == 9
        await stack.pause_broker(0)
        try:
            await stream.write(frame)
            await asyncio.sleep(0.5)
            os.kill(gateway.child.pid, signal.SIGTERM)
            await asyncio.sleep(1)
        finally:
            await stack.resume_broker(0)
        answer = await asyncio.wait_for(stream.read(), 20)
        assert [result.offset for result in answer.results] == list(range(10, 20))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(stream.read(), 20)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await _exit_code(gateway) == 0


async def test_two_workers_end_in_order(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory({"workers": "2", "shutdown.timeout.ms": "10000"})
    workers = psutil.Process(gateway.child.pid).children(recursive=True)
    load, task = await _load(stack, gateway, name)
    os.kill(gateway.child.pid, signal.SIGTERM)
    await asyncio.wait_for(task, 30)
    assert await _exit_code(gateway) == 0
    _, left = await asyncio.to_thread(psutil.wait_procs, workers, 5)
    assert left == []
    assert set(load.acknowledged) == await asyncio.to_thread(_values, stack, name)
