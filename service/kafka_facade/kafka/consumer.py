"""Consuming through librdkafka. Polling never blocks: the client fetches in threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

from confluent_kafka import OFFSET_INVALID, Message
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import (
    FacadeError,
    IllegalConsumerState,
    KafkaAuthorizationFailed,
    KafkaTimeout,
    PartitionNotFound,
    TopicNotFound,
)
from kafka_facade.core.resources import CommittedOffset, Header, PartitionPosition, Record, TopicPartition
from kafka_facade.kafka.blocking import Blocking, positive
from kafka_facade.kafka.errors import facade_error, from_exception
from kafka_facade.kafka.serialized_client import SerializedClient

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Headers = Sequence[tuple[str, str | bytes | None]]

# A poll that finds nothing looks again after this long (s), ever less often.
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.025
# How often (s) events are served between polls: until the group has assigned partitions ever less often, and after.
_JOIN_SECONDS = 0.02
_SLOW_JOIN_SECONDS = 0.2
_SERVE_SECONDS = 0.5
# How long (s) a member that leaves serves events at the most.
_LEAVE_SECONDS = 5.0
# How long (s) it waits to become a member first, if a topic is missing: with no topic at all it never would.
_JOINING_SECONDS = 1.0
_LEAVE_PAUSE_SECONDS = 0.005
_LEAVE_MESSAGES = 100
# A member of a KIP-848 group has its id for good: it has left when it was without an assignment for so long (s).
_QUIET_SECONDS = 0.25
# A member that nobody has read from for so long (s) stops to read ahead and drops what it has.
_IDLE_SECONDS = 5.0
_SEEK_RETRY_SECONDS = 0.02
_SEEK_PATIENCE_SECONDS = 1.0
# Most records have none: one list for all is one object less for each.
_NO_HEADERS: list[Header] = []
# What the client says of the group it says of no topic.
_GROUP = ("", 0)


class Consumer(SerializedClient):
    """The consumer port over one librdkafka consumer."""

    def __init__(
        self,
        config: Mapping[str, Any],
        blocking: Blocking,
        closing: Blocking,
        on_closed: Callable[[], None],
        *,
        grouped: bool,
    ) -> None:
        super().__init__(config, blocking, closing)
        self._on_closed = on_closed
        self._grouped = grouped
        self._keeps_its_id = config.get("group.protocol") == "consumer"
        # Read while events were served: one record each time at the most, and none while paused.
        self._pending: deque[Record] = deque()
        self._polled_at = time.monotonic()
        # To ask the client for its assignment takes a turn of its main thread: too much for each time.
        self._assigned: set[tuple[str, int]] = set()
        self._paused: set[tuple[str, int]] = set()
        self._subscribed = False
        self._server: asyncio.Task[None] | None = None
        self._revoked: set[tuple[str, int]] = set()
        self._just_revoked: set[tuple[str, int]] = set()
        # Why nothing comes of a partition, or, with no topic, of the group.
        self._failures: dict[tuple[str, int], FacadeError] = {}
        # Topics that were assigned and not read from yet.
        self._unchecked: set[str] = set()
        self._positions: dict[tuple[str, int], int] = {}
        self._topic_missing = False
        self._closed = False

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group for these topics, at once and not at the first poll: what comes after this is read.

        From then on the client's events are served between polls too, so that a member whose caller is idle neither
        misses the start nor holds up a rebalance.
        """
        await self._free.wait()
        kept = [record for record in self._pending if self._subscribed and record.topic_name in topics]
        self._start_anew()
        self._pending.extend(kept)
        self._call(
            self._client.subscribe,
            list(topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )
        self._subscribed = True
        self._topic_missing = False
        self._serve_from_now_on()

    async def unsubscribe(self) -> None:
        """Leave the group or drop the assignment, and return when that is done: what is assigned next stays."""
        await self._free.wait()
        self._resume()
        await self._leave(_LEAVE_SECONDS)
        self._start_anew()
        self._assigned = set()
        self._subscribed = False

    async def assign(self, positions: Sequence[PartitionPosition | TopicPartition]) -> None:
        """Read exactly these partitions, from an offset (or EARLIEST, LATEST), or else from where the group stands."""
        await self._free.wait()
        self._start_anew()
        self._call(
            self._client.assign,
            [
                ClientPartition(
                    entry.topic,
                    entry.partition,
                    entry.offset if isinstance(entry, PartitionPosition) else OFFSET_INVALID,
                )
                for entry in positions
            ],
        )
        self._assigned = {(entry.topic, entry.partition) for entry in positions}
        for entry in positions:
            if isinstance(entry, PartitionPosition):
                self._positions[entry.topic, entry.partition] = entry.offset
        if self._grouped:
            self._unchecked = {entry.topic for entry in positions}
            self._serve_from_now_on()

    def _start_anew(self) -> None:
        """What was read, and what failed, was of other partitions than the next ones."""
        self._resume()
        self._pending.clear()
        self._failures.clear()
        self._unchecked = set()

    def _serve_from_now_on(self) -> None:
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve(), name="consumer events")

    def assignment(self) -> list[TopicPartition]:
        """The partitions that the consumer reads at the moment, ordered."""
        if not self._owned:
            raise IllegalConsumerState
        return [TopicPartition(*key) for key in sorted(self._assigned)]

    def position(self, topic: str, partition: int) -> int:
        """The next offset that :meth:`poll` will return, past markers and gaps; negative while nothing was read."""
        return self._positions.get((topic, partition), -1)

    async def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Records that are there, waiting for the first one up to ``timeout``; empty when it runs out."""
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE_SECONDS
        if not self._free.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._free.wait()
            except TimeoutError:
                return []
        self._resume()
        for topic in list(self._unchecked):
            await self._check(topic, timeout)
        while True:
            self._polled_at = time.monotonic()
            if self._pending:
                return [self._pending.popleft() for _ in range(min(max_records, len(self._pending)))]
            for place, failure in self._failures.items():
                self._look_again(place)
                raise failure
            messages, records = self._consume(max_records)
            if records or (messages and not self._grouped and not self._failures):
                return records
            left = deadline - time.monotonic()
            if not self._failures:
                if left <= 0:
                    return []
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _check(self, topic: str, timeout: float) -> None:
        """Whether an assigned topic may be read: of those that may not the client says nothing."""
        described = (await self._in_thread(timeout, self._client.list_topics, topic, timeout=positive(timeout))).topics
        error = described[topic].error
        if error is not None and isinstance(facade_error(error), KafkaAuthorizationFailed):
            raise facade_error(error, topic_name=topic)
        self._unchecked.discard(topic)

    def _look_again(self, place: tuple[str, int]) -> None:
        """The client tells of a failed fetch once: have it fetch, and tell, anew."""
        if place in self._assigned:
            del self._failures[place]
            again = [ClientPartition(*place)]
            self._call(self._client.pause, again)
            self._call(self._client.resume, again)

    async def seek(self, positions: Sequence[PartitionPosition], timeout: float) -> None:
        """Read on from these offsets (or EARLIEST, LATEST); the partitions are assigned."""
        started = time.monotonic()
        deadline = started + timeout
        await self._free.wait()
        moved = {(entry.topic, entry.partition) for entry in positions}
        self._resume()
        for entry in positions:
            # That there was no offset to start at is over.
            self._failures.pop((entry.topic, entry.partition), None)
            target = ClientPartition(entry.topic, entry.partition, entry.offset)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise KafkaTimeout
                try:
                    await self._in_thread(left, self._client.seek, target)
                    break
                except IllegalConsumerState:
                    # A partition that was just assigned isn't being fetched yet; one that has found no offset to
                    # start at never will be, until it is given one.
                    if time.monotonic() - started > _SEEK_PATIENCE_SECONDS:
                        await self._free.wait()
                        self._assign_again(target)
                        break
                    await asyncio.sleep(_SEEK_RETRY_SECONDS)
        # Events were served meanwhile.
        await self._free.wait()
        self._pending = deque(entry for entry in self._pending if (entry.topic_name, entry.partition_id) not in moved)

    def _assign_again(self, target: ClientPartition) -> None:
        """The same partitions, each where it stands, but one of them at a new offset."""
        standing = self._call(self._client.position, self._call(self._client.assignment))
        for entry in standing:
            if (entry.topic, entry.partition) == (target.topic, target.partition):
                entry.offset = target.offset
        self._call(self._client.assign, standing)

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp: int, timeout: float) -> list[int]:
        """For each partition the first offset at or after the timestamp (ms); -1 where there is none."""
        wanted = [ClientPartition(entry.topic, entry.partition, timestamp) for entry in partitions]
        found = await self._in_thread(timeout, self._client.offsets_for_times, wanted, timeout=positive(timeout))
        for entry in found:
            if entry.error is not None:
                raise facade_error(entry.error)
        return [entry.offset for entry in found]

    async def commit(
        self, offsets: Mapping[tuple[str, int], int], timeout: float, metadata: Mapping[tuple[str, int], str]
    ) -> None:
        """Commit next-to-read offsets with their metadata, and return once the group coordinator has them."""
        wanted = [ClientPartition(*place, offset, metadata.get(place, "")) for place, offset in offsets.items()]
        try:
            found = await self._ask(timeout, self._client.commit, offsets=wanted, asynchronous=False)
        except TopicNotFound:
            # Kafka has one code for both; whoever commits has named a partition.
            raise PartitionNotFound from None
        for entry in found or ():
            if entry.error is not None:
                failure = facade_error(entry.error)
                where = {"topic": entry.topic, "partition": str(entry.partition)}
                raise PartitionNotFound(**where) if isinstance(failure, TopicNotFound) else failure

    def store(self, topic: str, partition: int, offset: int) -> None:
        """Remember the next-to-read offset for the automatic commit."""
        try:
            self._client.store_offsets(offsets=[ClientPartition(topic, partition, offset)])
        except Exception as error:
            # The group took the partition away meanwhile: its new owner commits.
            if not isinstance(from_exception(error), IllegalConsumerState):
                raise from_exception(error) from error

    async def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[CommittedOffset]:
        """What the group has committed; partitions without a commit are left out."""
        wanted = [ClientPartition(entry.topic, entry.partition) for entry in partitions]
        found = await self._ask(timeout, self._client.committed, wanted, timeout=positive(timeout))
        for entry in found:
            if entry.error is not None:
                raise facade_error(entry.error)
        return [
            CommittedOffset(entry.topic, entry.partition, entry.offset, entry.metadata or "")
            for entry in found
            if entry.offset >= 0
        ]

    @property
    def _is_joining(self) -> bool:
        return self._subscribed and not (self._assigned or self._failures)

    async def _ask(self, within: float, call: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
        """Make a call that the group's coordinator answers, unless the group is known to refuse."""
        known = time.monotonic() + min(within, _JOINING_SECONDS)
        while self._is_joining and time.monotonic() < known:  # noqa: ASYNC110  the client has to be asked
            await asyncio.sleep(_JOIN_SECONDS)
        if _GROUP in self._failures:
            raise self._failures[_GROUP]
        return await self._in_thread(within, call, *args, **named)

    async def close(self, timeout: float) -> None:
        """Leave the group and free everything; never raises."""
        if self._closed:
            return
        self._closed = True
        if self._grouped:
            await self._leave(min(timeout / 2, _LEAVE_SECONDS))
        await self._destroy(timeout)
        self._on_closed()

    async def _serve(self) -> None:
        """Serve events until the subscription ends; a record that comes with them waits for the next poll."""
        joining = _JOIN_SECONDS
        while True:
            try:
                if self._free.is_set():
                    self._pending.extend(self._consume(1)[1])
                    if time.monotonic() - self._polled_at > _IDLE_SECONDS:
                        self._pause()
            except FacadeError as failure:
                self._failures.setdefault(_GROUP, failure)
            if self._assigned or not self._subscribed:
                joining = _JOIN_SECONDS
                await asyncio.sleep(_SERVE_SECONDS)
            else:
                await asyncio.sleep(joining)
                joining = min(joining * 1.1, _SLOW_JOIN_SECONDS)

    def _pause(self) -> None:
        """Fetch nothing for a caller who doesn't read: what is read ahead of many idle members fills the memory."""
        more = self._assigned - self._paused
        if more:
            self._call(self._client.pause, [ClientPartition(*key) for key in more])
            self._paused |= more

    def _resume(self) -> None:
        self._forget_pause(self._paused)
        self._polled_at = time.monotonic()

    def _forget_pause(self, partitions: set[tuple[str, int]]) -> None:
        # Only what is paused: to resume a partition that isn't would make the client fetch it anew.
        resumed = self._paused & partitions
        if resumed:
            self._paused = self._paused - resumed
            self._call(self._client.resume, [ClientPartition(*key) for key in resumed])

    def _consume(self, max_records: int) -> tuple[int, list[Record]]:
        """How many messages were there, and the records among them that are still ours."""
        self._just_revoked.clear()
        messages = self._call(self._client.consume, max_records, 0)
        records = self._records(messages)
        if self._just_revoked:
            # A partition that comes back does so in a later call, and is read again from what was committed.
            records = [r for r in records if (r.topic_name, r.partition_id) not in self._just_revoked]
        return len(messages), records

    def _on_assign(self, client: ClientConsumer, partitions: list[ClientPartition]) -> None:
        self._assigned |= {(entry.topic, entry.partition) for entry in partitions}
        # The group takes the member, and these topics are there.
        there = {entry.topic for entry in partitions} | {_GROUP[0]}
        self._failures = {place: failure for place, failure in self._failures.items() if place[0] not in there}

    def _on_revoke(self, client: ClientConsumer, partitions: list[ClientPartition]) -> None:
        gone = {(entry.topic, entry.partition) for entry in partitions}
        # The client would keep them paused when they come back.
        with contextlib.suppress(FacadeError):
            self._forget_pause(gone)
        self._assigned -= gone
        self._just_revoked |= gone
        self._revoked |= gone
        self._pending = deque(entry for entry in self._pending if (entry.topic_name, entry.partition_id) not in gone)

    def take_revoked(self) -> set[tuple[str, int]]:
        """The partitions that the group has taken away since this was last asked, some of them given back since."""
        revoked, self._revoked = self._revoked, set()
        return revoked

    async def _leave(self, timeout: float) -> None:
        """Commit what is stored, give back the assignment and leave the group, serving events until that is done.

        A member that is gone without having left holds up its group until its session times out. Never raises.
        """
        subscribed = self._subscribed
        await self._stop_serving()
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                await self._free.wait()
            # Until the group has answered the first request to join, the client has nothing to leave with.
            while subscribed and not self._call(self._client.memberid):
                hopeless = self._topic_missing or self._failures
                if time.monotonic() - started > (_JOINING_SECONDS if hopeless else timeout):
                    break
                await self._serve_leaving()
            self._call(self._client.unsubscribe if subscribed else self._client.unassign)
            gone = time.monotonic()
            while time.monotonic() - started < timeout:
                await self._serve_leaving()
                if self._call(self._client.assignment):
                    gone = time.monotonic()
                elif not self._call(self._client.memberid) or (
                    self._keeps_its_id and time.monotonic() - gone > _QUIET_SECONDS
                ):
                    return
        except (FacadeError, TimeoutError):
            return

    async def _serve_leaving(self) -> None:
        self._call(self._client.consume, _LEAVE_MESSAGES, 0)
        await asyncio.sleep(_LEAVE_PAUSE_SECONDS)

    async def _stop_serving(self) -> None:
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)
            self._server = None

    def _records(self, messages: Sequence[Message]) -> list[Record]:
        """The records; an event moves a position, or becomes the failure of the next poll."""
        records = []
        positions = self._positions
        for message in messages:
            topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
            error = message.error()
            if error is not None:
                if error.code() == ClientError._PARTITION_EOF:
                    positions[topic, partition] = offset
                else:
                    self._note(error, (topic, partition))
                continue
            if self._failures:
                self._failures.pop((topic, partition), None)
            positions[topic, partition] = offset + 1
            kind, timestamp = message.timestamp()
            headers = cast(_Headers | None, message.headers())
            records.append(
                Record(
                    topic,
                    partition,
                    offset,
                    timestamp if kind else None,
                    [Header(name, _bytes(value)) for name, value in headers] if headers else _NO_HEADERS,
                    message.key(),
                    message.value(),
                )
            )
        return records

    def _note(self, error: ClientError, place: tuple[str, int]) -> None:
        """Keep a failure that the next poll has to report; what passes by itself the client retries without end."""
        failure = facade_error(error)
        if isinstance(failure, TopicNotFound):
            # A member of a group waits for the topic to appear; a reader of one topic has lost it.
            self._topic_missing = True
            if self._grouped:
                return
        elif failure.row.retriable:
            return
        self._failures.setdefault(place, failure)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
