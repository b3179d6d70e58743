"""A bounded thread pool for work that would block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class NoFreeThread(Exception):
    """No thread became free in time; the work was not started."""


class WorkerThreads:
    """A few threads; work waits until one is free. Create it on the event loop that uses it."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = asyncio.Semaphore(threads)

    def close(self) -> None:
        """Accept no more work; running work is not interrupted."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(
        self, work: Callable[[], _T], *, wait: float, limit: float, known: Callable[[], _T | None] = lambda: None
    ) -> _T:
        """Run the work in a thread and return its result.

        Once a thread is free, ``known`` is asked first: another caller may have computed the result meanwhile. Raises
        NoFreeThread after ``wait`` seconds without a free thread, and TimeoutError after ``limit`` seconds of wall
        time. A thread cannot be stopped and stays occupied until the work ends, so the work must be bounded by itself.
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
            # The loop may already be closed during shutdown.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._free.release)

        begun.add_done_callback(free)
        async with asyncio.timeout(limit):
            return await asyncio.wrap_future(begun)
