"""How long an event loop is blocked.

What else runs on the machine must not decide a test: beside the time on the clock, the processor time of the loop's own
thread is measured. Between two beats of the watch that is what callbacks took, one after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_BEAT_SECONDS = 0.005


class LoopWatch:
    """Watches the running loop, from :meth:`start` on."""

    def __init__(self) -> None:
        self.longest = 0.0
        """The longest time (s) between two beats, beyond that of a beat."""
        self.longest_busy = 0.0
        """The most processor time (s) that the loop's thread took between two beats."""
        self.longest_held = 0.0
        """The longest time (s) between two beats while the process was running: other threads may block the loop."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start watching."""
        self._task = asyncio.create_task(self._watch(), name="loop watch")

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def reset(self) -> None:
        """Reset the measurements."""
        self.longest = self.longest_busy = self.longest_held = 0.0

    async def _watch(self) -> None:
        while True:
            started, busy, ran = time.perf_counter(), time.thread_time(), time.process_time()
            await asyncio.sleep(_BEAT_SECONDS)
            waited = time.perf_counter() - started - _BEAT_SECONDS
            self.longest = max(self.longest, waited)
            self.longest_held = max(self.longest_held, min(waited, time.process_time() - ran))
            self.longest_busy = max(self.longest_busy, time.thread_time() - busy)


@asynccontextmanager
async def watched() -> AsyncIterator[LoopWatch]:
    """Watch the running loop within the block."""
    watch = LoopWatch()
    watch.start()
    try:
        yield watch
    finally:
        await watch.stop()
