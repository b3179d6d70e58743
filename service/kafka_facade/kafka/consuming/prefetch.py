"""The memory budget for prefetched records, shared by all consumers.

librdkafka buffers up to 64 MB of fetched records per client by default, far too much for a thousand clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_facade.kafka.memory_budget import MemoryBudget, MemoryShare

# A consumer takes one of this many parts of the free budget.
_PART = 16
# Half of a share is for queued records, half for one more fetch response.
_HALVES = 2
# librdkafka counts neither keys nor headers in the bytes of its queue, so the number of records has to bound them too.
# It fetches again while fewer are queued, and looks again after the backoff: the event loop may take 400 in one ms.
# If each record has a key of 1 MB, those of the first consumer take about half of the budget.
_MOST_RECORDS = 20_000
_RECORD_BYTES = 1_750_000
# The end of a partition takes a place in the queue too, and the threads of a full queue wake up after each backoff.
# With one place, 75 idle members at the end of a partition kept a core busy.
_FEWEST_RECORDS = 16
# Half of the first consumer's share is about this part of the budget. Later consumers have smaller shares: they queue
# fewer records, by the square, since keys and headers count only once they are read. Their broker threads wake up less
# often: while a queue is full, they do so after each backoff.
_FIRST_PART = 64
_MOST_BACKOFF_MS = 10
# After a poll with smaller keys and headers, those of the queued records may still be almost as large as before.
_KEPT, _OF = 7, 8
# A fetch response is limited by its size on the wire but held decompressed, and zstd makes up to 20,000 bytes of one.
# With this part of the whole budget a response of one partition stays below it, however well its records are
# compressed; each batch is still returned whole (KIP-74). Larger responses save CPU time only where batches are small.
# Responses of later consumers are much smaller than their shares, so that those of all at once stay near the budget.
_FETCH_PART = 4
_RESPONSE_PART = 8 * 1024
_PARTITION_PART = 32 * 1024
_FEWEST_FETCH_BYTES = 1024
# A few batches of one small record each.
_FEWEST_PARTITION_BYTES = 256
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
    """A budget of ``total`` bytes for ``consumers``."""

    def __init__(self, total: int, consumers: int) -> None:
        self._memory = MemoryBudget(total, consumers, _PART)
        self.total = total
        self.uncounted = 0
        """The estimated bytes of prefetched keys and headers of all consumers, which librdkafka does not count."""

    def take(self) -> Share:
        """Take a share for one consumer, to be given back later."""
        return Share(self._memory.take(), self)


class Share:
    """The ``size`` in bytes that one consumer may prefetch."""

    def __init__(self, memory: MemoryShare, budget: PrefetchBudget) -> None:
        self.size = memory.size
        self._memory = memory
        self._budget = budget
        self._total = budget.total
        self._largest = 0
        self._uncounted = 0

    def give_back(self) -> None:
        """Return the share when the client is gone; idempotent."""
        self._memory.give_back()
        self._budget.uncounted -= self._uncounted
        self._uncounted = 0

    def count(self, largest: int, queued: int) -> None:
        """Estimate what keys and headers of up to ``queued`` records take, of which a poll returned the ``largest``."""
        self._largest = max(largest, self._largest * _KEPT // _OF)
        uncounted = self._largest * queued
        self._budget.uncounted += uncounted - self._uncounted
        self._uncounted = uncounted

    @property
    def is_exceeded(self) -> bool:
        """Whether this consumer prefetches more keys and headers than its share while all exceed the budget."""
        return self._uncounted > self.size and self._budget.uncounted > self._budget.total

    def config(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the client settings that enforce the share, taking the ``given`` ones into account."""
        half = min(_MOST_BYTES, self.size // _HALVES)
        part = min(1.0, self.size / _HALVES * _FIRST_PART / self._total)
        records = min(_MOST_RECORDS, self._total // _RECORD_BYTES)
        fetch = min(half // _FETCH_PART, max(_FEWEST_FETCH_BYTES, int(self._total * part**3) // _RESPONSE_PART))
        if _LARGEST_ANSWER in given:
            fetch = min(fetch, int(given[_LARGEST_ANSWER]) - _ANSWER_OVERHEAD)
        fetch = int(given.get(_LARGEST_FETCH, fetch))
        message = int(given.get(_LARGEST_MESSAGE, min(fetch, _LARGEST_MESSAGE_BYTES)))
        return {
            "queued.max.messages.kbytes": max(1, half // 1024),
            "queued.min.messages": max(_FEWEST_RECORDS, int(records * part * part)),
            "fetch.queue.backoff.ms": min(_MOST_BACKOFF_MS, int(1 / part)),
            # A larger single record is still returned (KIP-74).
            _LARGEST_FETCH: max(fetch, message),
            _LARGEST_MESSAGE: message,
            "max.partition.fetch.bytes": min(
                fetch,
                _MOST_PARTITION_BYTES,
                max(_FEWEST_PARTITION_BYTES, int(self._total * part**2) // _PARTITION_PART),
            ),
        }
