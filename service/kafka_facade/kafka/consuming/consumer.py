"""A consumer over librdkafka. Polling never blocks, because librdkafka fetches in its own threads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from confluent_kafka import OFFSET_INVALID
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import (
    FacadeError,
    IllegalConsumerState,
    KafkaAuthenticationFailed,
    KafkaAuthorizationFailed,
    KafkaTimeout,
    PartitionNotFound,
    TooManyRequests,
    TopicNotFound,
)
from kafka_facade.core.records.model import Record
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.positions import CommittedOffset, PartitionPosition, TopicPartition
from kafka_facade.kafka.admin.coordinators import Coordinators
from kafka_facade.kafka.blocking import Blocking, positive, settled
from kafka_facade.kafka.consuming.eventful_client import (
    ASSIGN_SECONDS,
    GROUP,
    JOIN_SECONDS,
    JOINING_SECONDS,
    EventfulClient,
)
from kafka_facade.kafka.consuming.holding_back import HoldBack
from kafka_facade.kafka.consuming.pausing_client import AssignedPartition
from kafka_facade.kafka.consuming.prefetch import Share
from kafka_facade.kafka.errors import facade_error

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Pauses (s) between polls that return nothing, doubled each time.
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.025
# How long (s) a leaving member serves events at most.
_LEAVE_SECONDS = 5.0
_SEEK_RETRY_SECONDS = 0.02
_SEEK_PATIENCE_SECONDS = 1.0
# Length (s) of the first part of a call that is made in parts.
_FIRST_PART_SECONDS = 1.0


class Consumer(EventfulClient):
    """The consumer port over one librdkafka consumer."""

    def __init__(
        self,
        config: Mapping[str, Any],
        connecting: Blocking,
        blocking: Blocking,
        closing: Blocking,
        on_closed: Callable[[], None],
        *,
        grouped: bool,
        on_dropped: Callable[[], None] = lambda: None,
        coordinators: Coordinators | None = None,
        share: Share | None = None,
    ) -> None:
        super().__init__(config, connecting, blocking, closing, grouped=grouped, on_dropped=on_dropped)
        self._holding_back = HoldBack(share, int(config.get("queued.min.messages", 1)))
        self._coordinators = coordinators
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
        while True:
            # Many consumers with records must not block the loop together. Do not await anything after this point:
            # events served meanwhile could return records that precede these.
            await time_slice()
            if not self._free.is_set():
                try:
                    await self._until_free(max(0.0, deadline - time.monotonic()))
                except KafkaTimeout:
                    return []
                continue
            if self._resume_held_back():
                continue
            self._resume()
            if self._pending:
                if len(self._pending) < max_records:
                    self._read_ahead(max_records - len(self._pending))
                return [self._pending.popleft() for _ in range(min(max_records, len(self._pending)))]
            for place, failure in self._failures.items():
                self._look_again(place)
                # The same exception is raised repeatedly: drop the traceback, or it would grow each time.
                raise failure.with_traceback(None)
            messages, records = self._consume(max_records)
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

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp: int, timeout: float) -> list[int]:
        """For each partition the first offset at or after the timestamp (ms); -1 if there is none."""
        wanted = [ClientPartition(entry.topic, entry.partition, timestamp) for entry in partitions]
        found = await self._in_parts(timeout, ClientConsumer.offsets_for_times, wanted)
        for entry in found:
            if entry.error is not None:
                raise facade_error(entry.error)
        return [entry.offset for entry in found]

    async def commit(
        self, offsets: Mapping[tuple[str, int], int], timeout: float, metadata: Mapping[tuple[str, int], str]
    ) -> None:
        """Commit next-to-read offsets with their metadata, and return once the group coordinator has them."""
        # librdkafka appends a NUL to metadata, even if it is empty.
        wanted = [
            ClientPartition(*place, offset, said) if (said := metadata.get(place)) else ClientPartition(*place, offset)
            for place, offset in offsets.items()
        ]
        try:
            found = await self._ask(timeout, ClientConsumer.commit, offsets=wanted, asynchronous=False)
        except TopicNotFound:
            # Kafka has one error code for unknown topics and partitions; here a partition was named.
            raise PartitionNotFound from None
        for entry in found or ():
            if entry.error is not None:
                failure = facade_error(entry.error)
                where = {"topic": entry.topic, "partition": str(entry.partition)}
                raise PartitionNotFound(**where) if isinstance(failure, TopicNotFound) else failure

    async def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[CommittedOffset]:
        """The group's committed offsets; partitions without one are omitted.

        Uses kafka-python if it can connect; otherwise librdkafka, and then metadata is empty.
        """
        if self._closed:
            raise IllegalConsumerState
        if self._coordinators is not None:
            # librdkafka's client reports it if Kafka rejects the credentials.
            self._serve_from_now_on()
            with self._authentication.waiting():
                return await self._coordinators.committed_of(self._config["group.id"], partitions, timeout)
        wanted = [ClientPartition(entry.topic, entry.partition) for entry in partitions]
        found = await self._ask(timeout, ClientConsumer.committed, wanted, timeout=positive(timeout))
        for entry in found:
            if entry.error is not None:
                raise facade_error(entry.error)
        # Ignore the metadata: confluent-kafka reads past its end in memory.
        return [CommittedOffset(entry.topic, entry.partition, entry.offset, "") for entry in found if entry.offset >= 0]

    @property
    def _is_joining(self) -> bool:
        return self._subscribed and not (self._assigned or self._failures)

    async def _ask(
        self, within: float, call: Callable[Concatenate[ClientConsumer, _P], _T], *args: _P.args, **named: _P.kwargs
    ) -> _T:
        """Make a call to the group coordinator, unless the group is known to reject this member."""
        await self.open()
        known = time.monotonic() + min(within, JOINING_SECONDS)
        while self._is_joining and time.monotonic() < known:  # noqa: ASYNC110  the client has to be asked
            await asyncio.sleep(JOIN_SECONDS)
        if GROUP in self._failures:
            raise self._failures[GROUP]
        return await self._in_thread(within, call, *args, **named)

    async def _in_parts(self, within: float, call: Any, *args: Any) -> Any:
        """Make a repeatable call with increasing timeouts.

        librdkafka reports rejected credentials only between calls; a report then ends the call.
        """
        await self.open()
        deadline = time.monotonic() + within
        part = _FIRST_PART_SECONDS
        while True:
            began = time.monotonic()
            seconds = min(part, deadline - began)
            try:
                return await self._in_thread(seconds, call, *args, timeout=positive(seconds))
            except FacadeError as error:
                ended = time.monotonic()
                if not error.codes.retriable or seconds < part or ended - began < part / 2:
                    raise
            await self._until_free(max(0.0, deadline - ended))
            self._read_ahead(1)
            # Its callback is scheduled for the next iteration of the loop.
            await asyncio.sleep(0)
            self._authentication.check()
            part *= 2

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


def _seek(target: ClientPartition, client: ClientConsumer) -> None:
    client.seek(target)
