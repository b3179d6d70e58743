"""Runs blocking client calls in threads, and awaits the clients' futures on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from kafka_facade.core.errors import KafkaTimeout
from kafka_facade.core.time_slices import time_slice
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.text import replace_in_this_thread

_P = ParamSpec("_P")
_T = TypeVar("_T")

# The client enforces the timeout itself; wait this much longer (s) for its answer.
_GRACE_SECONDS = 1.0


class Blocking:
    """A bounded thread pool for blocking calls."""

    def __init__(self, name: str, threads: int, parts: int = 0) -> None:
        """``parts`` of the pool (see :meth:`part`) share its threads, and have one each besides."""
        self._pool = ThreadPoolExecutor(threads + parts, thread_name_prefix=name, initializer=replace_in_this_thread)
        self._common = _Common(threads)

    async def run(self, within: float, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a call in a thread. Raises KafkaTimeout after ``within`` seconds, though the thread may still run."""
        return await settled(self.begin(call, *args, **kwargs), within)

    def begin(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Start a call in a thread."""
        return self._pool.submit(call, *args, **kwargs)

    def part(self, most: int) -> Blocking:
        """Return a part of the pool, which uses ``most`` of its threads at most; further calls wait.

        A part always has one thread. Of those that all parts share it takes another one only while it has fewer of
        them than are free, so that hanging calls of some parts leave threads for the others (the dynamic thresholds of
        Choudhury and Hahne, 1998).
        """
        return _Part(self._pool, self._common, most)

    def close(self) -> None:
        """Accept no more calls, and do not wait for threads that are stuck."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Common:
    """What the parts of a pool share: ``free`` threads, those that wait for one, and the lock of all their counts."""

    def __init__(self, threads: int) -> None:
        self.free = threads
        self.waiting: set[_Part] = set()
        self.lock = threading.Lock()


class _Part(Blocking):
    """Some threads of a pool, whose owner closes it."""

    def __init__(self, pool: ThreadPoolExecutor, common: _Common, most: int) -> None:
        self._pool = pool
        self._common = common
        self._most = most
        self._running = 0
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def begin(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Start a call in a thread, or queue it while this part can have no more threads."""
        future: Future[_T] = Future()
        self._waiting.append((future, partial(call, *args, **kwargs)))
        self._start()
        return future

    def close(self) -> None:
        """Cancel the calls that wait; those that run are not interrupted."""
        while self._waiting:
            self._waiting.popleft()[0].cancel()
        with self._common.lock:
            self._common.waiting.discard(self)

    def _start(self) -> None:
        """Start a call that waits, if there is one and a thread for it."""
        with self._common.lock:
            if not self._take():
                return
        try:
            self._pool.submit(self._run)
        except RuntimeError:
            # The pool is closed.
            with self._common.lock:
                self._give_back()
            self.close()

    def _take(self) -> bool:
        common = self._common
        common.waiting.discard(self)
        if not self._waiting:
            return False
        # The first thread is its own; it has one less of the shared ones than calls run.
        if self._running and not (self._running < self._most and self._running <= common.free):
            common.waiting.add(self)
            return False
        if self._running:
            common.free -= 1
        self._running += 1
        return True

    def _give_back(self) -> None:
        self._running -= 1
        if self._running:
            self._common.free += 1

    def _run(self) -> None:
        """Run the call that waits for longest, in a thread."""
        try:
            with contextlib.suppress(IndexError):
                _complete(*self._waiting.popleft())
        finally:
            with self._common.lock:
                self._give_back()
                next_ones = sorted({*self._common.waiting, self}, key=lambda part: part._running)
            # The thread goes to those with the fewest.
            for part in next_ones:
                part._start()


def _complete(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


async def settled(future: Future[_T], timeout: float, **about: str) -> _T:
    """Await one of the client's futures, converting its error to the core's (``about``: see ``facade_error``)."""
    try:
        async with asyncio.timeout(timeout + _GRACE_SECONDS):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise KafkaTimeout from None
    except Exception as error:
        raise from_exception(error, **about) from error


async def settled_topics(futures: Mapping[str, Future[Any]], timeout: float) -> dict[str, Any]:
    """Await futures by topic; the core's error replaces a failed one."""
    answers = await settled_all(list(futures.values()), timeout, list(futures))
    return dict(zip(futures, answers, strict=True))


async def settled_all(futures: Sequence[Future[Any]], timeout: float, topics: Sequence[str] = ()) -> list[Any]:
    """Await futures in order; the core's error replaces a failed one, KafkaTimeout an unfinished one.

    ``topics`` has the topic of each future, if any.
    """
    loop = asyncio.get_running_loop()
    settled_down = asyncio.Event()
    # Futures complete in a client thread: wake the loop once for all of them, not once for each.
    lock, left = threading.Lock(), len(futures)

    def count(_future: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        # The loop may already be closed during shutdown.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settled_down.set)

    for future in futures:
        future.add_done_callback(count)
    if futures:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout + _GRACE_SECONDS):
                await settled_down.wait()
    outcomes = []
    for index, future in enumerate(futures):
        await time_slice()
        outcomes.append(_outcome(future, {"topic_name": topics[index]} if topics else {}))
    return outcomes


def _outcome(future: Future[Any], about: Mapping[str, str]) -> Any:
    if not future.done():
        return KafkaTimeout()
    error = future.exception()
    return future.result() if error is None else from_exception(error, **about)


def positive(timeout: float) -> float:
    """Return a timeout (s) above 0, because to the client 0 means no timeout."""
    return max(0.001, timeout)
