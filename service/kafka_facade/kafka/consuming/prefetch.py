"""How far consumers may read ahead of their callers, all together.

A client keeps what it has fetched in memory, by default up to 64 MB; a thousand of them would take all there is. Its
limits are fixed when it is made, so each takes a share of one budget: the first ones large ones, all others a small one
that is kept for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_facade.core.records.model import RECORD_OVERHEAD

# A consumer takes this part of what is free.
_PART = 16
# Half of a share is for what waits, half for the fetch that may come on top.
_HALVES = 2
_MOST_RECORDS = 20_000
_FEWEST_RECORDS = 100
_LEAST_BYTES = 16 * 1024
# What comes with a fetch counts as it is sent: small records take several times as much in memory.
_FETCH_PART = 4
_MOST_PARTITION_BYTES = 256 * 1024
# More the client doesn't take.
_MOST_BYTES = 1_000_000_000
# The client takes a limit of a fetch only if it is neither below this nor above that, with some room.
_LARGEST_MESSAGE = "message.max.bytes"
_LARGEST_ANSWER = "receive.message.max.bytes"
_LARGEST_FETCH = "fetch.max.bytes"
_ANSWER_OVERHEAD = 512
_LARGEST_MESSAGE_BYTES = 1_000_000


class PrefetchBudget:
    """``total`` bytes, of which at least half is shared evenly by ``consumers``."""

    def __init__(self, total: int, consumers: int) -> None:
        self._floor = max(_LEAST_BYTES, total // _HALVES // consumers)
        self._free = total // _HALVES

    def take(self) -> Share:
        """A share for one consumer, until it is given back."""
        extra = self._free // _PART
        self._free -= extra
        return Share(self, self._floor + extra, extra)

    def give_back(self, extra: int) -> None:
        """What a share had beyond the evenly shared part is free again."""
        self._free += extra


class Share:
    """What one consumer may read ahead: ``size`` bytes."""

    def __init__(self, budget: PrefetchBudget, size: int, extra: int) -> None:
        self.size = size
        self._budget = budget
        self._extra = extra

    def config(self, given: Mapping[str, str]) -> dict[str, Any]:
        """The client's settings that hold it, beside those that are ``given``."""
        half = min(_MOST_BYTES, self.size // _HALVES)
        fetch = half // _FETCH_PART
        if _LARGEST_ANSWER in given:
            fetch = min(fetch, int(given[_LARGEST_ANSWER]) - _ANSWER_OVERHEAD)
        fetch = int(given.get(_LARGEST_FETCH, fetch))
        message = int(given.get(_LARGEST_MESSAGE, min(fetch, _LARGEST_MESSAGE_BYTES)))
        return {
            "queued.max.messages.kbytes": max(1, half // 1024),
            "queued.min.messages": min(_MOST_RECORDS, max(_FEWEST_RECORDS, half // RECORD_OVERHEAD)),
            # A record that is larger comes all the same (KIP-74).
            _LARGEST_FETCH: max(fetch, message),
            _LARGEST_MESSAGE: message,
            "max.partition.fetch.bytes": min(fetch, _MOST_PARTITION_BYTES),
        }

    def give_back(self) -> None:
        """The consumer is gone; once more is the same."""
        self._budget.give_back(self._extra)
        self._extra = 0
