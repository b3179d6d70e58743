"""An engine on the session's stack, and an eye on the event loop."""

from collections.abc import AsyncIterator, Callable

import pytest

from kafka_facade.devstack.background import BackgroundStack
from kafka_facade.kafka.engine import Engine, KafkaOptions
from loop_watch import watched

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
    async with watched() as watch:
        yield lambda: watch.longest
