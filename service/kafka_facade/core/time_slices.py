"""Time slices: heavy work shares the event loop with everything else.

Work that keeps the processor busy awaits :func:`time_slice` before each piece of it, and after each wait for something
else. All tasks that do so have one slice together in each pass of the loop, however many there are, and then wait for a
later pass in the order in which they came. So the loop is never blocked for much longer than a slice and one piece.
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
"""How long heavy work may run in one pass of the event loop."""

_MOST_WOKEN = 1024
# How many items are made, or sorted, as one piece.
_MADE_AT_ONCE = 8
_SORTED_AT_ONCE = 1024


class _Slices:
    """The slices of one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        # Whether somebody works in this pass, and until when others may begin.
        self._begun = False
        self._ends = 0.0
        self._scheduled = False
        # Many short pieces fit into a slice: how many are woken for the next pass, and whether that was too many.
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
            # One that was cancelled is done.
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
    """Return when heavy work may go on: mostly at once, in a later pass of the loop where this one is used up."""
    loop = asyncio.get_running_loop()
    slices = _of_loop.get(loop)
    if slices is None:
        slices = _of_loop[loop] = _Slices()
    await slices.wait()


async def in_slices(make: Callable[[_Item], _Made], items: Iterable[_Item]) -> list[_Made]:
    """What ``make`` makes of each item, in order; each call should take far less than a millisecond."""
    made: list[_Made] = []
    left = iter(items)
    while piece := list(islice(left, _MADE_AT_ONCE)):
        await time_slice()
        made += map(make, piece)
    return made


async def sorted_in_slices(items: Sequence[_Item], key: Callable[[_Item], Any]) -> list[_Item]:
    """The same as ``sorted``."""
    parts = []
    for start in range(0, len(items), _SORTED_AT_ONCE):
        await time_slice()
        parts.append(sorted(items[start : start + _SORTED_AT_ONCE], key=key))
    return parts[0] if len(parts) == 1 else await in_slices(_same, heapq.merge(*parts, key=key))


def _same(item: _Item) -> _Item:
    return item
