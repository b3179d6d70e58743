"""The caller of an operation, and one call of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from kafka_facade.core.catalogue import Operation


class Caller(Struct, frozen=True, gc=False):
    """The caller of an operation: the face it uses, and its own timeout in seconds (None: no timeout)."""

    face: str
    timeout: float | None = None


class Call(Struct, gc=False):
    """One call of an operation. ``deadline`` is in seconds of :func:`time.monotonic`.

    ``hand_over`` delivers the result to the caller and raises if that fails. It is set for operations that must know
    whether the caller got the result. Such an operation calls it exactly once unless it fails, even if another worker
    runs the operation.
    """

    operation: Operation
    caller: Caller
    deadline: float
    hand_over: Callable[[Any], Awaitable[None]] | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())
