"""An engine on the session's stack, protocol clients, and a watch on the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from engines import LoneEngine
from kafka_facade.core.instances.model import ConsumerInstance
from kafka_facade.core.instances.session import ConsumerSession
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.model import Format
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade.kafka.protocol.io_thread import IoThread
from kafka_facade.kafka.protocol.names import Names
from kafka_facade_devstack.background import BackgroundStack
from loop_watch import watched
from protocol_clients import MakeProtocol, ProtocolThreads

LongestStall = Callable[[], float]
Sessions = Callable[..., Awaitable[ConsumerSession]]

# Maximum bytes of a read of an instance.
SMALL_READ_BYTES = 50


@pytest.fixture
async def engine(stack: BackgroundStack) -> AsyncIterator[Engine]:
    """With default settings."""
    made = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    yield made
    await made.close(5)


@pytest.fixture
async def longest_stall() -> AsyncIterator[LongestStall]:
    """`longest_stall()`: the longest time (s) for which the test's event loop was blocked."""
    async with watched() as watch:
        yield lambda: watch.longest


@pytest.fixture
async def sessions(engine: Engine) -> AsyncIterator[Sessions]:
    """`sessions(group)`: an instance of binary records that returns few at once; closed at the end."""
    made: list[ConsumerSession] = []

    async def make(group: str, reset: str = "earliest", auto_commit: bool = False) -> ConsumerSession:
        created = await engine.create(group=group, auto_offset_reset=reset, auto_commit=auto_commit, overrides={})
        instance = ConsumerInstance(group, "i", Format.BINARY, reset, auto_commit, 1, 5000)
        made.append(ConsumerSession(instance, created, SMALL_READ_BYTES, asyncio.Event(), Decoding(Schemas(None))))
        return made[-1]

    yield make
    for session in made:
        await session.close(10)


@pytest.fixture
def protocol_threads() -> ProtocolThreads:
    """`protocol_threads()`: the threads of protocol clients that have begun in this test and still run."""
    before = set(threading.enumerate())
    return lambda: {thread for thread in threading.enumerate() if thread.name.startswith("kafka-io")} - before


@pytest.fixture
async def make(protocol_threads: ProtocolThreads) -> AsyncIterator[MakeProtocol]:
    """`make(config)`: a protocol client; all of them share a thread, and leave nothing there."""
    blocking, names, io = Blocking("test", 4), Names(), IoThread()
    made: list[ProtocolClient] = []

    def create(config: dict[str, Any]) -> ProtocolClient:
        made.append(ProtocolClient(config, blocking, names, io, 64))
        return made[-1]

    yield create
    for client in made:
        await client.close()
    await names.close()
    selector = io.selector()
    async with asyncio.timeout(5):
        while selector._pending_tasks:  # noqa: ASYNC110  tasks of its own end without a word
            await asyncio.sleep(0.01)
    io.close()
    blocking.close()
    assert not protocol_threads()
