"""A librdkafka consumer that stops prefetching while its caller is idle."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Sequence

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.kafka.consuming.serialized_client import ClientSetup, SerializedClient

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

    def __init__(self, setup: ClientSetup) -> None:
        super().__init__(setup)
        self._grouped = setup.grouped
        self._on_dropped = setup.on_dropped
        self._polled_at = time.monotonic()
        # Cached, because asking librdkafka for the assignment needs a round trip to its main thread.
        self._assigned: dict[tuple[str, int], AssignedPartition] = {}
        self._has_paused = False
        # Revoked partitions that the client still has paused.
        self._left_paused: set[tuple[str, int]] = set()
        # Whether prefetching has stopped until the next poll, because keys and headers exceed the budget.
        self._held_back = False

    def _pause_if_idle(self) -> bool:
        """Stop fetching for an idle caller: the prefetched records of many idle consumers would fill the memory.

        Returns whether partitions were paused.
        """
        if time.monotonic() - self._polled_at <= _IDLE_SECONDS or not (more := self._fetched()):
            return False
        self._call(ClientConsumer.pause, more)
        self._note_pause(more)
        self._on_dropped()
        return True

    def _fetched(self) -> list[ClientPartition]:
        """Return the partitions that the client fetches from.

        A member's partition without a start may still be waiting for the committed offset, so it is not paused.
        """
        return [
            ClientPartition(*place)
            for place, found in self._assigned.items()
            if not found.paused and (found.start is not None or (not self._grouped and found.position >= 0))
        ]

    def _note_pause(self, paused: Sequence[ClientPartition]) -> None:
        for entry in paused:
            self._assigned[entry.topic, entry.partition].paused = True
        self._has_paused = True

    def _resume(self) -> None:
        if self._has_paused:
            self._has_paused = False
            self._undo_pause(self._assigned)
        self._polled_at = time.monotonic()

    def _resume_at_once(self) -> bool:
        """Resume the paused partitions in a thread, if there are any; return whether the client is busy with that.

        It must be free, and have no messages to convert. After a resume alone, the thread of a broker fetches again
        only when it wakes up, after up to 1 s. A seek wakes it.
        """
        paused = {place: found for place, found in self._assigned.items() if found.paused}
        positions = [ClientPartition(*place, found.position) for place, found in paused.items()]

        def resume(client: ClientConsumer) -> None:
            client.resume(positions)
            for entry in positions:
                # If it was revoked meanwhile, the next poll will say so.
                with contextlib.suppress(KafkaException):
                    client.seek(entry)

        def done() -> None:
            for partition in paused.values():
                partition.paused = False

        if paused:
            self._begin(done, resume)
        return bool(paused)

    def _note_assigned(self, places: Iterable[tuple[str, int]]) -> None:
        """Note new partitions. Call :meth:`_resume_assigned` or :meth:`_resume` once the client has assigned them."""
        for place in places:
            if place not in self._assigned:
                self._assigned[place] = AssignedPartition()
                self._assigned[place].paused = place in self._left_paused
                self._has_paused |= place in self._left_paused
        self._left_paused.difference_update(self._assigned)

    def _note_revoked(self, places: Iterable[tuple[str, int]]) -> None:
        """Note revoked partitions, of which the client remembers whether they were paused.

        Do not resume them here: within a callback of the client that would wait until the callback has returned.
        """
        for place in places:
            revoked = self._assigned.pop(place, None)
            if revoked is not None and revoked.paused:
                self._left_paused.add(place)

    def _resume_assigned(self) -> None:
        """Resume partitions that are assigned again, even if the caller is idle: they have to find their start."""
        if self._has_paused:
            self._undo_pause([place for place, found in self._assigned.items() if found.start is None])

    def _undo_pause(self, places: Collection[tuple[str, int]]) -> None:
        # Resume only paused partitions; resuming others would make the client fetch again.
        resumed = [place for place in places if (found := self._assigned.get(place)) is not None and found.paused]
        if resumed:
            for place in resumed:
                self._assigned[place].paused = False
            self._call(ClientConsumer.resume, [ClientPartition(*place) for place in resumed])
