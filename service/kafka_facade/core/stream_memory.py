"""Memory of produce streams: records on their way to Kafka, and answers that wait for callers to read them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from kafka_facade.core.memory_budget import MemoryBudget
from kafka_facade.core.reservation import Reservation

logger = logging.getLogger("kafka_facade.core")

# While streams wait for memory, look this often (s) for some that may be freed.
_LOOK_SECONDS: Final = 1.0
# A caller may take so long (s) to read an answer while others wait for the memory.
_UNREAD_SECONDS: Final = 1.0
# The least (bytes) that is worth it to cut off a stream, and how many to cut off at a time: each takes up to 50 us.
_LEAST_BYTES: Final = 16 * 1024
_AT_A_TIME: Final = 200
# How many batches to look at.
_MOST_BATCHES: Final = 2_000


class Stream(Protocol):
    """A produce stream."""

    @property
    def held(self) -> int:
        """What its records and answers take, in bytes."""

    def unread_since(self) -> float | None:
        """Return since when (a time.monotonic()) its oldest answer waits for the caller."""

    def cut_off_unread(self) -> None:
        """End it with an error, and drop its answers."""

    def in_flight_before(self, moment: float) -> Iterable[Reservation]:
        """The reservations of records that Kafka has not acknowledged since before this moment."""


class StreamMemory:
    """Divides ``total`` bytes among produce streams, see MemoryBudget.

    A record holds memory until Kafka has acknowledged it, and its answer a little until the caller has read it. If
    streams have to wait for long, those whose callers do not read are cut off, and records that wait for a broker that
    hangs count apart. Streams whose next message waits hold a part of ``requests``, so the same applies to it.
    """

    def __init__(self, total: int, requests: MemoryBudget) -> None:
        self.budget = MemoryBudget(total)
        self._requests = requests
        self._streams: dict[Stream, None] = {}
        self._waiting: dict[Stream, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Whether there were requests that waited for either budget at the last look.
        self._wanted = self._requests_wanted = False

    def begin(self, stream: Stream) -> None:
        """Record that a stream begins."""
        self._streams[stream] = None

    def end(self, stream: Stream) -> None:
        """Record that a stream has ended."""
        self._streams.pop(stream, None)

    @contextmanager
    def waiting(self, stream: Stream) -> Iterator[None]:
        """The next records of the stream wait in this block: for earlier ones, or for memory."""
        self._waiting[stream] = None
        if self._timer is None:
            self._look_later()
        try:
            yield
        finally:
            del self._waiting[stream]

    def cut_off_unread(self, patience: float) -> int:
        """Cut off streams with an answer that is unread for longer than ``patience`` (s), in a shortage of memory.

        Return how many.
        """
        return self._cut_off(self._streams, patience, _LEAST_BYTES)

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        was_wanted, self._wanted = self._wanted, self.budget.is_short
        requests_were, self._requests_wanted = self._requests_wanted, self._requests.is_short
        if not self._waiting:
            self._wanted = self._requests_wanted = False
            return
        self._look_later()
        count = 0
        if was_wanted and self._wanted:
            self._count_apart()
            if self.budget.is_short:
                count += self._cut_off(self._streams, _UNREAD_SECONDS, _LEAST_BYTES, self.budget.total // 4)
        if requests_were and self._requests_wanted:
            count += self._cut_off(self._waiting, _UNREAD_SECONDS, 0)
        if count:
            logger.warning("cut off %d produce streams whose callers read no answers: others wait for memory", count)

    def _count_apart(self) -> None:
        """Count records apart that wait for a broker that hangs."""
        before = time.monotonic() - _UNREAD_SECONDS
        left = _MOST_BATCHES
        for stream in self._streams:
            for reservation in stream.in_flight_before(before):
                if reservation.counts_apart:
                    continue
                left -= 1
                if not left or not reservation.count_apart():
                    return

    def _cut_off(self, streams: Iterable[Stream], patience: float, least: int, enough: float = float("inf")) -> int:
        """Cut off those that hold the most, until that is ``enough``. Return how many."""
        before = time.monotonic() - patience
        unread = []
        for stream in streams:
            since = stream.unread_since()
            if since is not None and since < before and stream.held >= least:
                unread.append(stream)
        unread.sort(key=lambda stream: stream.held, reverse=True)
        count = 0
        for stream in unread[:_AT_A_TIME]:
            if enough <= 0:
                break
            enough -= stream.held
            count += 1
            stream.cut_off_unread()
        return count
