"""Many consumer instances in one worker: what they take, and how soon a record reaches them."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Sequence

import psutil
from http_load import HttpConnection, post
from rich.table import Table

V2 = "application/vnd.kafka.v2+json"
BINARY = "application/vnd.kafka.binary.v2+json"
AT_ONCE = 50
READERS = 50
ROUNDS = 5
IDLE_SECONDS = 8.0
BACKLOG = 200_000
MEGABYTE = 1 << 20


class Instance:
    """A consumer instance with a connection and a group of its own."""

    def __init__(self, connection: HttpConnection, path: str) -> None:
        self.connection, self.path = connection, path

    @classmethod
    async def subscribed(cls, url: str, topic: str) -> Instance:
        connection = await HttpConnection.open(url)
        settings = {"format": "binary", "auto.offset.reset": "earliest", "fetch.min.bytes": 1}
        path = f"/consumers/bench-{uuid.uuid4()}"
        created = json.loads(await connection.send(post(path, json.dumps(settings).encode(), V2)))
        path = f"{path}/instances/{created['instance_id']}"
        await connection.send(post(f"{path}/subscription", json.dumps({"topics": [topic]}).encode(), V2))
        return cls(connection, path)

    async def read(self, timeout_ms: int, max_bytes: int = MEGABYTE) -> int:
        """How many records one read returns."""
        query = f"/records?timeout={timeout_ms}&max_bytes={max_bytes}"
        head = f"GET {self.path}{query} HTTP/1.1\r\nhost: bench\r\naccept: {BINARY}\r\n\r\n"
        return (await self.connection.send(head.encode())).count(b'"offset":')

    async def seek(self, where: str, topic: str, partitions: int) -> None:
        """To the ``beginning`` or ``end`` of all partitions, once the group has assigned them."""
        entries = [{"topic": topic, "partition": number} for number in range(partitions)]
        async with asyncio.timeout(60):
            while await self._assigned() < partitions:  # noqa: ASYNC110  nothing tells of an assignment
                await asyncio.sleep(0.1)
        body = json.dumps({"partitions": entries}).encode()
        await self.connection.send(post(f"{self.path}/positions/{where}", body, V2))

    async def _assigned(self) -> int:
        request = f"GET {self.path}/assignments HTTP/1.1\r\nhost: bench\r\n\r\n"
        return len(json.loads(await self.connection.send(request.encode()))["partitions"])

    async def delete(self) -> None:
        await self.connection.send(f"DELETE {self.path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
        self.connection.close()


async def measure_instances(
    url: str, gateway: psutil.Process, topic: str, partitions: int, counts: Sequence[int]
) -> Table:
    """A row for each count: the instances subscribe to a long topic, one by one read it all, then wait for a record."""
    table = Table(
        "instances", "created in (s)", "memory unread (MB)", "at the most", "idle", "threads", "files",
        "CPU idle (%)", "read on, records/s", "record reaches reader (ms, median)", "worst",
        title=f"consumer instances, each in a group of its own, on a topic of {BACKLOG:,} unread records",
    )  # fmt: skip
    produce = await HttpConnection.open(url)
    await _fill(produce, topic)
    instances: list[Instance] = []
    peak = _Peak(gateway)
    for count in counts:
        started = time.perf_counter()
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(slots: asyncio.Semaphore = slots) -> Instance:
            async with slots:
                return await Instance.subscribed(url, topic)

        async with peak:
            instances += await asyncio.gather(*(one() for _ in range(count - len(instances))))
            created = time.perf_counter() - started
            await asyncio.sleep(2)
            unread = gateway.memory_info().rss
            records, seconds = await _flow(instances, topic, partitions)
            await asyncio.sleep(IDLE_SECONDS)
        idle = gateway.memory_info().rss
        gateway.cpu_percent()
        await asyncio.sleep(3)
        cpu = gateway.cpu_percent()
        latencies = await _latencies(instances[:READERS], produce, topic, partitions)
        table.add_row(
            f"{count:,}", f"{created:.1f}", f"{unread // MEGABYTE:,}", f"{peak.most // MEGABYTE:,}",
            f"{idle // MEGABYTE:,}", f"{gateway.num_threads():,}", f"{gateway.num_fds():,}", f"{cpu:.0f}",
            f"{records / seconds:,.0f}", f"{statistics.median(latencies) * 1000:.1f}",
            f"{max(latencies) * 1000:.1f}",
        )  # fmt: skip
    started = time.perf_counter()
    await asyncio.gather(*(instance.delete() for instance in instances))
    table.caption = f"all {len(instances):,} deleted in {time.perf_counter() - started:.1f} s"
    produce.close()
    return table


class _Peak:
    """The most memory of a process while the block runs."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.most = 0

    async def _watch(self) -> None:
        while True:
            self.most = max(self.most, self._process.memory_info().rss)
            await asyncio.sleep(0.1)

    async def __aenter__(self) -> None:
        self.most = 0
        self._task = asyncio.create_task(self._watch())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def _fill(connection: HttpConnection, topic: str) -> None:
    body = json.dumps({"records": [{"value": "eHh4" * 33}] * 1000}).encode()
    for _ in range(BACKLOG // 1000):
        await connection.send(post(f"/topics/{topic}", body, BINARY))


async def _flow(instances: Sequence[Instance], topic: str, partitions: int) -> tuple[int, float]:
    """Each instance reads some of the topic: how many records all of them got, and in which time."""
    slots = asyncio.Semaphore(READERS)

    async def read(instance: Instance) -> int:
        async with slots:
            await instance.seek("beginning", topic, partitions)
            found = 0
            async with asyncio.timeout(60):
                while not found:
                    found = await instance.read(5000, 200_000)
            return found

    started = time.perf_counter()
    records = sum(await asyncio.gather(*map(read, instances)))
    return records, time.perf_counter() - started


async def _latencies(
    instances: Sequence[Instance], produce: HttpConnection, topic: str, partitions: int
) -> list[float]:
    """How long after a record was sent each waiting reader had its answer (s)."""
    await asyncio.gather(*(instance.seek("end", topic, partitions) for instance in instances))
    await asyncio.gather(*(instance.read(500) for instance in instances))
    found: list[float] = []
    for _ in range(ROUNDS):

        async def wait(instance: Instance) -> float:
            assert await instance.read(10_000)
            return time.perf_counter()

        readers = [asyncio.create_task(wait(instance)) for instance in instances]
        await asyncio.sleep(0.5)
        sent = time.perf_counter()
        await produce.send(post(f"/topics/{topic}", b'{"records":[{"value":"eHh4eHh4"}]}', BINARY))
        found += [at - sent for at in await asyncio.gather(*readers)]
    return found
