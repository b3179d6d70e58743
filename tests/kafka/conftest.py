"""An engine on the session's stack, and an eye on the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kafka_facade.devstack.background import BackgroundStack
from kafka_facade.kafka.engine import Engine, KafkaOptions

LongestStall = Callable[[], float]


@pytest.fixture
async def engine(stack: BackgroundStack) -> AsyncIterator[Engine]:
    """With default settings."""
    made = Engine(KafkaOptions(stack.bootstrap_servers))
    yield made
    await made.close(5)


@pytest.fixture
async def longest_stall() -> AsyncIterator[LongestStall]:
    """`longest_stall()`: how long (s) the test's event loop has stood still at the most."""
    async with _watched() as stall:
        yield stall


@asynccontextmanager
async def _watched() -> AsyncIterator[LongestStall]:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            started = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - started)

    watcher = asyncio.create_task(watch())
    yield lambda: longest
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
