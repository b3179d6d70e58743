"""Equal reads that wait for each other and share one answer, so that many at once ask Kafka, and use the CPU, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

from kafka_facade.core.errors import FacadeError, KafkaTimeout

_T = TypeVar("_T")

# How long (s) a read waits for the one before: a broker that hangs must not delay more than that one.
_PATIENCE_SECONDS: Final = 0.5


class _Run:
    """A read that has not begun yet, and those who wait for it."""

    __slots__ = ("deadline", "task", "waiting")

    def __init__(self) -> None:
        self.deadline = 0.0
        self.waiting = 0
        self.task: asyncio.Task[Any] | None = None


class JoinedReads:
    """Shares reads with equal keys.

    No caller gets an answer to a request that was sent before its own: it would lack what it has changed before. So
    while a read runs, all that come meanwhile share the next one.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}
        self._next: dict[Hashable, _Run] = {}

    async def ask(self, key: Hashable, timeout: float, read: Callable[[float], Awaitable[_T]]) -> _T:
        """Return the answer of ``read``, which is called with a timeout, or of an equal one.

        Callers must not change the answer. Raises its errors, and KafkaTimeout.
        """
        run = self._next.get(key)
        if run is None:
            run = self._next[key] = _Run()
            run.task = asyncio.create_task(self._run(key, run, read), name="joined read")
        assert run.task is not None
        run.deadline = max(run.deadline, time.monotonic() + timeout)
        run.waiting += 1
        try:
            async with asyncio.timeout(timeout):
                outcome: _T | FacadeError = await asyncio.shield(run.task)
        except TimeoutError:
            raise KafkaTimeout from None
        finally:
            run.waiting -= 1
            if not run.waiting and not run.task.done():
                self._begun(key, run)
                run.task.cancel()
        if isinstance(outcome, FacadeError):
            raise _another(outcome)
        return outcome

    def _begun(self, key: Hashable, run: _Run) -> None:
        """Let no other caller join the run: from now on it may lack what they change."""
        if self._next.get(key) is run:
            del self._next[key]

    async def _run(self, key: Hashable, run: _Run, read: Callable[[float], Awaitable[_T]]) -> _T | FacadeError:
        before = self._running.get(key)
        try:
            if before is not None:
                await asyncio.wait({before}, timeout=_PATIENCE_SECONDS)
        finally:
            self._begun(key, run)
        own = self._running[key] = asyncio.current_task()  # type: ignore[assignment]
        try:
            return await read(run.deadline - time.monotonic())
        except FacadeError as error:
            # Its traceback would keep the frames of all who wait.
            return error.with_traceback(None)
        finally:
            if self._running.get(key) is own:
                del self._running[key]


def _another(error: FacadeError) -> FacadeError:
    """Return an equal error: each who raises it adds to its traceback."""
    made: FacadeError = type(error).__new__(type(error))
    made.args = error.args
    made.__dict__.update(error.__dict__)
    return made
