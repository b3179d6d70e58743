"""A bounded thread pool for work that would block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_T = TypeVar("_T")

SHORT: Final = 64 * 1024
"""Work on more bytes may take long: the time that a schema takes may grow with the square of its size."""

_current = threading.local()


class NoFreeThread(Exception):
    """No thread became free in time; the work was not started."""


def others_wait() -> bool:
    """Return whether other work waits for this thread, which therefore should not take long."""
    threads: WorkerThreads | None = getattr(_current, "threads", None)
    return threads is not None and threads.has_waiting


class WorkerThreads:
    """A few threads; work waits until one is free. Create it on the event loop that uses it.

    Short work goes first, and long work never takes the last thread, so that it does not delay short work.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=setattr, initargs=(_current, "threads", self)
        )
        self._free = threads
        self._free_for_long = max(1, threads - 1)
        self._short: deque[asyncio.Future[None]] = deque()
        self._long: deque[asyncio.Future[None]] = deque()

    @property
    def has_waiting(self) -> bool:
        """Whether work waits for a thread."""
        return bool(self._short or self._long)

    def close(self) -> None:
        """Accept no more work; running work is not interrupted."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(
        self,
        work: Callable[[], _T],
        *,
        wait: float,
        limit: float,
        known: Callable[[], _T | None] = lambda: None,
        long: bool = False,
    ) -> _T:
        """Run the work in a thread and return its result.

        Once a thread is free, ``known`` is asked first: another caller may have computed the result meanwhile. Raises
        NoFreeThread after ``wait`` seconds without a free thread, and TimeoutError after ``limit`` seconds of wall
        time. A thread cannot be stopped and stays occupied until the work ends, so the work must be bounded by itself.
        """
        try:
            async with asyncio.timeout(wait):
                await self._take(long)
        except TimeoutError:
            raise NoFreeThread from None
        if (found := known()) is not None:
            self._give_back(long)
            return found
        loop = asyncio.get_running_loop()
        try:
            begun = self._pool.submit(work)
        except RuntimeError:
            self._give_back(long)
            raise NoFreeThread from None

        def free(_: object) -> None:
            # The loop may already be closed during shutdown.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._give_back, long)

        begun.add_done_callback(free)
        try:
            async with asyncio.timeout(limit):
                return await asyncio.wrap_future(begun)
        finally:
            # Break the reference cycle: the traceback of the work's error refers to this frame, and the future to it.
            del begun

    async def _take(self, long: bool) -> None:
        queue = self._long if long else self._short
        granted = asyncio.get_running_loop().create_future()
        queue.append(granted)
        self._grant()
        try:
            await granted
        except BaseException:
            if granted in queue:
                queue.remove(granted)
            elif not granted.cancelled():
                self._give_back(long)
            raise

    def _give_back(self, long: bool) -> None:
        self._free += 1
        self._free_for_long += long
        self._grant()

    def _grant(self) -> None:
        """Let waiting work begin while there are threads."""
        while self._free and (self._short or (self._long and self._free_for_long)):
            long = not self._short
            granted = (self._long if long else self._short).popleft()
            if granted.cancelled():
                continue
            self._free -= 1
            self._free_for_long -= long
            granted.set_result(None)
