"""Waiting for what nothing tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_SECONDS = 60


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = _SECONDS) -> None:
    """Wait until a condition is met."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.1)
