"""Consuming through librdkafka. Polling never blocks: the client fetches in threads of its own."""

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
    AssignedPartition,
    EventfulClient,
)
from kafka_facade.kafka.errors import facade_error

_P = ParamSpec("_P")
_T = TypeVar("_T")

# A poll that finds nothing looks again after this long (s), ever less often.
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.025
# How long (s) a member that leaves serves events at the most.
_LEAVE_SECONDS = 5.0
_SEEK_RETRY_SECONDS = 0.02
_SEEK_PATIENCE_SECONDS = 1.0
# A call that may be made again is interrupted after so long (s) for the first time.
_FIRST_PART_SECONDS = 1.0


class Consumer(EventfulClient):
    """The consumer port over one librdkafka consumer."""

    def __init__(
        self,
        config: Mapping[str, Any],
        blocking: Blocking,
        closing: Blocking,
        on_closed: Callable[[], None],
        *,
        grouped: bool,
        coordinators: Coordinators | None = None,
    ) -> None:
        super().__init__(config, blocking, closing, grouped=grouped)
        self._coordinators = coordinators
        self._on_closed = on_closed
        # Topics that were assigned and not read from yet.
        self._unchecked: set[str] = set()
        self._closed = False

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group for these topics, at once and not at the first poll: what comes after this is read.

        From then on the client's events are served between polls too, so that a member whose caller is idle neither
        misses the start nor holds up a rebalance.
        """
        self._require_client()
        await self._until_free()
        kept = [record for record in self._pending if self._subscribed and record.topic_name in topics]
        self._start_anew()
        self._unchecked.clear()
        self._pending.extend(kept)
        self._call(
            ClientConsumer.subscribe,
            list(topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )
        self._subscribed = True
        self._topic_missing = False
        self._serve_from_now_on()

    async def unsubscribe(self) -> None:
        """Leave the group or drop the assignment, and return when that is done: what is assigned next stays.

        In a full process the next call that needs a client may find no room for one: TooManyRequests.
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
            # This one would commit as the member that it was, which the group refuses.
            await self._destroy(_LEAVE_SECONDS)
            with contextlib.suppress(TooManyRequests):
                self._require_client()

    async def assign(self, positions: Sequence[PartitionPosition | TopicPartition]) -> None:
        """Read exactly these partitions, from an offset (or EARLIEST, LATEST), or else from where the group stands."""
        self._require_client()
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
        """The partitions that the consumer reads at the moment, ordered."""
        if self._closed:
            raise IllegalConsumerState
        return [TopicPartition(*key) for key in sorted(self._assigned)]

    def position(self, topic: str, partition: int) -> int:
        """The next offset that :meth:`poll` will return, past markers and gaps; negative while nothing was read."""
        found = self._assigned.get((topic, partition))
        return -1 if found is None else found.position

    async def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Records that are there, waiting for the first one up to ``timeout``; empty when it runs out.

        KafkaAuthenticationFailed while Kafka refuses the credentials.
        """
        self._require_client()
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE_SECONDS
        while True:
            # Many consumers that find records at the same time must not add up to a blocked loop. Past this nothing
            # waits: events that are served meanwhile bring records that come before others.
            await time_slice()
            if not self._free.is_set():
                try:
                    await self._until_free(max(0.0, deadline - time.monotonic()))
                except KafkaTimeout:
                    return []
                continue
            self._resume()
            if self._pending:
                if len(self._pending) < max_records:
                    self._read_ahead(max_records - len(self._pending))
                return [self._pending.popleft() for _ in range(min(max_records, len(self._pending)))]
            for place, failure in self._failures.items():
                self._look_again(place)
                # Raised again and again, it would collect the frames of all its callers.
                raise failure.with_traceback(None)
            messages, records = self._consume(max_records)
            if records or (messages and not self._grouped and not self._failures):
                return records
            self._authentication.check()
            left = deadline - time.monotonic()
            if not self._failures:
                if left <= 0:
                    return []
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def check(self, timeout: float) -> None:
        """KafkaAuthorizationFailed for an assigned topic that may not be read: the client says nothing of it."""
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
            # Too little time, or no broker: that is for the next poll to find out.
            return False
        error = metadata.topics[topic].error
        if error is not None and isinstance(facade_error(error), KafkaAuthorizationFailed):
            raise facade_error(error, topic_name=topic)
        self._unchecked.discard(topic)
        return True

    def _look_again(self, place: tuple[str, int]) -> None:
        """The client tells of a failed fetch once: have it fetch, and tell, anew."""
        if place in self._assigned:
            del self._failures[place]
            again = [ClientPartition(*place)]
            self._call(ClientConsumer.pause, again)
            self._call(ClientConsumer.resume, again)
        elif not self._subscribed:
            # The group refuses to say where to begin: it stays so until something begins.
            self._gave_up = True

    async def seek(
        self,
        positions: Sequence[PartitionPosition],
        timeout: float,
        on_moved: Callable[[str, int, int], None] = lambda topic, partition, offset: None,
    ) -> None:
        """Read on from these offsets (or EARLIEST, LATEST); the partitions are assigned.

        ``on_moved`` is called for each partition as soon as it has moved: those before one that fails stay moved.
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
        """Move a partition to its target, perhaps others with it, and take out of the targets what has moved.

        Events are served between attempts.
        """
        again = False
        while place in targets:
            await self._until_free(max(0.0, deadline - time.monotonic()))
            if place not in self._assigned:
                # The group has taken it away: it is another member's.
                raise IllegalConsumerState
            if time.monotonic() >= deadline:
                raise KafkaTimeout
            self._authentication.check()
            moving = {place: targets[place]}
            if again:
                # Of those that don't begin by themselves, all begin with the first.
                moving |= {
                    other: offset
                    for other, offset in targets.items()
                    if (found := self._assigned.get(other)) is not None and found.start is None
                }
            on_success = partial(self._moved, moving, targets, on_moved)
            if again:
                begun = self._begin_again(moving, on_success)
            else:
                begun = self._begin(on_success, ClientConsumer.seek, ClientPartition(*place, targets[place]))
            try:
                # Nothing of this waits for Kafka.
                await settled(begun, ASSIGN_SECONDS)
            except IllegalConsumerState:
                if again:
                    raise
                # A partition that was just assigned isn't being fetched yet; one that has found no offset to start at
                # never will be, until it is given one.
                again = time.monotonic() > patient_until
                if not again:
                    await asyncio.sleep(_SEEK_RETRY_SECONDS)

    def _moved(
        self,
        moved: Mapping[tuple[str, int], int],
        targets: dict[tuple[str, int], int],
        on_moved: Callable[[str, int, int], None],
    ) -> None:
        """What was read of these partitions, and what failed, is from before."""
        self._pending = deque(entry for entry in self._pending if (entry.topic_name, entry.partition_id) not in moved)
        for place, offset in moved.items():
            del targets[place]
            self._failures.pop(place, None)
            if (partition := self._assigned.get(place)) is not None:
                partition.start, partition.sought, partition.position = None, offset, offset
            on_moved(*place, offset)

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp: int, timeout: float) -> list[int]:
        """For each partition the first offset at or after the timestamp (ms); -1 where there is none."""
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
        # The client adds a NUL to metadata, also to an empty one.
        wanted = [
            ClientPartition(*place, offset, said) if (said := metadata.get(place)) else ClientPartition(*place, offset)
            for place, offset in offsets.items()
        ]
        try:
            found = await self._ask(timeout, ClientConsumer.commit, offsets=wanted, asynchronous=False)
        except TopicNotFound:
            # Kafka has one code for both; whoever commits has named a partition.
            raise PartitionNotFound from None
        for entry in found or ():
            if entry.error is not None:
                failure = facade_error(entry.error)
                where = {"topic": entry.topic, "partition": str(entry.partition)}
                raise PartitionNotFound(**where) if isinstance(failure, TopicNotFound) else failure

    async def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[CommittedOffset]:
        """What the group has committed; partitions without a commit are left out.

        Through kafka-python, wherever that can connect; else metadata is empty.
        """
        if self._closed:
            raise IllegalConsumerState
        if self._coordinators is not None:
            # It is this client that tells where Kafka refuses the credentials.
            self._serve_from_now_on()
            with self._authentication.waiting():
                return await self._coordinators.committed_of(self._config["group.id"], partitions, timeout)
        wanted = [ClientPartition(entry.topic, entry.partition) for entry in partitions]
        found = await self._ask(timeout, ClientConsumer.committed, wanted, timeout=positive(timeout))
        for entry in found:
            if entry.error is not None:
                raise facade_error(entry.error)
        # Not their metadata: the client reads past its end, into whatever else is in memory.
        return [CommittedOffset(entry.topic, entry.partition, entry.offset, "") for entry in found if entry.offset >= 0]

    @property
    def _is_joining(self) -> bool:
        return self._subscribed and not (self._assigned or self._failures)

    async def _ask(
        self, within: float, call: Callable[Concatenate[ClientConsumer, _P], _T], *args: _P.args, **named: _P.kwargs
    ) -> _T:
        """Make a call that the group's coordinator answers, unless the group is known to refuse."""
        self._require_client()
        known = time.monotonic() + min(within, JOINING_SECONDS)
        while self._is_joining and time.monotonic() < known:  # noqa: ASYNC110  the client has to be asked
            await asyncio.sleep(JOIN_SECONDS)
        if GROUP in self._failures:
            raise self._failures[GROUP]
        return await self._in_thread(within, call, *args, **named)

    async def _in_parts(self, within: float, call: Any, *args: Any) -> Any:
        """Make a call that may be made again, in parts that become longer: only between calls the client tells of a
        refusal of its credentials, which then ends it.
        """
        self._require_client()
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
            # What it tells arrives in the loop's next turn.
            await asyncio.sleep(0)
            self._authentication.check()
            part *= 2

    def _require_client(self) -> None:
        if self._closed:
            raise IllegalConsumerState
        super()._require_client()

    async def close(self, timeout: float) -> None:
        """Leave the group and free everything; never raises. The client may be destroyed after ``timeout`` (s)."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._grouped:
                await self._leave(min(timeout / 2, _LEAVE_SECONDS))
        finally:
            await self._destroy(timeout, self._on_closed)
