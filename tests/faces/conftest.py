"""A client for each face, and a Kafka client to check the effects."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from faces.clients import FaceClient
from faces.graphql_client import GraphQLClient
from faces.grpc_client import GrpcClient
from faces.rest_client import RestClient
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

MOST_BUSY = 0.05
"""Maximum processor time (s) of consecutive callbacks of the loop, on a machine of nominal speed."""
_TRIES = 5
_TIMES = ("longest", "longest_busy", "longest_held")
_LAUNCHER = str(Path(__file__).parent.parent / "watched_gateway.py")

FACES: dict[str, Callable[[Gateway], FaceClient]] = {
    "rest": lambda gateway: RestClient(gateway.rest),
    "grpc": lambda gateway: GrpcClient(gateway.grpc),
    "graphql": lambda gateway: GraphQLClient(gateway.graphql),
}


@pytest.fixture(params=FACES)
def face_name(request: pytest.FixtureRequest) -> str:
    """Each face in turn."""
    return str(request.param)


@pytest.fixture
async def face(face_name: str, gateway: Gateway) -> AsyncIterator[FaceClient]:
    """A client of the face in turn, to the session's gateway."""
    client = FACES[face_name](gateway)
    yield client
    await client.close()


@pytest.fixture
def cluster(stack: BackgroundStack) -> str:
    """The id of the cluster behind the gateway."""
    return stack.cluster_id


class Kafka:
    """Access to Kafka by a client that bypasses the gateway."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "faces-check"})

    async def records(self, topic: str, partition: int = 0, first: int = 0) -> list[dict[str, Any]]:
        """All records of a partition from an offset on: key, value, headers."""
        return await asyncio.to_thread(self._records, TopicPartition(topic, partition, first))

    async def topics(self) -> dict[str, int]:
        """The topics with their number of partitions."""
        found = (await asyncio.to_thread(self._consumer.list_topics, timeout=10)).topics
        return {name: len(topic.partitions) for name, topic in found.items()}

    def _records(self, partition: TopicPartition) -> list[dict[str, Any]]:
        _, end = self._consumer.get_watermark_offsets(partition, timeout=10)
        self._consumer.assign([partition])
        found: list[dict[str, Any]] = []
        count = end - partition.offset
        while len(found) < count:
            messages = self._consumer.consume(min(100, count - len(found)), timeout=10)
            assert messages, f"only {len(found)} of {count} records came"
            found += [{"key": m.key(), "value": m.value(), "headers": m.headers() or []} for m in messages]
        self._consumer.unassign()
        return found

    async def committed(self, bootstrap_servers: str, group: str, topic: str, partition: int = 0) -> int:
        """The group's committed offset; negative where it has none."""

        def ask() -> int:
            consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group})
            try:
                [found] = consumer.committed([TopicPartition(topic, partition)], timeout=10)
                return found.offset
            finally:
                consumer.close()

        return await asyncio.to_thread(ask)

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture(scope="session")
def kafka(stack: BackgroundStack) -> Iterator[Kafka]:
    """A plain Kafka client."""
    client = Kafka(stack.bootstrap_servers)
    yield client
    client.close()


class Watched:
    """A gateway with a watch on its event loop."""

    def __init__(self, gateway: Gateway, report: Path) -> None:
        self.gateway = gateway
        self._report = report

    async def report(self, worker: int | None = None) -> dict[str, float]:
        """The measurements since the last call; with several workers, those of the one with the pid ``worker``.

        Times are those of a machine of nominal speed (``machine_speed``).
        """
        report = self._report if worker is None else self._report.with_suffix(f".{worker}")
        report.unlink(missing_ok=True)
        os.kill(worker or self.gateway.child.pid, signal.SIGUSR1)
        async with asyncio.timeout(30):
            while not report.exists():  # noqa: ASYNC110  nothing tells of a file
                await asyncio.sleep(0.05)
        found: dict[str, float] = json.loads(report.read_text())
        await asyncio.sleep(0.1)
        return found | {name: found[name] / found["slowness"] for name in _TIMES}

    async def quietest(
        self, run: Callable[[], Awaitable[None]], measure: str = "longest_busy", enough: float = MOST_BUSY
    ) -> float:
        """The least that was measured while this ran: what takes long takes long each time, the machine does not.

        It runs once if that was less than ``enough``, and up to five times else.
        """
        found = []
        for _ in range(_TRIES):
            await self.report()
            await run()
            found.append((await self.report())[measure])
            if found[-1] < enough:
                break
        return min(found)


@asynccontextmanager
async def watched_gateway(stack: BackgroundStack, report: Path, settings: dict[str, str]) -> AsyncIterator[Watched]:
    """A gateway with a watch on its event loop, for the block."""
    gateway = await stack.start_gateway(settings, program=(_LAUNCHER, str(report)))
    try:
        yield Watched(gateway, report)
    finally:
        await stack.stop_gateway(gateway)


@pytest.fixture(scope="module")
async def watched(stack: BackgroundStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """A gateway with default settings and a watch on its event loop."""
    async with watched_gateway(stack, tmp_path_factory.mktemp("watch") / "report.json", {}) as watched:
        yield watched
