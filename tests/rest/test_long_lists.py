"""Long lists are sent while they are encoded, so that they take little memory."""

import asyncio
import gzip
import json
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import Connect, GatewayFactory
from faces.many_resources import delete_topics
from http_connection import Connection
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from peak_memory import MEBIBYTE, PeakMemory
from raw_kafka import RawConnection, assignment

PARTITIONS = 60_000
# The list is longer than 60 MB in JSON.
MOST_MEMORY = 40 * MEBIBYTE
TOPICS, READERS = 250, 90


@pytest.fixture
async def long_list(stack: BackgroundStack, gateway: Gateway) -> AsyncIterator[str]:
    """The URL of a list with many entries."""
    group = f"long-{uuid.uuid4().hex}"
    async with RawConnection(stack.bootstrap_servers) as connection, httpx.AsyncClient(timeout=60) as client:
        await connection.join(group.encode(), b"i-1", assignment([(b"t" * 100, range(PARTITIONS))]))
        consumers = f"{gateway.rest}/v3/clusters/{stack.cluster_id}/consumer-groups/{group}/consumers"
        [member] = (await client.get(consumers)).json()["data"]
        yield f"{consumers}/{member['consumer_id']}/assignments"


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_the_whole_list_arrives(long_list: str, coding: str) -> None:
    async with httpx.AsyncClient(timeout=60, headers={"accept-encoding": coding}) as client:
        async with client.stream("GET", long_list) as answer:
            body = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers.get("content-encoding", "identity") == coding
        found = json.loads(body if coding == "identity" else gzip.decompress(body))
        assert found["metadata"] == {"self": long_list, "next": None}
        assert [entry["partition_id"] for entry in found["data"]] == list(range(PARTITIONS))
        head = await client.head(long_list)
        assert (head.status_code, head.content) == (200, b"")
        # The connection is usable afterwards.
        assert (await client.get(f"{long_list}/{'t' * 100}/partitions/1")).json()["partition_id"] == 1


@pytest.mark.serial
async def test_its_memory(gateway: Gateway, long_list: str) -> None:
    peak = PeakMemory(gateway)
    async with httpx.AsyncClient(timeout=60, headers={"accept-encoding": "identity"}) as client:
        received = 0
        async with client.stream("GET", long_list) as answer:
            async for part in answer.aiter_raw():
                received += len(part)
    assert received > 60_000_000
    assert peak.growth() < MOST_MEMORY


@pytest.mark.serial
async def test_a_caller_that_leaves(gateway: Gateway, long_list: str) -> None:
    parts = urlsplit(long_list)
    peak = PeakMemory(gateway)
    for _ in range(5):
        with socket.create_connection((parts.hostname, parts.port)) as caller:
            caller.sendall(f"GET {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode())
            assert await asyncio.to_thread(caller.recv, 15) == b"HTTP/1.1 200 OK"
    async with httpx.AsyncClient(timeout=10) as client:
        assert (await client.get(gateway.rest)).status_code == 200
    assert peak.growth() < MOST_MEMORY


async def read_slowly(connection: Connection, path: str) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        await connection.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await connection.head()
        while True:
            await connection.exactly(256)
            await asyncio.sleep(0.1)


@pytest.fixture
async def many_configs(stack: BackgroundStack) -> AsyncIterator[str]:
    """The path of a list with configs of many topics, which takes about as much memory as in JSON: some megabytes."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    names = [f"configs-{uuid.uuid4().hex}" for _ in range(TOPICS)]
    for created in admin.create_topics([NewTopic(name, num_partitions=1) for name in names]).values():
        await asyncio.to_thread(created.result, 60)
    yield f"/v3/clusters/{stack.cluster_id}/topics/-/configs"
    await asyncio.to_thread(delete_topics, stack, *names)


@pytest.mark.serial
async def test_slow_readers_do_not_exhaust_memory(
    gateway_factory: GatewayFactory, many_configs: str, connect: Connect
) -> None:
    limits = {"memory.max.bytes": 250 * MEBIBYTE, "memory.responses.max.bytes": 32 * MEBIBYTE}
    gateway = await gateway_factory({name: str(value) for name, value in limits.items()})
    readers = []
    try:
        async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
            for _ in range(READERS):
                connection = await connect(gateway, 4096)
                readers.append(asyncio.create_task(read_slowly(connection, many_configs)))
                await asyncio.sleep(0.25)
            await asyncio.sleep(5)
            statuses = []
            for _ in range(10):
                statuses.append((await client.get("/topics")).status_code)
                await asyncio.sleep(0.2)
            assert statuses == [200] * 10
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
