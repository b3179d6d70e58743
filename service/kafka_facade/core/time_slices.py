"""Time slices, which keep CPU-bound work from blocking the event loop.

CPU-bound work awaits :func:`time_slice` before each small piece, and after each await of something else. In each
iteration of the loop all such tasks together may run for one slice; the others wait, first come first served. The loop
is therefore blocked for at most about one slice plus one piece.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")

SLICE_SECONDS: Final = 0.005
"""How long CPU-bound work may run in one iteration of the event loop."""

_MOST_WOKEN = 1024
# How many items make up one piece of work in in_slices and sorted_in_slices.
_MADE_AT_ONCE = 8
_SORTED_AT_ONCE = 1024


class _Slices:
    """The slices of one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        # Whether a slice has begun in this iteration, and until when further pieces may start.
        self._begun = False
        self._ends = 0.0
        self._scheduled = False
        # How many waiters to wake in the next iteration, and whether that was more than fit into the slice.
        self._woken = 1
        self._overrun = False

    def _may_begin(self) -> bool:
        now = time.perf_counter()
        if self._begun:
            return now < self._ends
        self._begun, self._ends = True, now + SLICE_SECONDS
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_pass)
        return True

    async def wait(self) -> None:
        if not self._waiting and self._may_begin():
            return
        create_future = asyncio.get_running_loop().create_future
        waiter = create_future()
        self._waiting.append(waiter)
        await waiter
        while not self._may_begin():
            self._overrun = True
            waiter = create_future()
            self._waiting.appendleft(waiter)
            await waiter

    def _next_pass(self) -> None:
        self._woken = max(1, self._woken // 2) if self._overrun else min(_MOST_WOKEN, self._woken * 2)
        self._begun = self._overrun = False
        left = self._woken
        while left and self._waiting:
            waiter = self._waiting.popleft()
            # Skip waiters that were cancelled.
            if not waiter.done():
                waiter.set_result(None)
                left -= 1
        self._scheduled = left < self._woken
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._next_pass)
        else:
            self._woken = 1


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Slices] = WeakKeyDictionary()


async def time_slice() -> None:
    """Wait until CPU-bound work may go on: usually not at all, else until a later iteration of the loop."""
    loop = asyncio.get_running_loop()
    slices = _of_loop.get(loop)
    if slices is None:
        slices = _of_loop[loop] = _Slices()
    await slices.wait()


async def in_slices(make: Callable[[_Item], _Made], items: Iterable[_Item]) -> list[_Made]:
    """Apply ``make`` to each item and return the results in order. Each call should take far less than 1 ms."""
    made: list[_Made] = []
    left = iter(items)
    while piece := list(islice(left, _MADE_AT_ONCE)):
        await time_slice()
        made += map(make, piece)
    return made


async def sorted_in_slices(items: Sequence[_Item], key: Callable[[_Item], Any]) -> list[_Item]:
    """Sort like ``sorted``, in time slices."""
    parts = []
    for start in range(0, len(items), _SORTED_AT_ONCE):
        await time_slice()
        parts.append(sorted(items[start : start + _SORTED_AT_ONCE], key=key))
    return parts[0] if len(parts) == 1 else await in_slices(_same, heapq.merge(*parts, key=key))


def _same(item: _Item) -> _Item:
    return item
