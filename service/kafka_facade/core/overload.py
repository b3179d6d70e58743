"""Protection against a shortage of memory: reject new calls, and cut off requests that arrive and large responses."""

from __future__ import annotations

import time
from typing import Final

from kafka_facade.core.arrivals import Arrivals
from kafka_facade.core.call import Call
from kafka_facade.core.errors import TooManyRequests
from kafka_facade.core.memory_budget import MemoryBudget
from kafka_facade.core.outgoing import LEAST_BYTES, Outgoing
from kafka_facade.core.stream_memory import StreamMemory

REQUESTS_BYTES: Final = 128 * 1024 * 1024
MESSAGE: Final = "The gateway is short of memory. Try again later."

# These calls free memory, or let a consumer commit before it ends.
_FREEING: Final = frozenset(
    (
        "api.v2.consumers.delete",
        "api.v2.consumers.unsubscribe",
        "api.v2.consumers.commit-offsets",
    )
)
# Requests that take longer than this (s) to arrive are cut off, and at this multiple of the limit earlier ones too.
_PATIENCE_SECONDS: Final = 1.0
_URGENT: Final = 1.1
_URGENT_SECONDS: Final = 0.1
# What is cut off has freed its memory after so many measurements; only then streams that may pause are cut off too.
_RELIEF_MEASUREMENTS: Final = 2
# The part of the limit that large messages on their way out may take by default.
_OUTGOING_PART: Final = 4
# The shortage ends at this share of the limit.
_ENOUGH: Final = 0.95


class Overload:
    """A stage that rejects calls while the process uses more than ``limit`` bytes of memory; 0 is no limit.

    ``budget`` (bytes) is the memory for large requests, and as much is for large responses that are being built,
    for large events of subscriptions, and for produce streams. ``outgoing`` (bytes) is for large messages that are
    being sent; by default it is a share of the limit.
    """

    def __init__(self, limit: int = 0, budget: int = REQUESTS_BYTES, outgoing: int = 0) -> None:
        self.limit = limit
        self.requests = MemoryBudget(budget)
        self.responses = MemoryBudget(budget)
        # A budget of their own, because events may take long: they wait for schemas.
        self.events = MemoryBudget(budget)
        self.streams = StreamMemory(budget, self.requests)
        self.outgoing = Outgoing(outgoing or max(LEAST_BYTES, limit // _OUTGOING_PART))
        self.exceeded = False
        self.arrivals = Arrivals()
        # When the shortage began, or requests were last cut off that certainly hold something.
        self._since = 0.0
        self._measurements = 0

    def enter(self, call: Call) -> None:
        """Raise TooManyRequests while there is a shortage."""
        if self.exceeded and call.operation.identifier not in _FREEING:
            raise TooManyRequests(MESSAGE)

    def leave(self, call: Call, error: BaseException | None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Reject requests that wait for memory, because the server drains."""
        self.requests.close()
        self.responses.close()
        self.outgoing.close()

    def measured(self, used: int) -> int:
        """Take the memory in use (bytes), and cut off requests, and responses, if it is too much. Return how many."""
        if not self.limit:
            return 0
        now, was = time.monotonic(), self.exceeded
        self.exceeded = used > self.limit * (_ENOUGH if was else 1)
        if not self.exceeded:
            return 0
        self.requests.reject_waiting()
        self.responses.reject_waiting()
        self.outgoing.reject_waiting()
        patience = _URGENT_SECONDS if used > self.limit * _URGENT else _PATIENCE_SECONDS
        count = self.arrivals.cut_off(patience)
        self._measurements += 1
        if count or not was:
            self._since, self._measurements = now, 0
        elif now - self._since > patience and self._measurements >= _RELIEF_MEASUREMENTS:
            count = self.outgoing.cut_off_largest(used - int(self.limit * _ENOUGH), patience)
            if count:
                self._since, self._measurements = now, 0
            else:
                count = self.arrivals.cut_off(patience, may_pause=True)
        return count + self.streams.cut_off_unread(patience)
