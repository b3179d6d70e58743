"""The memory budget for prefetched records, shared by all consumers.

librdkafka buffers up to 64 MB of fetched records per client by default, far too much for a thousand clients. The limits
of a client are fixed at creation, so each client takes a share of one budget: the first clients get large shares, later
ones a small share that is reserved for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_facade.core.records.model import RECORD_OVERHEAD

# A consumer takes one of this many parts of the free budget.
_PART = 16
# Half of a share is for queued records, half for one more fetch response.
_HALVES = 2
_MOST_RECORDS = 20_000
_FEWEST_RECORDS = 100
_LEAST_BYTES = 16 * 1024
# A fetch response is limited by its size on the wire; small records take several times as much in memory.
_FETCH_PART = 4
_MOST_PARTITION_BYTES = 256 * 1024
# librdkafka's maximum for these settings.
_MOST_BYTES = 1_000_000_000
# librdkafka requires the fetch limit to lie between these two settings, with a margin.
_LARGEST_MESSAGE = "message.max.bytes"
_LARGEST_ANSWER = "receive.message.max.bytes"
_LARGEST_FETCH = "fetch.max.bytes"
_ANSWER_OVERHEAD = 512
_LARGEST_MESSAGE_BYTES = 1_000_000


class PrefetchBudget:
    """A budget of ``total`` bytes; at least half is divided evenly among ``consumers``, the rest is first come."""

    def __init__(self, total: int, consumers: int) -> None:
        self._floor = max(_LEAST_BYTES, total // _HALVES // consumers)
        self._free = total // _HALVES

    def take(self) -> Share:
        """Take a share for one consumer, to be given back later."""
        extra = self._free // _PART
        self._free -= extra
        return Share(self, self._floor + extra, extra)

    def give_back(self, extra: int) -> None:
        """Return the part of a share beyond the even one."""
        self._free += extra


class Share:
    """The ``size`` in bytes that one consumer may prefetch."""

    def __init__(self, budget: PrefetchBudget, size: int, extra: int) -> None:
        self.size = size
        self._budget = budget
        self._extra = extra

    def config(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the client settings that enforce the share, taking the ``given`` ones into account."""
        half = min(_MOST_BYTES, self.size // _HALVES)
        fetch = half // _FETCH_PART
        if _LARGEST_ANSWER in given:
            fetch = min(fetch, int(given[_LARGEST_ANSWER]) - _ANSWER_OVERHEAD)
        fetch = int(given.get(_LARGEST_FETCH, fetch))
        message = int(given.get(_LARGEST_MESSAGE, min(fetch, _LARGEST_MESSAGE_BYTES)))
        return {
            "queued.max.messages.kbytes": max(1, half // 1024),
            "queued.min.messages": min(_MOST_RECORDS, max(_FEWEST_RECORDS, half // RECORD_OVERHEAD)),
            # A larger single record is still returned (KIP-74).
            _LARGEST_FETCH: max(fetch, message),
            _LARGEST_MESSAGE: message,
            "max.partition.fetch.bytes": min(fetch, _MOST_PARTITION_BYTES),
        }

    def give_back(self) -> None:
        """Return the share when the consumer is gone; idempotent."""
        self._budget.give_back(self._extra)
        self._extra = 0
