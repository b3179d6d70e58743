"""The memory of records in the queues of producers, which librdkafka bounds by their values only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kafka_facade.core.records.headers import count_bytes
from kafka_facade.core.records.model import Header
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.core.time_slices import time_slice

# Memory (bytes) that librdkafka takes for a header besides its name and value.
_HEADER_OVERHEAD: Final = 80
MANY_HEADERS: Final = 1_000
"""Measuring more headers than this, or handing them over, takes up to 10 ms."""
# So many of the records that are measured together are made into pairs, which take more memory than the headers.
_PREPARED_HEADERS: Final = 100_000


class QueuedBytes:
    """The ``size`` of a client's unacknowledged records: their keys, values and headers; ``most`` is its limit.

    A record over the limit is taken alone.
    """

    __slots__ = ("most", "size")

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0

    @property
    def most_waiting(self) -> int:
        """How much of one lane may wait in front of the client."""
        return self.most // 2

    def room(self, own: int) -> int:
        """Return how much more a lane with ``own`` bytes may add: as long as it has less than what is left free.

        So one lane that hangs gets half of the queue, two get a third each, and there is always something left.
        """
        return (self.most - self.size - own) // 2


UNQUEUED: Final = QueuedBytes(0)
"""That of records that have not been handed to a client; never modified."""


async def measure(records: Sequence[SerializedRecord]) -> int:
    """Set the size of each record and return their sum, in time slices if there are many headers.

    Those of a record with many headers are also made into pairs, which takes as long as handing them over.
    """
    total = headers = prepared = 0
    for record in records:
        size = len(record.key or b"") + len(record.value or b"")
        if record.headers:
            headers += len(record.headers)
            if headers > MANY_HEADERS:
                await time_slice()
                headers = 0
            size += count_bytes(record.headers) + len(record.headers) * _HEADER_OVERHEAD
            if MANY_HEADERS < len(record.headers) <= _PREPARED_HEADERS - prepared:
                prepared += len(record.headers)
                record.pairs = await _pairs(record.headers)
        record.size = size
        total += size
    return total


def pairs(headers: Sequence[Header]) -> list[tuple[str, bytes | None]]:
    """Return headers as the client takes them."""
    return [(header.name, header.value) for header in headers]


async def _pairs(headers: Sequence[Header]) -> list[tuple[str, bytes | None]]:
    made: list[tuple[str, bytes | None]] = []
    for start in range(0, len(headers), MANY_HEADERS):
        await time_slice()
        made += pairs(headers[start : start + MANY_HEADERS])
    return made
