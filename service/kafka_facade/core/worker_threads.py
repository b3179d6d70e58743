"""Threads for work that would keep the event loop from others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class NoFreeThread(Exception):
    """All threads were busy until the caller's time ended: the work has not begun."""


class WorkerThreads:
    """A few threads; work waits until one is free. Made on the event loop that uses it."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = asyncio.Semaphore(threads)

    def close(self) -> None:
        """Take no more work; what runs goes on."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(
        self, work: Callable[[], _T], *, wait: float, limit: float, known: Callable[[], _T | None] = lambda: None
    ) -> _T:
        """The result of the work, or what ``known`` gives once a thread is free: others may have done the same work.

        NoFreeThread after ``wait`` seconds without a thread, TimeoutError after ``limit`` seconds of work on the clock.
        A thread can't be stopped, and stays taken until the work ends: the work itself has to have an end, whatever it
        is given. On a busy machine it may take long: the limit is no measure of the work.
        """
        try:
            async with asyncio.timeout(wait):
                await self._free.acquire()
        except TimeoutError:
            raise NoFreeThread from None
        if (found := known()) is not None:
            self._free.release()
            return found
        loop = asyncio.get_running_loop()
        try:
            begun = self._pool.submit(work)
        except RuntimeError:
            self._free.release()
            raise NoFreeThread from None

        def free(_: object) -> None:
            # The loop is closed where nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._free.release)

        begun.add_done_callback(free)
        async with asyncio.timeout(limit):
            return await asyncio.wrap_future(begun)
