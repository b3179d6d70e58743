"""A large read that one worker forwards to another blocks the event loop of neither."""

import asyncio
import base64
import json
import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from faces.conftest import watched_gateway
from http_connection import Connection
from kafka_facade_devstack.background import BackgroundStack

Connect = Callable[..., Awaitable[Connection]]
TopicFactory = Callable[..., Awaitable[str]]

_MIB = 1024 * 1024
_TOTAL = 64 * _MIB
_BINARY = "application/vnd.kafka.binary.v2+json"
# The event loop should be blocked for less than 0.05 s; processors of busy machines are slower.
_MOST = 0.08
_SECONDS = 30


@pytest.mark.parametrize("record_bytes", [1000, 500_000])
async def test_a_read_of_64_mib(
    stack: BackgroundStack, topic: TopicFactory, connect: Connect, tmp_path: Path, record_bytes: int
) -> None:
    name = await topic()
    # One more than a read returns, so that it ends as soon as it has them.
    count = _TOTAL // record_bytes + 1
    await asyncio.to_thread(_produce, stack.bootstrap_servers, name, record_bytes, count)
    settings = {"workers": "2", "consumer.request.timeout.ms": "20000"}
    async with watched_gateway(stack, tmp_path / "report.json", settings) as watched:
        supervisor = psutil.Process(watched.gateway.child.pid)
        group = f"g-{uuid.uuid4()}"
        own = await connect(watched.gateway)
        # Without a name, the instance is in the worker that has the connection.
        created = await _call(own, "POST", f"/consumers/{group}", {"auto.offset.reset": "earliest"})
        where = f"/consumers/{group}/instances/{created['instance_id']}"
        await _call(own, "POST", f"{where}/assignments", {"partitions": [{"topic": name, "partition": 0}]})
        workers = [await _worker_of(own, supervisor)]
        async with asyncio.timeout(_SECONDS):
            while len(workers) < 2:
                other = await connect(watched.gateway)
                if (worker := await _worker_of(other, supervisor)) not in workers:
                    workers.append(worker)
        # Let the consumer prefetch first: what that takes is no matter of the read.
        await asyncio.sleep(3)
        for worker in workers:
            await watched.report(worker)
        records = await _call(other, "GET", f"{where}/records")
        assert len(records) == count - 1
        assert len(base64.b64decode(records[-1]["value"])) == record_bytes
        for worker in workers:
            seen = await watched.report(worker)
            assert seen["longest_busy"] < _MOST, (worker == workers[0], seen)


def _produce(bootstrap_servers: str, topic: str, size: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    value = os.urandom(size)
    for _ in range(count):
        producer.produce(topic, value, partition=0)
        producer.poll(0)
    assert not producer.flush(60)


async def _worker_of(connection: Connection, supervisor: psutil.Process) -> int:
    """The worker that accepts a connection."""
    async with asyncio.timeout(_SECONDS):
        while True:
            for worker in supervisor.children():
                for entry in worker.net_connections("tcp"):
                    if entry.raddr and entry.raddr.port == connection.port:
                        return worker.pid
            await asyncio.sleep(0.05)


async def _call(connection: Connection, method: str, path: str, body: object = None) -> Any:
    kind = f"accept: {_BINARY}" if body is None else "content-type: application/vnd.kafka.v2+json"
    text = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\n{kind}\r\ncontent-length: {len(text)}\r\n\r\n"
    await connection.send(head.encode() + text)
    status, fields = await connection.head()
    answer = await connection.exactly(int(fields.get("content-length", 0)))
    assert status in (200, 204), answer
    return json.loads(answer) if answer else None
