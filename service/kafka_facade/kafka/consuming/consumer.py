"""A consumer over librdkafka. Polling never blocks, because librdkafka fetches in its own threads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from confluent_kafka import OFFSET_INVALID
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import (
    FacadeError,
    IllegalConsumerState,
    KafkaAuthenticationFailed,
    KafkaAuthorizationFailed,
    KafkaTimeout,
    TooManyRequests,
)
from kafka_facade.core.records.model import Record
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.positions import PartitionPosition, TopicPartition
from kafka_facade.kafka.admin.coordinators import Coordinators
from kafka_facade.kafka.blocking import positive, settled
from kafka_facade.kafka.consuming.eventful_client import ASSIGN_SECONDS
from kafka_facade.kafka.consuming.holding_back import HoldBack
from kafka_facade.kafka.consuming.offsets_client import OffsetsClient
from kafka_facade.kafka.consuming.pausing_client import AssignedPartition
from kafka_facade.kafka.consuming.prefetch import Share
from kafka_facade.kafka.consuming.serialized_client import ClientSetup
from kafka_facade.kafka.errors import facade_error

# Pauses (s) between polls that return nothing, doubled each time.
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.025
# How long (s) a leaving member serves events at most.
_LEAVE_SECONDS = 5.0
_SEEK_RETRY_SECONDS = 0.02
_SEEK_PATIENCE_SECONDS = 1.0
# How long (s) a poll waits for a thread that takes a message, at least.
_TAKE_SECONDS = 0.1


class Consumer(OffsetsClient):
    """The consumer port over one librdkafka consumer."""

    def __init__(
        self,
        setup: ClientSetup,
        on_closed: Callable[[], None],
        *,
        coordinators: Coordinators | None = None,
        share: Share | None = None,
    ) -> None:
        super().__init__(setup, coordinators)
        self._holding_back = HoldBack(share, int(setup.config.get("queued.min.messages", 1)))
        self._on_closed = on_closed
        # Assigned topics whose read access has not been checked yet.
        self._unchecked: set[str] = set()

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group for these topics now, not at the first poll, so that records produced from now on are read.

        Afterwards events are served between polls too, so that a member whose caller is idle still joins and does not
        delay rebalances.
        """
        await self.open()
        await self._convert_incoming()
        kept = [record for record in self._pending if self._subscribed and record.topic_name in topics]
        self._start_anew()
        self._unchecked.clear()
        self._pending.extend(kept)
        self._call(
            ClientConsumer.subscribe,
            list(topics),
            on_assign=partial(self._on_the_loop, self._on_assign),
            on_revoke=partial(self._on_the_loop, self._on_revoke),
            on_lost=partial(self._on_the_loop, self._on_revoke),
        )
        self._subscribed = True
        self._topic_missing = False
        self._serve_from_now_on()

    async def unsubscribe(self) -> None:
        """Leave the group or drop the assignment, and wait until that is done.

        This may destroy the client. If the process has reached its limit of clients, the next call that needs one
        raises TooManyRequests.
        """
        await self._until_free()
        self._resume()
        member = self._subscribed
        await self._leave(_LEAVE_SECONDS)
        self._start_anew()
        self._to_store.clear()
        self._unchecked.clear()
        self._assigned = {}
        self._subscribed = False
        if member:
            # The old client would still commit as the former member, which the group rejects.
            await self._destroy(_LEAVE_SECONDS)
            self._left_paused.clear()
            with contextlib.suppress(TooManyRequests):
                await self.open()

    async def assign(self, positions: Sequence[PartitionPosition | TopicPartition]) -> None:
        """Assign exactly these partitions, each at an offset (or EARLIEST, LATEST), or else the committed offset."""
        await self.open()
        await self._until_free()
        self._store()
        self._start_anew()
        self._call(
            ClientConsumer.assign,
            [
                ClientPartition(
                    entry.topic,
                    entry.partition,
                    entry.offset if isinstance(entry, PartitionPosition) else OFFSET_INVALID,
                )
                for entry in positions
            ],
        )
        self._assigned = {
            (entry.topic, entry.partition): AssignedPartition(
                entry.offset if isinstance(entry, PartitionPosition) else None
            )
            for entry in positions
        }
        if self._grouped:
            self._unchecked = {entry.topic for entry in positions}
        self._serve_from_now_on()

    def assignment(self) -> list[TopicPartition]:
        """The current assignment, ordered."""
        if self._closed:
            raise IllegalConsumerState
        return [TopicPartition(*key) for key in sorted(self._assigned)]

    def position(self, topic: str, partition: int) -> int:
        """The next offset that :meth:`poll` will return, past markers and gaps; negative until something was read."""
        found = self._assigned.get((topic, partition))
        return -1 if found is None else found.position

    async def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return available records, waiting for the first one up to ``timeout``; empty if none arrives.

        Raises KafkaAuthenticationFailed while Kafka rejects the credentials.
        """
        self._holding_back.cancel()
        records = await self._next(max_records, timeout)
        self._holding_back.polled(self._take_largest() if records else None, self._hold_back)
        return records

    def _hold_back(self) -> None:
        """Stop prefetching until the next poll."""
        if not self._closed and self._free.is_set() and (fetched := self._fetched()):
            self._held_back = True
            self._drop_prefetched(fetched)

    def _resume_held_back(self) -> bool:
        """Begin to resume what :meth:`_hold_back` has stopped; return whether the client is busy with that."""
        held_back, self._held_back = self._held_back, False
        return held_back and not self._incoming and self._resume_at_once()

    async def _next(self, max_records: int, timeout: float) -> list[Record]:
        await self.open()
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE_SECONDS
        taken = False
        while True:
            # Many consumers with records must not block the loop together. Do not await anything after this point:
            # events served meanwhile could return records that precede these.
            await time_slice()
            if not self._free.is_set():
                try:
                    least = _TAKE_SECONDS if taken else 0.0
                    await self._until_free(max(least, deadline - time.monotonic()))
                except KafkaTimeout:
                    return []
                continue
            if self._resume_held_back():
                continue
            self._resume()
            if self._pending:
                return self._take_pending(max_records)
            for place, failure in self._failures.items():
                self._look_again(place)
                # The same exception is raised repeatedly: drop the traceback, or it would grow each time.
                raise failure.with_traceback(None)
            if not taken and self._begin_to_take():
                taken = True
                continue
            messages, records = (0, []) if taken and not self._incoming else self._consume(max_records)
            taken = False
            if records or (messages and not self._grouped and not self._failures):
                return records
            if self._incoming:
                continue
            self._authentication.check(polled=True)
            left = deadline - time.monotonic()
            if not self._failures:
                if left <= 0:
                    return []
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _take_pending(self, max_records: int) -> list[Record]:
        """Return pending records, and those after them that can be taken without a thread."""
        if len(self._pending) < max_records and (self._incoming or not self._is_large):
            self._read_ahead(max_records - len(self._pending))
        return [self._pending.popleft() for _ in range(min(max_records, len(self._pending)))]

    async def check(self, timeout: float) -> None:
        """Raise KafkaAuthorizationFailed if an assigned topic may not be read; librdkafka does not report that."""
        deadline = time.monotonic() + timeout
        for topic in list(self._unchecked):
            if not await self._has_checked(topic, max(0.0, deadline - time.monotonic())):
                return

    async def _has_checked(self, topic: str, timeout: float) -> bool:
        try:
            metadata = await self._in_thread(timeout, ClientConsumer.list_topics, topic, timeout=positive(timeout))
            await self._until_free(timeout)
        except KafkaAuthenticationFailed:
            raise
        except FacadeError:
            # No time left, or no broker: the next poll will report it.
            return False
        error = metadata.topics[topic].error
        if error is not None and isinstance(facade_error(error), KafkaAuthorizationFailed):
            raise facade_error(error, topic_name=topic)
        self._unchecked.discard(topic)
        return True

    def _look_again(self, place: tuple[str, int]) -> None:
        """Make librdkafka retry a failed fetch, and report the error again: it reports a failed fetch only once."""
        if place in self._assigned:
            del self._failures[place]
            again = [ClientPartition(*place)]
            self._call(ClientConsumer.pause, again)
            self._call(ClientConsumer.resume, again)
        elif not self._subscribed:
            # The committed offset could not be fetched; retry until the partition has a start.
            self._gave_up = True

    async def seek(
        self,
        positions: Sequence[PartitionPosition],
        timeout: float,
        on_moved: Callable[[str, int, int], None] = lambda topic, partition, offset: None,
    ) -> None:
        """Seek assigned partitions to these offsets (or EARLIEST, LATEST).

        ``on_moved`` is called for each partition once its seek is done. If one fails, earlier ones stay moved.
        """
        deadline = time.monotonic() + timeout
        patient_until = time.monotonic() + _SEEK_PATIENCE_SECONDS
        await self._until_free(timeout)
        self._resume()
        targets = {(entry.topic, entry.partition): entry.offset for entry in positions}
        while targets:
            await self._move(next(iter(targets)), targets, patient_until, deadline, on_moved)

    async def put_back(self, positions: Sequence[PartitionPosition]) -> None:
        """Go back to these offsets of partitions that were read, and prefetch nothing until the next :meth:`poll`."""
        self._holding_back.cancel()
        await self._until_free()
        targets = {
            (entry.topic, entry.partition): entry.offset
            for entry in positions
            if (entry.topic, entry.partition) in self._assigned
        }
        fetched = self._fetched()

        def pause_and_seek(client: ClientConsumer) -> None:
            # A seek alone would fetch them at once.
            if fetched:
                client.pause(fetched)
            for place, offset in targets.items():
                client.seek(ClientPartition(*place, offset))

        self._note_pause(fetched)
        self._held_back = True
        on_success = partial(self._moved, dict(targets), targets, _do_nothing)
        await settled(self._begin_and_drop(on_success, pause_and_seek), ASSIGN_SECONDS)

    async def _move(
        self,
        place: tuple[str, int],
        targets: dict[tuple[str, int], int],
        patient_until: float,
        deadline: float,
        on_moved: Callable[[str, int, int], None],
    ) -> None:
        """Seek a partition, possibly together with others, and remove those that have moved from ``targets``.

        Events are served between attempts.
        """
        again = False
        while place in targets:
            wait = self._convert_incoming if again else self._until_free
            await wait(max(0.0, deadline - time.monotonic()))
            if place not in self._assigned:
                # A rebalance has revoked the partition.
                raise IllegalConsumerState
            if time.monotonic() >= deadline:
                raise KafkaTimeout
            self._authentication.check()
            moving = {place: targets[place]}
            if again:
                # Partitions that found no start are all assigned again together with the first one.
                moving |= {
                    other: offset
                    for other, offset in targets.items()
                    if (found := self._assigned.get(other)) is not None and found.start is None
                }
            on_success = partial(self._moved, moving, targets, on_moved)
            if again:
                begun = self._begin_again(moving, on_success)
            else:
                target = ClientPartition(*place, targets[place])
                begun = self._begin_and_drop(on_success, partial(_seek, target))
            try:
                # Nothing of this waits for Kafka.
                await settled(begun, ASSIGN_SECONDS)
            except IllegalConsumerState:
                if again:
                    raise
                # A newly assigned partition is not fetched yet, so retry. One that found no offset to start at is never
                # fetched until it is assigned again with an offset.
                again = time.monotonic() > patient_until
                if not again:
                    await asyncio.sleep(_SEEK_RETRY_SECONDS)

    def _moved(
        self,
        moved: Mapping[tuple[str, int], int],
        targets: dict[tuple[str, int], int],
        on_moved: Callable[[str, int, int], None],
    ) -> None:
        """Drop pending records and failures of partitions that were moved."""
        self._pending = deque(entry for entry in self._pending if (entry.topic_name, entry.partition_id) not in moved)
        self._incoming.keep(lambda place: place not in moved)
        for place, offset in moved.items():
            del targets[place]
            self._failures.pop(place, None)
            # It may have been revoked meanwhile, because events were served.
            if (partition := self._assigned.get(place)) is not None:
                partition.start, partition.sought, partition.position = None, offset, offset
                on_moved(*place, offset)

    async def close(self, timeout: float) -> None:
        """Leave the group and free all resources; never raises. The client may be destroyed after ``timeout`` (s)."""
        if self._closed:
            return
        self._closed = True
        self._holding_back.cancel()
        try:
            if self._grouped:
                await self._leave(min(timeout / 2, _LEAVE_SECONDS))
            await self._stop_serving()
        finally:
            await self._destroy(timeout, self._on_closed)


def _do_nothing(topic: str, partition: int, offset: int) -> None:
    pass


def _seek(target: ClientPartition, client: ClientConsumer) -> None:
    client.seek(target)
