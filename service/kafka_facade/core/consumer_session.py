"""The life of one consumer instance, and what it has fetched but not yet returned."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from kafka_facade.core.errors import ConsumerInstanceNotFound, DeserializationFailed, IllegalConsumerState
from kafka_facade.core.ports import ConsumerPort
from kafka_facade.core.resources import (
    ConsumerInstance,
    FetchedRecord,
    Format,
    PartitionPosition,
    PartitionTime,
    Record,
    TopicPartition,
)
from kafka_facade.core.schemas import SCHEMA_FORMATS, Schemas
from kafka_facade.core.serde import deserialize
from kafka_facade.core.topic_pattern import TopicPattern

_POLL_RECORDS = 500
# A read looks this often (s) whether the server is to end.
_SLICE_SECONDS = 0.5
# New topics that match a pattern are found after this long (s) at the latest, by the next fetch.
_PATTERN_SECONDS = 5.0
# A fetch ends this long (s) before the call's deadline, so that what it has fetched is still returned.
_MARGIN_SECONDS = 0.5


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
    """One instance with its consumer. All but :meth:`use` is called with the session in use."""

    def __init__(
        self,
        instance: ConsumerInstance,
        consumer: ConsumerPort,
        max_bytes: int,
        closing: asyncio.Event,
        schemas: Schemas,
    ) -> None:
        self.instance = instance
        self.consumer = consumer
        self.returned: dict[tuple[str, int], int] = {}
        """The next offset after what was returned to the caller, for each partition."""
        self._max_bytes = max_bytes
        self._closing = closing
        self._schemas = schemas
        self._has_schemas = instance.format in SCHEMA_FORMATS
        self._state = State.IDLE
        self._topics: list[str] = []
        self._pattern: TopicPattern | None = None
        self._matched_at = 0.0
        self._ahead: deque[Record] = deque()
        self._lock = asyncio.Lock()
        self._change: asyncio.Task[None] | None = None
        self._last_used = time.monotonic()
        self._ended = False

    @property
    def idle_seconds(self) -> float:
        """How long nobody has used the instance; 0 while somebody does."""
        return 0.0 if self._lock.locked() else time.monotonic() - self._last_used

    @asynccontextmanager
    async def use(self) -> AsyncIterator[ConsumerSession]:
        """Have the instance to oneself: a Kafka consumer serves one caller at a time; ConsumerInstanceNotFound."""
        async with self._lock:
            if self._change is not None:
                # Its caller has given up; it goes on.
                await asyncio.wait({self._change})
                self._change = None
            if self._ended:
                raise ConsumerInstanceNotFound(group=self.instance.group, instance=self.instance.instance_id)
            try:
                yield self
            finally:
                self._last_used = time.monotonic()

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

    @property
    def stale_pattern(self) -> TopicPattern | None:
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
        await self.consumer.seek(positions, timeout)
        moved = {(position.topic, position.partition) for position in positions}
        self._ahead = deque(entry for entry in self._ahead if (entry.topic_name, entry.partition_id) not in moved)
        for key in moved:
            self.returned.pop(key, None)

    async def fetch(self, timeout_ms: int | None, max_bytes: int | None, remaining: float) -> list[FetchedRecord]:
        """The next records; see :meth:`kafka_facade.core.consumers.Consumers.fetch`."""
        self._next("fetch")
        wait_ms = self.instance.request_timeout_ms
        if timeout_ms is not None and timeout_ms > 0:
            wait_ms = min(wait_ms, timeout_ms)
        latest = time.monotonic() + max(0.0, remaining - _MARGIN_SECONDS)
        deadline = min(time.monotonic() + wait_ms / 1000, latest)
        limit = self._max_bytes if max_bytes is None or max_bytes < 0 else min(max_bytes, self._max_bytes)
        fetched: list[FetchedRecord] = []
        size = 0
        format = self.instance.format
        try:
            while True:
                fetched = self._drop_revoked(fetched)
                await asyncio.sleep(0)  # Records that are there don't keep others waiting.
                while self._ahead:
                    record = self._ahead[0]
                    length = len(record.key or b"") + len(record.value or b"")
                    if fetched and size + length > limit:
                        return self._return(fetched)
                    try:
                        if format is Format.BINARY:
                            entry = FetchedRecord(record, record.key, record.value)
                        elif self._has_schemas:
                            entry = await self._with_schemas(record, latest - time.monotonic())
                        else:
                            key = None if record.key is None else deserialize(format, record, "key")
                            entry = FetchedRecord(record, key, deserialize(format, record, "value"))
                    except DeserializationFailed:
                        if fetched:
                            return self._return(fetched)
                        raise
                    fetched.append(entry)
                    self._ahead.popleft()
                    size += length
                left = 0.0 if self._closing.is_set() else deadline - time.monotonic()
                enough = size >= limit or 0 <= self.instance.fetch_min_bytes < size
                if enough or (left <= 0 and fetched):
                    return self._return(fetched)
                polled = await self.consumer.poll(_POLL_RECORDS, max(0.0, min(left, _SLICE_SECONDS)))
                fetched = self._drop_revoked(fetched)
                if left <= 0 and not polled:
                    return []
                self._ahead.extend(polled)
        except BaseException:
            # The caller is gone, or gets an error: the records are for the next call.
            self._ahead.extendleft(entry.record for entry in reversed(fetched))
            raise

    async def _with_schemas(self, record: Record, timeout: float) -> FetchedRecord:
        format, decode = self.instance.format, self._schemas.deserialize
        timeout = max(0.0, timeout)
        key = await decode(format, record, "key", timeout)
        return FetchedRecord(record, key, await decode(format, record, "value", timeout))

    def _return(self, fetched: list[FetchedRecord]) -> list[FetchedRecord]:
        for entry in fetched:
            record = entry.record
            self.returned[record.topic_name, record.partition_id] = record.offset + 1
        if self.instance.auto_commit:
            for topic, partition in {(entry.record.topic_name, entry.record.partition_id) for entry in fetched}:
                self.consumer.store(topic, partition, self.returned[topic, partition])
        return fetched

    def look_for_revocations(self) -> None:
        """Forget what was returned of partitions that are another member's now: it is not ours to commit."""
        self._drop_revoked([])

    def _forget(self, but: Collection[str] = ()) -> None:
        """Forget what was read, but of these topics."""
        self._ahead = deque(record for record in self._ahead if record.topic_name in but)
        self.returned = {place: offset for place, offset in self.returned.items() if place[0] in but}

    def _drop_revoked(self, fetched: list[FetchedRecord]) -> list[FetchedRecord]:
        """Forget what was read of partitions that the group has taken away; what is left of ``fetched``."""
        revoked = self.consumer.take_revoked()
        if not revoked:
            return fetched
        for key in revoked:
            self.returned.pop(key, None)
        self._ahead = deque(entry for entry in self._ahead if (entry.topic_name, entry.partition_id) not in revoked)
        return [e for e in fetched if (e.record.topic_name, e.record.partition_id) not in revoked]

    def _next(self, action: str) -> State:
        try:
            return TRANSITIONS[self._state, action]
        except KeyError:
            if action == "fetch":
                raise IllegalConsumerState(
                    "Illegal state: Consumer is not subscribed to any topics or assigned any partitions"
                ) from None
            raise IllegalConsumerState from None
