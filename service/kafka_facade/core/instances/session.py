"""The life of one consumer instance."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from enum import Enum
from typing import Any

from kafka_facade.core.errors import (
    ConsumerInstanceNotFound,
    FacadeError,
    IllegalConsumerState,
)
from kafka_facade.core.instances.held_records import HeldRecords, ReadLimits
from kafka_facade.core.instances.interruption import unless
from kafka_facade.core.instances.model import ConsumerInstance, FetchRecords
from kafka_facade.core.instances.topic_pattern import TopicPattern
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.model import FetchedRecord
from kafka_facade.core.records.port import ConsumerPort
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.positions import PartitionPosition, PartitionTime, TopicPartition

_POLL_RECORDS = 500
# Pauses (s) between polls that return nothing, doubled each time.
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.025
# A fetch re-evaluates the topic pattern if the last evaluation is older than this (s).
_PATTERN_SECONDS = 5.0
# A read ends up to this long (s) before the caller's deadline, to leave time to deliver the answer.
_MARGIN_SECONDS = 0.1
# How long (s) a change waits for an answer that is being delivered.
_SETTLING_SECONDS = 1.0


class State(Enum):
    """What an instance reads: nothing, subscribed topics, topics matching a pattern, or assigned partitions."""

    IDLE = "idle"
    SUBSCRIBED = "subscribed"
    MATCHING = "matching"
    ASSIGNED = "assigned"


# (state, action) -> next state; any other combination is an IllegalConsumerState.
TRANSITIONS: dict[tuple[State, str], State] = {
    (State.IDLE, "subscribe"): State.SUBSCRIBED,
    (State.SUBSCRIBED, "subscribe"): State.SUBSCRIBED,
    (State.IDLE, "match"): State.MATCHING,
    (State.MATCHING, "match"): State.MATCHING,
    (State.IDLE, "assign"): State.ASSIGNED,
    (State.ASSIGNED, "assign"): State.ASSIGNED,
    (State.IDLE, "unsubscribe"): State.IDLE,
    (State.SUBSCRIBED, "unsubscribe"): State.IDLE,
    (State.MATCHING, "unsubscribe"): State.IDLE,
    (State.ASSIGNED, "unsubscribe"): State.IDLE,
    (State.SUBSCRIBED, "fetch"): State.SUBSCRIBED,
    (State.MATCHING, "fetch"): State.MATCHING,
    (State.ASSIGNED, "fetch"): State.ASSIGNED,
}


class ConsumerSession:
    """One instance and its Kafka consumer.

    Call all methods but :meth:`use` and :meth:`fetch` inside a :meth:`use` block, which holds the lock.
    """

    def __init__(
        self,
        instance: ConsumerInstance,
        consumer: ConsumerPort,
        max_bytes: int,
        closing: asyncio.Event,
        decoding: Decoding,
    ) -> None:
        self.instance = instance
        self.consumer = consumer
        self.returned: dict[tuple[str, int], int] = {}
        """For each partition the offset after the last record returned to the caller."""
        self._moving: dict[tuple[str, int], int | None] = {}
        """Partitions with a pending seek, and the offset after the last record returned meanwhile, if any."""
        self._max_bytes = max_bytes
        self._closing = closing
        self._state = State.IDLE
        self._topics: list[str] = []
        self._pattern: TopicPattern | None = None
        self._matched_at = 0.0
        self._held = HeldRecords(decoding, instance)
        self._lock = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._handed_over = asyncio.Event()
        self._handed_over.set()
        self._users = 0
        self._has_read = False
        self._change: asyncio.Task[None] | None = None
        self._last_used = time.monotonic()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last use; 0 while the instance is in use."""
        return 0.0 if self._users else time.monotonic() - self._last_used

    @asynccontextmanager
    async def use(self, *, settled: bool = False) -> AsyncIterator[ConsumerSession]:
        """Lock the instance, because a Kafka consumer serves one caller at a time. Raises ConsumerInstanceNotFound.

        With ``settled``, first wait briefly for an answer that is being delivered: a caller that has received it may
        already send its next request before the delivery is confirmed here.
        """
        with self._using():
            if settled and not self._handed_over.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SETTLING_SECONDS):
                        await self._handed_over.wait()
            async with self._lock:
                await self._ready()
                yield self

    @contextmanager
    def _using(self) -> Iterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._last_used = time.monotonic()

    async def _ready(self) -> None:
        if self._change is not None:
            # A change whose caller has disconnected is still running.
            await asyncio.wait({self._change})
            self._change = None
        self._require_alive()

    def _require_alive(self) -> None:
        if self._ended.done():
            raise ConsumerInstanceNotFound(group=self.instance.group, instance=self.instance.instance_id)

    def end(self) -> None:
        """Make running fetches, waiting and later users get ConsumerInstanceNotFound."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def close(self, timeout: float) -> None:
        """Leave the group and close the consumer within ``timeout`` (s)."""
        if self._change is not None:
            await asyncio.wait({self._change}, timeout=timeout)
        await self.consumer.close(timeout)

    async def _to_the_end(self, change: Coroutine[Any, Any, None]) -> None:
        """Run a change to completion even if the caller disconnects; half a change would leave no valid state."""
        task = self._change = asyncio.create_task(change, name="consumer change")
        # Retrieve the exception, so that asyncio does not warn about it if the caller has disconnected.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def subscribe(self, topics: Sequence[str], pattern: TopicPattern | None) -> None:
        """Subscribe to topics; with a pattern, to those that currently match it.

        As in Kafka's Java client, an empty subscription unsubscribes, and an unchanged one has no effect.
        """
        if not topics and pattern is None:
            await self.unsubscribe()
            return
        state = self._next("subscribe" if pattern is None else "match")
        if self._state is state and set(topics) == set(self._topics):
            self._pattern, self._matched_at = pattern, time.monotonic()
            return
        await self._to_the_end(self._subscribe(state, topics, pattern))

    async def _subscribe(self, state: State, topics: Sequence[str], pattern: TopicPattern | None) -> None:
        if topics:
            await self.consumer.subscribe(topics)
        else:
            await self.consumer.unsubscribe()
        self._state, self._topics = state, list(topics)
        self._pattern, self._matched_at = pattern, time.monotonic()
        # Keep the records of topics that remain subscribed; if a rebalance revokes them, they are dropped then.
        self._forget(set(topics))

    def _stale_pattern(self) -> TopicPattern | None:
        """The pattern, if it is due for re-evaluation."""
        if self._pattern is None or time.monotonic() - self._matched_at < _PATTERN_SECONDS:
            return None
        return self._pattern

    def subscription(self) -> Sequence[str]:
        """The subscribed topics."""
        return self._topics

    async def unsubscribe(self) -> None:
        """Drop subscription and assignment."""
        await self._to_the_end(self._unsubscribe(self._next("unsubscribe")))

    async def _unsubscribe(self, state: State) -> None:
        await self.consumer.unsubscribe()
        self._state, self._topics, self._pattern = state, [], None
        self._forget()

    async def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Assign exactly these partitions; as in Kafka's Java client, none unsubscribes."""
        if not partitions:
            await self.unsubscribe()
            return
        # librdkafka rejects duplicates.
        distinct = {(entry.topic, entry.partition): entry for entry in partitions}
        await self._to_the_end(self._assign(self._next("assign"), list(distinct.values())))

    async def _assign(self, state: State, partitions: Sequence[TopicPartition]) -> None:
        await self.consumer.assign(partitions)
        self._state = state
        self._forget()

    def check_assigned(self, places: Iterable[PartitionPosition | PartitionTime | TopicPartition]) -> None:
        """Raise IllegalConsumerState if one of the partitions is not assigned."""
        assigned = {(entry.topic, entry.partition) for entry in self.consumer.assignment()}
        for place in places:
            if (place.topic, place.partition) not in assigned:
                raise IllegalConsumerState(
                    f"Illegal state: No current assignment for partition {place.topic}-{place.partition}"
                )

    async def seek(self, positions: Sequence[PartitionPosition], timeout: float) -> None:
        """Seek to these positions, dropping prefetched records of their partitions."""
        self.check_assigned(positions)
        await self._to_the_end(self._seek(positions, timeout))

    async def _seek(self, positions: Sequence[PartitionPosition], timeout: float) -> None:
        self._moving = {(position.topic, position.partition): None for position in positions}
        try:
            await self.consumer.seek(positions, timeout, self._moved)
        finally:
            unmoved, self._moving = self._moving, {}
            for place, offset in unmoved.items():
                if offset is not None:
                    self._stand(place, offset)

    def _moved(self, topic: str, partition: int, offset: int) -> None:
        """Take the position from the completed seek, and drop records polled before it."""
        self._drop_revoked()
        place = topic, partition
        self._moving.pop(place, None)
        self._held.keep(lambda topic, partition: (topic, partition) != place)
        self.returned.pop(place, None)
        # As in Kafka's Java client, a commit without offsets commits the new position.
        if offset >= 0:
            self._stand(place, offset)

    def _stand(self, place: tuple[str, int], offset: int) -> None:
        self.returned[place] = offset
        if self.instance.auto_commit:
            self.consumer.store(*place, offset)

    async def fetch(
        self,
        request: FetchRecords,
        seconds: float,
        matching: Callable[[TopicPattern], Awaitable[Sequence[str]]],
        hand_over: Callable[[list[FetchedRecord]], Coroutine[Any, Any, None]] | None = None,
    ) -> list[FetchedRecord]:
        """Return the next records; see :meth:`kafka_facade.core.instances.operations.Consumers.fetch`.

        ``seconds`` is the time until the caller's deadline. Reads run one at a time, so that records are committed in
        the order in which they were delivered; a read that has to wait too long returns nothing. Other calls can run
        between the polls of a read.

        ``hand_over`` delivers the records to the caller. If it fails, the next read returns them again. If the instance
        ends meanwhile, it is cancelled and ConsumerInstanceNotFound is raised: nothing of the answer is committed.
        """
        self._next("fetch")
        wait_ms = self.instance.request_timeout_ms
        if request.timeout_ms is not None and request.timeout_ms > 0:
            wait_ms = min(wait_ms, request.timeout_ms)
        deadline = time.monotonic() + min(wait_ms / 1000, seconds - min(_MARGIN_SECONDS, seconds / 5))
        limits = ReadLimits.of(request, self._max_bytes)
        with self._using():
            if not await self._acquired(self._reading, deadline):
                if hand_over is not None:
                    await hand_over([])
                return []
            try:
                await self._read(deadline, limits, matching)
                if hand_over is not None:
                    self._handed_over.clear()
                    await unless(self._ended, hand_over(self._held.taken))
                    self._require_alive()
                    self._drop_revoked()
                return self._return()
            except BaseException:
                # The caller has disconnected or gets an error: keep the records for the next read.
                self._held.put_back()
                raise
            finally:
                self._held.begin()
                self._handed_over.set()
                self._reading.release()

    async def _acquired(self, lock: asyncio.Lock, deadline: float) -> bool:
        if self._users == 1:
            return await lock.acquire()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await lock.acquire()
        except TimeoutError:
            return False

    async def _read(
        self, deadline: float, limits: ReadLimits, matching: Callable[[TopicPattern], Awaitable[Sequence[str]]]
    ) -> None:
        checked = False
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if not await self._acquired(self._lock, deadline):
                # Another call holds the lock and waits for Kafka.
                return
            try:
                await self._ready()
                self._next("fetch")
                left = 0.0 if self._closing.is_set() else deadline - time.monotonic()
                if not checked:
                    checked = True
                    await self.consumer.check(max(0.0, left))
                if (pattern := self._stale_pattern()) is not None:
                    await self._match_again(pattern, matching)
                self._drop_revoked()
                if await self._held.take(limits) or (left <= 0 and self._held.taken):
                    return
                self._has_read = True
                try:
                    polled = await self.consumer.poll(_POLL_RECORDS, 0)
                except FacadeError:
                    if not self._held.taken:
                        raise
                    # Return the records first; a persistent error is raised again by the next poll.
                    return
                self._drop_revoked()
                self._held.add(polled)
                at_once = limits.at_once and self._held.taken and self.instance.fetch_min_bytes <= 0
                if not polled and (left <= 0 or at_once):
                    return
            finally:
                self._lock.release()
            if polled:
                await time_slice()  # Do not block the loop while records keep coming.
                pause = _FIRST_PAUSE_SECONDS
            else:
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _match_again(
        self, pattern: TopicPattern, matching: Callable[[TopicPattern], Awaitable[Sequence[str]]]
    ) -> None:
        self._matched_at = time.monotonic()
        # On failure keep reading the topics that are subscribed already.
        with contextlib.suppress(FacadeError):
            await self.subscribe(await matching(pattern), pattern)

    def _return(self) -> list[FetchedRecord]:
        fetched = self._held.taken
        ends = {(entry.record.topic_name, entry.record.partition_id): entry.record.offset + 1 for entry in fetched}
        for place, offset in ends.items():
            if place in self._moving:
                self._moving[place] = offset
            else:
                self._stand(place, offset)
        return fetched

    def positions(self) -> dict[tuple[str, int], int]:
        """The caller's known position in each partition, which a commit without offsets commits."""
        # Partitions that now belong to another member must not be committed here.
        self._drop_revoked()
        return {**(self.consumer.starts() if self._has_read else {}), **self.returned}

    def _forget(self, but: Collection[str] = ()) -> None:
        """Drop records and positions of all topics but these."""
        # Consume pending revocations now, so that they do not apply to the new assignment.
        self._drop_revoked()
        self._has_read = False
        self._held.keep(lambda topic, _: topic in but)
        self.returned = {place: offset for place, offset in self.returned.items() if place[0] in but}

    def _drop_revoked(self) -> None:
        """Drop records and positions of partitions that a rebalance has revoked."""
        revoked = self.consumer.take_revoked()
        if revoked:
            for place in revoked:
                self.returned.pop(place, None)
                if place in self._moving:
                    self._moving[place] = None
            self._held.keep(lambda topic, partition: (topic, partition) not in revoked)

    def _next(self, action: str) -> State:
        try:
            return TRANSITIONS[self._state, action]
        except KeyError:
            if action == "fetch":
                raise IllegalConsumerState(
                    "Illegal state: Consumer is not subscribed to any topics or assigned any partitions"
                ) from None
            raise IllegalConsumerState from None
