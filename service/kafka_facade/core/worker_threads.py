"""A bounded thread pool for work that would block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
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


class _Waiting:
    """Work that waits for a thread, in order of arrival. The smallest and the oldest take turns."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, asyncio.Future[None]]] = []
        self._takes_oldest = False

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, size: int, granted: asyncio.Future[None]) -> None:
        self._entries.append((size, granted))

    def discard(self, granted: asyncio.Future[None]) -> None:
        self._entries = [entry for entry in self._entries if entry[1] is not granted]

    def take(self) -> asyncio.Future[None]:
        sizes = [size for size, _ in self._entries]
        index = 0 if self._takes_oldest else sizes.index(min(sizes))
        self._takes_oldest = not self._takes_oldest
        return self._entries.pop(index)[1]


class WorkerThreads:
    """A few threads; work waits until one is free. Create it on the event loop that uses it.

    Short work goes first, and long work never takes the last thread, so that it does not delay short work. Much work of
    one size does not delay smaller work by more than one turn.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=setattr, initargs=(_current, "threads", self)
        )
        self._free = threads
        self._free_for_long = max(1, threads - 1)
        self._short = _Waiting()
        self._long = _Waiting()

    @property
    def has_waiting(self) -> bool:
        """Whether work waits for a thread."""
        return len(self._short) + len(self._long) > 0

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
        size: int = 0,
    ) -> _T:
        """Run the work, on so many bytes, in a thread and return its result.

        Once a thread is free, ``known`` is asked first: another caller may have computed the result meanwhile. Raises
        NoFreeThread after ``wait`` seconds without a free thread, and TimeoutError after ``limit`` seconds of wall
        time. A thread cannot be stopped and stays occupied until the work ends, so the work must be bounded by itself.
        """
        long = size > SHORT
        try:
            async with asyncio.timeout(wait):
                await self._take(size)
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

    async def _take(self, size: int) -> None:
        queue = self._long if size > SHORT else self._short
        granted = asyncio.get_running_loop().create_future()
        queue.add(size, granted)
        self._grant()
        try:
            await granted
        except BaseException:
            if granted.done() and not granted.cancelled():
                self._give_back(size > SHORT)
            else:
                queue.discard(granted)
            raise

    def _give_back(self, long: bool) -> None:
        self._free += 1
        self._free_for_long += long
        self._grant()

    def _grant(self) -> None:
        """Let waiting work begin while there are threads."""
        while self._free and (len(self._short) or (len(self._long) and self._free_for_long)):
            long = not len(self._short)
            granted = (self._long if long else self._short).take()
            if granted.cancelled():
                continue
            self._free -= 1
            self._free_for_long -= long
            granted.set_result(None)
