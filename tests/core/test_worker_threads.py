"""Work in threads: short work first, and nothing is kept of work that fails."""

import asyncio
import functools
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from kafka_facade.core.worker_threads import SHORT, NoFreeThread, WorkerThreads, others_wait

_SECONDS = 60
_LONG = SHORT + 1


@pytest.fixture
async def threads() -> AsyncIterator[WorkerThreads]:
    found = WorkerThreads("test", 2)
    yield found
    found.close()


async def test_long_work_never_takes_the_last_thread(threads: WorkerThreads) -> None:
    release = threading.Event()
    order: list[str] = []

    async def run(name: str, *, long: bool) -> None:
        await threads.run(release.wait if long else bool, wait=_SECONDS, limit=_SECONDS, size=_LONG if long else 1)
        order.append(name)

    long = [asyncio.create_task(run("long", long=True)) for _ in range(4)]
    await asyncio.sleep(0)
    assert threads.has_waiting
    for _ in range(10):
        await asyncio.wait_for(run("short", long=False), _SECONDS)
    assert order == ["short"] * 10
    release.set()
    await asyncio.gather(*long)
    assert not threads.has_waiting


async def test_short_work_goes_first(threads: WorkerThreads) -> None:
    release = threading.Event()
    order: list[str] = []
    busy = [
        asyncio.create_task(threads.run(release.wait, wait=_SECONDS, limit=_SECONDS, size=_LONG if long else 1))
        for long in (True, False)
    ]
    await asyncio.sleep(0)
    work = (("long 1", True), ("long 2", True), ("short 1", False), ("short 2", False))
    tasks = [
        asyncio.create_task(
            threads.run(functools.partial(order.append, name), wait=_SECONDS, limit=_SECONDS, size=_LONG if long else 1)
        )
        for name, long in work
    ]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*busy, *tasks)
    assert [name for name in order if name.startswith("short")] == ["short 1", "short 2"]
    assert [name for name in order if name.startswith("long")] == ["long 1", "long 2"]
    assert order.index("short 1") == 0


@pytest.mark.parametrize("base", [0, SHORT])
async def test_much_work_does_not_delay_smaller_work(threads: WorkerThreads, base: int) -> None:
    """The smallest and the oldest take turns, so that smaller work does not delay larger work for ever, either."""
    release = threading.Event()
    order: list[int] = []
    busy = [asyncio.create_task(threads.run(release.wait, wait=_SECONDS, limit=_SECONDS, size=base + 1))]
    if base == 0:
        busy.append(asyncio.create_task(threads.run(release.wait, wait=_SECONDS, limit=_SECONDS, size=_LONG)))
    await asyncio.sleep(0)
    tasks = []
    for size in (*[50] * 10, *[1] * 10):
        work = threads.run(functools.partial(order.append, size), wait=_SECONDS, limit=_SECONDS, size=base + size)
        tasks.append(asyncio.create_task(work))
        await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*busy, *tasks)
    assert sorted(order) == [1] * 10 + [50] * 10
    assert order.index(1) <= 3
    assert sum(size == 50 for size in order[:8]) >= 3


@pytest.mark.parametrize("long", [False, True])
async def test_work_that_is_no_longer_wanted_takes_no_thread(threads: WorkerThreads, long: bool) -> None:
    release = threading.Event()
    busy = [asyncio.create_task(threads.run(release.wait, wait=_SECONDS, limit=_SECONDS)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(NoFreeThread):
        await threads.run(bool, wait=0.01, limit=_SECONDS, size=_LONG if long else 1)
    waiting = asyncio.create_task(threads.run(bool, wait=_SECONDS, limit=_SECONDS, size=_LONG if long else 1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not threads.has_waiting
    release.set()
    await asyncio.gather(*busy)
    # Both threads are free again.
    both = threading.Barrier(2, timeout=_SECONDS)
    await asyncio.gather(
        threads.run(both.wait, wait=_SECONDS, limit=_SECONDS, size=_LONG if long else 1),
        threads.run(both.wait, wait=_SECONDS, limit=_SECONDS),
    )


async def test_work_knows_that_others_wait(threads: WorkerThreads) -> None:
    assert not others_wait()
    assert not await threads.run(others_wait, wait=_SECONDS, limit=_SECONDS)
    started, release = threading.Event(), threading.Event()

    def work() -> bool:
        started.set()
        release.wait()
        return others_wait()

    first = asyncio.create_task(threads.run(work, wait=_SECONDS, limit=_SECONDS, size=_LONG))
    second = asyncio.create_task(threads.run(others_wait, wait=_SECONDS, limit=_SECONDS, size=_LONG))
    await asyncio.to_thread(started.wait)
    release.set()
    assert await first
    assert not await second


async def test_nothing_is_kept_of_work_that_fails(threads: WorkerThreads) -> None:
    def fail() -> None:
        content = [[] for _ in range(100_000)]  # type: ignore[var-annotated]
        raise ValueError(len(content))

    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            with suppress(ValueError):
                await threads.run(fail, wait=_SECONDS, limit=_SECONDS)
        # The last one may still be on its way.
        assert len(gc.get_objects()) - before < 500_000
    finally:
        gc.enable()
