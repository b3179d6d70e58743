"""Deadlines of calls, much cheaper than ``asyncio.timeout``.

``asyncio.timeout`` creates and cancels a timer for each use, a noticeable cost for calls that take 0.1 ms. Deadlines
are long and rarely reached, so one periodic sweep over all running calls is enough.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

# Sweep interval in seconds; a deadline fires at most this late.
_LOOK_SECONDS = 0.05
# Deadlines shorter than this (s) get a timer of their own, because the delay of the sweep would be noticeable.
_SHORT_SECONDS = 5.0


class Deadlines:
    """The deadlines of one event loop."""

    def __init__(self) -> None:
        self._limits: set[Limit | _Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, seconds: float) -> Limit:
        """Return a context manager that cancels its block after ``seconds`` and raises TimeoutError."""
        return Limit(self, seconds)

    def watch(self, seconds: float, late: Callable[[], object]) -> None:
        """Call ``late`` after ``seconds``, unless this task is done by then."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A deadline needs a task.")
        found = _Watch(task.get_loop().time() + seconds, late)
        self.add(found)
        task.add_done_callback(lambda _: self.discard(found))

    def add(self, limit: Limit | _Watch) -> None:
        """Include a deadline in the sweep."""
        self._limits.add(limit)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def discard(self, limit: Limit | _Watch) -> None:
        """Drop a deadline whose block has ended."""
        self._limits.discard(limit)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        try:
            for limit in self._limits:
                if limit.deadline <= now:
                    limit.expire()
        finally:
            self._timer = loop.call_later(_LOOK_SECONDS, self._look) if self._limits else None


class _Watch:
    """A deadline at which something is called, once."""

    __slots__ = ("_late", "deadline")

    def __init__(self, deadline: float, late: Callable[[], object]) -> None:
        self.deadline = deadline
        self._late = late

    def expire(self) -> None:
        self.deadline = math.inf
        self._late()


class Limit:
    """A block with a deadline: ``with deadlines.limit(seconds): ...`` in a coroutine, as with ``asyncio.timeout``."""

    __slots__ = ("_cancelling", "_expired", "_owner", "_seconds", "_task", "_timer", "deadline")

    def __init__(self, owner: Deadlines, seconds: float) -> None:
        self._owner = owner
        self._seconds = seconds
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A deadline needs a task.")
        self._task = task
        self._cancelling = task.cancelling()
        loop = task.get_loop()
        self.deadline = loop.time() + self._seconds
        if self._seconds < _SHORT_SECONDS:
            self._timer = loop.call_later(max(0.0, self._seconds), self.expire)
        else:
            self._owner.add(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        else:
            self._owner.discard(self)
        # If the task was also cancelled for another reason, let that CancelledError propagate.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the block, once."""
        if not self._expired:
            self._expired = True
            self._task.cancel()
