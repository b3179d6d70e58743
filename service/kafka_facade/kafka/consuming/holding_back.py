"""Stops the prefetching of slow readers while keys and headers exceed the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kafka_facade.kafka.consuming.prefetch import Share

# A reader is slow if it does not poll again within this time (s).
_SLOW_SECONDS: Final = 0.01


class HoldBack:
    """Notices that a consumer whose share is exceeded has not polled for a while.

    ``queued`` is how many records the client prefetches at most.
    """

    def __init__(self, share: Share | None, queued: int) -> None:
        self._share = share
        self._queued = queued
        self._timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Record that the consumer polls again, or closes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def polled(self, largest: int | None, hold_back: Callable[[], None]) -> None:
        """Note the end of a poll; ``hold_back`` is called if the next one is late.

        ``largest`` is the most bytes of key and headers of the records, None if there were none.
        """
        if self._share is None:
            return
        if largest is not None:
            self._share.count(largest, self._queued)
        if self._share.is_exceeded:
            self._timer = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._late, hold_back)

    def _late(self, hold_back: Callable[[], None]) -> None:
        # The timer refers to the consumer, and would make a reference cycle with it.
        self._timer = None
        hold_back()
