"""Garbage collection without long pauses of the event loop.

Python collects young objects often, which is quick. A full collection takes as long as there are objects, so it runs
here: while there are few or the process is idle, or once so many have been added that garbage is likely.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from typing import Final

# Young objects are collected after so many allocations; survivors once more after so many such collections. That takes
# up to 0.6 us for each object: tasks with their coroutines are the slowest.
_YOUNG: Final = (3_000, 2)
# Python itself never runs a full collection.
_NEVER: Final = 2**31 - 1
# A full collection is due after this many collections of survivors.
_DUE: Final = 40
_LOOK_SECONDS: Final = 0.2
# The process is idle if it was so in as many looks in a row: the next request may come soon.
_IDLE_LOOKS: Final = 3
# A full collection that may take longer is postponed.
_PAUSE_SECONDS: Final = 0.015
# It still runs at twice as many blocks of memory as after the last one, plus this many: about 300 MB.
_GROWTH: Final = 4_000_000
# Duration of a full collection for each block of memory, until it has been measured with this many.
_SECONDS_A_BLOCK: Final = 200e-9
_ENOUGH: Final = 20_000
# The longest duration counts, and less with each further collection.
_DECAY: Final = 0.9


class Garbage:
    """Runs the full collections of this process."""

    def __init__(self, is_idle: Callable[[], bool]) -> None:
        """Exclude objects that exist now from garbage collection: they are permanent.

        ``is_idle`` tells whether no request is in flight.
        """
        self._is_idle = is_idle
        self._idle_looks = 0
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_YOUNG, _NEVER)
        self._permanent = self._left = sys.getallocatedblocks()
        self._seconds_a_block = _SECONDS_A_BLOCK

    async def watch(self) -> None:
        """Run full collections when they are due, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._idle_looks = self._idle_looks + 1 if self._is_idle() else 0
            if gc.get_count()[2] >= _DUE and self._may_collect():
                self.collect()

    def _may_collect(self) -> bool:
        blocks = sys.getallocatedblocks()
        short = (blocks - self._permanent) * self._seconds_a_block <= _PAUSE_SECONDS
        return short or self._idle_looks >= _IDLE_LOOKS or blocks > 2 * self._left + _GROWTH

    def collect(self) -> None:
        """Run a full collection."""
        blocks = sys.getallocatedblocks() - self._permanent
        started = time.thread_time()
        gc.collect()
        if blocks > _ENOUGH:
            measured = (time.thread_time() - started) / blocks
            self._seconds_a_block = max(measured, _DECAY * self._seconds_a_block)
        self._left = sys.getallocatedblocks()
