"""Waits for changes to become visible: brokers learn of them a moment after the controller has made them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

# Pauses (s) between looks; the last one repeats.
_PAUSES: Final = (0.005, 0.01, 0.02, 0.05)


async def looks(deadline: float) -> AsyncIterator[float]:
    """Yield the seconds that are left, once for each look, until the deadline (of :func:`time.monotonic`)."""
    attempt = 0
    while (left := deadline - time.monotonic()) > 0:
        yield left
        await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        attempt += 1
