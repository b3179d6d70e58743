"""Waiting for changes to become visible: brokers learn of them shortly after the controller has applied them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

# Pauses (s) between checks; the last one repeats.
_PAUSES: Final = (0.005, 0.01, 0.02, 0.05)


async def looks(deadline: float) -> AsyncIterator[float]:
    """Yield the remaining seconds before each check, until the deadline (of :func:`time.monotonic`)."""
    attempt = 0
    while (left := deadline - time.monotonic()) > 0:
        yield left
        await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        attempt += 1
