"""Blocks end at their deadline, and not before."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kafka_facade.core import deadlines
from kafka_facade.core.deadlines import Deadlines


@pytest.fixture(params=[0, 60], ids=["looked at", "with a timer"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Deadlines:
    monkeypatch.setattr(deadlines, "_SHORT_SECONDS", request.param)
    return Deadlines()


async def test_a_block_that_is_too_slow_is_cancelled(limits: Deadlines) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError), limits.limit(0.1):
        await asyncio.sleep(5)
    assert 0.1 <= time.monotonic() - started < 2
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling()


async def test_a_block_that_is_fast_is_left_alone(limits: Deadlines) -> None:
    with limits.limit(0.1):
        pass
    await asyncio.sleep(0.3)


async def test_errors_of_a_block_are_raised(limits: Deadlines) -> None:
    with pytest.raises(LookupError), limits.limit(0.2):
        raise LookupError


@contextmanager
def named(name: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise TimeoutError(name) from None


async def test_of_two_deadlines_the_shorter_one_counts(limits: Deadlines) -> None:
    async def slow(seconds: float) -> None:
        with limits.limit(seconds):
            await asyncio.sleep(5)

    async def outer_ends() -> None:
        with pytest.raises(TimeoutError) as caught, limits.limit(0.1), named("inner"):
            await slow(30)
        assert str(caught.value) != "inner"

    async def inner_ends() -> None:
        with limits.limit(30):
            with pytest.raises(TimeoutError):
                await slow(0.1)
            await asyncio.sleep(0.2)

    await asyncio.gather(outer_ends(), inner_ends())


async def test_a_cancellation_from_outside_is_not_a_timeout(limits: Deadlines) -> None:
    async def work() -> None:
        with limits.limit(30):
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_expired_block_that_ends_by_itself_ends_well(limits: Deadlines) -> None:
    async def stubborn() -> str:
        with limits.limit(0.05):
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                return "done"
        return "not reached"

    assert await stubborn() == "done"
