"""Who calls, and one call of an operation on its way through the core."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from kafka_facade.core.catalogue import Operation


class Caller(Struct, frozen=True, gc=False):
    """Who calls: the face that a request came through, and the caller's own limit in seconds (None: no limit)."""

    face: str
    timeout: float | None = None


class Call(Struct, gc=False):
    """One call of an operation. ``deadline`` is in seconds of :func:`time.monotonic`.

    ``hand_over`` takes the result to the caller and raises where that fails, for operations that must know. They call
    it once unless they fail, also where another worker runs them.
    """

    operation: Operation
    caller: Caller
    deadline: float
    hand_over: Callable[[Any], Awaitable[None]] | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())
