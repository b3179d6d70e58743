"""Work that ends early when something else happens."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def unless(event: asyncio.Future[Any], work: Coroutine[Any, Any, None]) -> None:
    """Await the work, or cancel it once ``event`` is done. Raises the errors of the work.

    Afterwards check whether ``event`` is done: both may have happened at once. ``event`` is never cancelled.
    """
    task = asyncio.create_task(work, name="interruptible work")
    try:
        await asyncio.wait({task, event}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        # Also take the error of work that has just ended, since asyncio logs those that are not taken.
        await asyncio.gather(task, return_exceptions=True)
    if not event.done():
        task.result()
