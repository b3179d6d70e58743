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

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=replace_in_this_thread)

    async def run(self, within: float, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a call in a thread. Raises KafkaTimeout after ``within`` seconds, though the thread may still run."""
        return await settled(self.begin(call, *args, **kwargs), within)

    def begin(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Start a call in a thread."""
        return self._pool.submit(call, *args, **kwargs)

    def part(self, threads: int) -> Blocking:
        """Return a part of the pool, which uses at most this many of its threads at a time; further calls wait."""
        return _Part(self._pool, threads)

    def close(self) -> None:
        """Accept no more calls, and do not wait for threads that are stuck."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Part(Blocking):
    """Some threads of a pool, whose owner closes it."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self._pool = pool
        self._threads = threads
        self._free = threads
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._lock = threading.Lock()

    def begin(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Start a call in a thread, or queue it while all threads of this part are in use."""
        future: Future[_T] = Future()
        self._waiting.append((future, partial(call, *args, **kwargs)))
        self._start()
        return future

    def part(self, threads: int) -> Blocking:
        """Return a part of the same pool."""
        return _Part(self._pool, min(threads, self._threads))

    def close(self) -> None:
        """Cancel the calls that wait; those that run are not interrupted."""
        while self._waiting:
            self._waiting.popleft()[0].cancel()

    def _start(self) -> None:
        with self._lock:
            if not (self._free and self._waiting):
                return
            self._free -= 1
        try:
            self._pool.submit(self._run)
        except RuntimeError:
            # The pool is closed.
            with self._lock:
                self._free += 1
            self.close()

    def _run(self) -> None:
        """Run the call that waits for longest, in a thread."""
        try:
            with contextlib.suppress(IndexError):
                _complete(*self._waiting.popleft())
        finally:
            with self._lock:
                self._free += 1
            self._start()


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
    """Await futures by topic; a failed one is replaced by the core's error."""
    answers = await settled_all(list(futures.values()), timeout, list(futures))
    return dict(zip(futures, answers, strict=True))


async def settled_all(futures: Sequence[Future[Any]], timeout: float, topics: Sequence[str] = ()) -> list[Any]:
    """Await futures in order; a failed one is replaced by the core's error, an unfinished one by KafkaTimeout.

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
