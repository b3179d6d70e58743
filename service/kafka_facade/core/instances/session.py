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
from kafka_facade.core.instances.model import ConsumerInstance, FetchRecords
from kafka_facade.core.instances.topic_pattern import TopicPattern
from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.model import FetchedRecord
from kafka_facade.core.records.port import ConsumerPort
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.positions import PartitionPosition, PartitionTime, TopicPartition

_POLL_RECORDS = 500
# A read that finds nothing looks again after this long (s), ever less often.
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.025
# New topics that match a pattern are found after this long (s) at the latest, by the next fetch.
_PATTERN_SECONDS = 5.0
# A read ends this long (s) before its caller's deadline at most: the answer has to get there.
_MARGIN_SECONDS = 0.1
# How long (s) a change waits for an answer that is being handed over.
_SETTLING_SECONDS = 1.0


class State(Enum):
    """What an instance reads from."""

    IDLE = "idle"
    SUBSCRIBED = "subscribed"
    MATCHING = "matching"
    ASSIGNED = "assigned"


# (state, action) -> next state; what isn't here is an IllegalConsumerState.
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
    """One instance with its consumer. All but :meth:`use` and :meth:`fetch` is called with the session in use."""

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
        """The next offset after what was returned to the caller, for each partition."""
        self._moving: dict[tuple[str, int], int | None] = {}
        """The partitions that a seek is yet to move, with the offset after what was returned meanwhile."""
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
        self._ended = False

    @property
    def idle_seconds(self) -> float:
        """How long nobody has used the instance; 0 while somebody does."""
        return 0.0 if self._users else time.monotonic() - self._last_used

    @asynccontextmanager
    async def use(self, *, settled: bool = False) -> AsyncIterator[ConsumerSession]:
        """Have the instance to oneself: a Kafka consumer serves one caller at a time; ConsumerInstanceNotFound.

        ``settled`` waits a little for an answer that is being handed over: its caller may go on with another call
        before it is known here that the answer is there.
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
            # Its caller has given up; it goes on.
            await asyncio.wait({self._change})
            self._change = None
        if self._ended:
            raise ConsumerInstanceNotFound(group=self.instance.group, instance=self.instance.instance_id)

    def end(self) -> None:
        """Whoever waits to use the instance finds it gone."""
        self._ended = True

    async def close(self, timeout: float) -> None:
        """Leave the group and free everything within ``timeout`` (s)."""
        if self._change is not None:
            await asyncio.wait({self._change}, timeout=timeout)
        await self.consumer.close(timeout)

    async def _to_the_end(self, change: Coroutine[Any, Any, None]) -> None:
        """Change what is read, even if the caller gives up: a change that is half done is none of the states."""
        task = self._change = asyncio.create_task(change, name="consumer change")
        # Where nobody asks any more, there is nobody to tell of a failure.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def subscribe(self, topics: Sequence[str], pattern: TopicPattern | None) -> None:
        """Subscribe to topics, those that match the pattern if there is one.

        Nothing to subscribe to is the same as to unsubscribe, and what one has is no change, as in Kafka's own client.
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
        # The group need not take away what is subscribed to still; where it does, that is forgotten then.
        self._forget(set(topics))

    def _stale_pattern(self) -> TopicPattern | None:
        """The pattern, if it is time to look which topics match it now."""
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
        """Read exactly these partitions; none is the same as to unsubscribe, as in Kafka's own client."""
        if not partitions:
            await self.unsubscribe()
            return
        # The client takes each but once.
        distinct = {(entry.topic, entry.partition): entry for entry in partitions}
        await self._to_the_end(self._assign(self._next("assign"), list(distinct.values())))

    async def _assign(self, state: State, partitions: Sequence[TopicPartition]) -> None:
        await self.consumer.assign(partitions)
        self._state = state
        self._forget()

    def check_assigned(self, places: Iterable[PartitionPosition | PartitionTime | TopicPartition]) -> None:
        """IllegalConsumerState for a place in a partition that isn't assigned."""
        assigned = {(entry.topic, entry.partition) for entry in self.consumer.assignment()}
        for place in places:
            if (place.topic, place.partition) not in assigned:
                raise IllegalConsumerState(
                    f"Illegal state: No current assignment for partition {place.topic}-{place.partition}"
                )

    async def seek(self, positions: Sequence[PartitionPosition], timeout: float) -> None:
        """Read on from these positions; what was read ahead of their partitions is dropped."""
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
        """Where one stands is told by the seek from here on, and not by records from before it."""
        self._drop_revoked()
        place = topic, partition
        self._moving.pop(place, None)
        self._held.keep(lambda topic, partition: (topic, partition) != place)
        self.returned.pop(place, None)
        # As in Kafka's own client, where one stands is what is committed.
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
        hand_over: Callable[[list[FetchedRecord]], Awaitable[None]] | None = None,
    ) -> list[FetchedRecord]:
        """The next records within ``seconds``; see :meth:`kafka_facade.core.instances.operations.Consumers.fetch`.

        Reads take turns with one another, so that records are committed in the order in which they were delivered; a
        read that doesn't get its turn in time ends with nothing. All other calls come in between the looks of a read.

        ``hand_over`` gives the records to the caller. Where it fails, they are for the next call, as if never read.
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
                    await hand_over(self._held.taken)
                    if self._ended:
                        raise ConsumerInstanceNotFound(group=self.instance.group, instance=self.instance.instance_id)
                    self._drop_revoked()
                return self._return()
            except BaseException:
                # The caller is gone, or gets an error: the records are for the next call.
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
                # Somebody has the instance to himself, and waits for Kafka.
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
                    # What was read is handed over first; the consumer tells of what keeps failing again.
                    return
                self._drop_revoked()
                self._held.add(polled)
                at_once = limits.at_once and self._held.taken and self.instance.fetch_min_bytes <= 0
                if not polled and (left <= 0 or at_once):
                    return
            finally:
                self._lock.release()
            if polled:
                await time_slice()  # Records that are there don't keep others waiting.
                pause = _FIRST_PAUSE_SECONDS
            else:
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _match_again(
        self, pattern: TopicPattern, matching: Callable[[TopicPattern], Awaitable[Sequence[str]]]
    ) -> None:
        self._matched_at = time.monotonic()
        # What is subscribed to can be read meanwhile.
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
        """Where the caller stands in each partition, as far as that is known: what a commit without offsets commits."""
        # What was returned of partitions that are another member's now is not ours to commit.
        self._drop_revoked()
        return {**(self.consumer.starts() if self._has_read else {}), **self.returned}

    def _forget(self, but: Collection[str] = ()) -> None:
        """Forget what was read, but of these topics."""
        # What was taken away until now says nothing of what comes.
        self._drop_revoked()
        self._has_read = False
        self._held.keep(lambda topic, _: topic in but)
        self.returned = {place: offset for place, offset in self.returned.items() if place[0] in but}

    def _drop_revoked(self) -> None:
        """Forget what was read of partitions that the group has taken away."""
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
