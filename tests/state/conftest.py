"""States of several workers on one topic, in this process and in others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from engines import LoneEngine
from kafka_facade.core.state.state import State
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack
from state.counting import counting

StateFactory = Callable[..., Awaitable[State]]

_SECONDS = 30


@pytest.fixture
def topic() -> str:
    """A name for a state topic that does not exist."""
    return f"state-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def new_state(stack: BackgroundStack, topic: str) -> AsyncIterator[StateFactory]:
    """`await new_state()`: the state of another worker, with clients of its own."""
    made: list[tuple[State, LoneEngine]] = []

    async def make(on: BackgroundStack = stack) -> State:
        engine = await LoneEngine.start(KafkaOptions(on.bootstrap_servers))
        state = counting(State(engine.ports(), topic))
        made.append((state, engine))
        await state.start()
        return state

    yield make
    for state, engine in made:
        await state.close()
        await engine.close(5)


class Raw:
    """Kafka's own clients, for what no gateway does."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._servers = bootstrap_servers
        self._topic = topic

    async def create(self, partitions: int = 1, policy: str = "compact") -> None:
        new = NewTopic(self._topic, num_partitions=partitions, replication_factor=1, config={"cleanup.policy": policy})
        await asyncio.wrap_future(self._admin.create_topics([new])[self._topic])
        await asyncio.to_thread(self._until, True)

    async def delete(self) -> None:
        await asyncio.wrap_future(self._admin.delete_topics([self._topic])[self._topic])
        await asyncio.to_thread(self._until, False)

    def _until(self, there: bool) -> None:
        while (self._topic in self._admin.list_topics(timeout=_SECONDS).topics) != there:
            pass

    async def write(self, key: str, value: bytes | dict[str, Any] | None) -> None:
        """Write a record in a transaction, as leaders do."""
        text = json.dumps(value).encode() if isinstance(value, dict) else value

        def write() -> None:
            producer = Producer({"bootstrap.servers": self._servers, "transactional.id": f"raw-{self._topic}"})
            producer.init_transactions(_SECONDS)
            producer.begin_transaction()
            producer.produce(self._topic, key=key.encode(), value=text, partition=0)
            producer.commit_transaction(_SECONDS)
            self._until_readable(key.encode())

        await asyncio.to_thread(write)

    def _until_readable(self, key: bytes) -> None:
        """Wait until a reader gets the last record: the end of a transaction is written after its commit returns."""
        place = TopicPartition(self._topic, 0)
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "raw"})
        _, end = consumer.get_watermark_offsets(place, timeout=_SECONDS)
        place.offset = max(0, end - 2)
        consumer.assign([place])
        while (message := consumer.poll(_SECONDS)) is None or message.error() or message.key() != key:
            pass
        consumer.close()


@pytest.fixture
def raw(stack: BackgroundStack, topic: str) -> Raw:
    """Plain clients for the topic."""
    return Raw(stack.bootstrap_servers, topic)


class Worker:
    """A worker in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, name: str, timeout: float = _SECONDS) -> Any:
        """Let it add 1 to a number; the sum, or the text of an error."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n".encode())
        return await self.said(timeout)

    async def said(self, timeout: float = _SECONDS) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(timeout):
            return json.loads(await self._process.stdout.readline())

    def send(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


WorkerFactory = Callable[[str], Awaitable[Worker]]


@pytest.fixture
async def new_worker(stack: BackgroundStack, topic: str) -> AsyncIterator[WorkerFactory]:
    """`await new_worker(name)`: another process, whose changes bear its name."""
    made: list[Worker] = []

    async def make(name: str) -> Worker:
        path = str(Path(__file__).parent.parent)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "state.counting",
            stack.bootstrap_servers,
            topic,
            name,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=path,
        )
        worker = Worker(process)
        made.append(worker)
        assert await worker.said() == "ready"
        return worker

    yield make
    for worker in made:
        await worker.kill()
