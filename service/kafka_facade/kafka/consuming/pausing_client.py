"""A librdkafka consumer that stops prefetching while its caller is idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.consuming.serialized_client import SerializedClient

# After this long (s) without a poll, a consumer stops prefetching and drops prefetched records.
_IDLE_SECONDS = 5.0


class AssignedPartition:
    """The state of a partition from assignment to revocation; a partition assigned again gets a new one."""

    __slots__ = ("paused", "position", "sought", "start")

    def __init__(self, sought: int | None = None) -> None:
        self.start: int | None = None
        """The offset of the first read, once known."""
        self.sought = sought
        """The offset it was told to start at, until it has started."""
        self.position = -1 if sought is None else sought
        """The next offset; negative until something was read."""
        self.paused = False


class PausingClient(SerializedClient):
    """Pauses the assigned partitions of an idle caller.

    librdkafka drops prefetched records of paused partitions when it is asked for the next one, and fetches from there
    after they are resumed.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        connecting: Blocking,
        blocking: Blocking,
        closing: Blocking,
        *,
        grouped: bool,
        on_dropped: Callable[[], None],
    ) -> None:
        super().__init__(config, connecting, blocking, closing)
        self._grouped = grouped
        # Called when the client drops prefetched records.
        self._on_dropped = on_dropped
        self._polled_at = time.monotonic()
        # Cached, because asking librdkafka for the assignment needs a round trip to its main thread.
        self._assigned: dict[tuple[str, int], AssignedPartition] = {}
        self._has_paused = False

    def _pause_if_idle(self) -> bool:
        """Stop fetching for an idle caller: the prefetched records of many idle consumers would fill the memory.

        Returns whether partitions were paused. A member's partition without a start may still be waiting for the
        committed offset, so it is not paused.
        """
        if time.monotonic() - self._polled_at <= _IDLE_SECONDS:
            return False
        more = {
            place: found
            for place, found in self._assigned.items()
            if not found.paused and (found.start is not None or (not self._grouped and found.position >= 0))
        }
        if more:
            self._call(ClientConsumer.pause, [ClientPartition(*place) for place in more])
            for partition in more.values():
                partition.paused = True
            self._has_paused = True
            self._on_dropped()
        return bool(more)

    def _resume(self) -> None:
        if self._has_paused:
            self._has_paused = False
            self._forget_pause(self._assigned)
        self._polled_at = time.monotonic()

    def _forget_pause(self, places: Collection[tuple[str, int]]) -> None:
        # Resume only paused partitions; resuming others would make the client fetch again.
        resumed = [place for place in places if (found := self._assigned.get(place)) is not None and found.paused]
        if resumed:
            for place in resumed:
                self._assigned[place].paused = False
            self._call(ClientConsumer.resume, [ClientPartition(*place) for place in resumed])
