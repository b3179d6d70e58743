"""Requests that are still arriving, which may be cut off in a shortage of memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# Maximum number of requests to cut off at a time: each takes up to 50 us.
_AT_A_TIME: Final = 200


class Arrivals:
    """Requests of which a part has arrived: nothing else bounds what all of them hold."""

    def __init__(self) -> None:
        self._arriving: dict[object, tuple[float, Callable[[], object]]] = {}
        # gRPC does not tell which of these hold a part of a message; most hold nothing, so they are cut off last.
        self._pausing: dict[object, tuple[float, Callable[[], object]]] = {}

    def begin(self, request: object, cut_off: Callable[[], object], *, may_pause: bool = False) -> None:
        """Record that a request begins to arrive, if it has not begun yet; ``cut_off`` ends it with an error.

        ``may_pause``: it is the next message of a stream, of which perhaps nothing has arrived.
        """
        (self._pausing if may_pause else self._arriving).setdefault(request, (time.monotonic(), cut_off))

    def end(self, request: object) -> None:
        """Record that the request has arrived, or has ended."""
        self._arriving.pop(request, None)
        self._pausing.pop(request, None)

    def cut_off(self, patience: float, *, may_pause: bool = False) -> int:
        """Cut off those that have been arriving for longest, and for more than ``patience`` (s). Return how many.

        ``may_pause``: cut off streams that may pause, instead of the others.
        """
        before = time.monotonic() - patience
        late: list[tuple[object, Callable[[], object]]] = []
        for request, (began, end) in (self._pausing if may_pause else self._arriving).items():
            if began > before or len(late) == _AT_A_TIME:
                break
            late.append((request, end))
        for request, end in late:
            self.end(request)
            end()
        return len(late)
