"""A librdkafka consumer between its calls: its events are served, and what comes with them is kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import OFFSET_INVALID, KafkaException, Message
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import FacadeError, IllegalConsumerState, TopicNotFound
from kafka_facade.core.records.model import Header, Record
from kafka_facade.kafka.blocking import Blocking, settled
from kafka_facade.kafka.consuming.serialized_client import SerializedClient
from kafka_facade.kafka.errors import facade_error, from_exception
from kafka_facade.kafka.text import replacing_invalid_text

logger = logging.getLogger("kafka_facade.kafka")

_Headers = Sequence[tuple[str, str | bytes | None]]

# How often (s) events are served between polls: until the group has assigned partitions ever less often, and after.
JOIN_SECONDS = 0.02
_SLOW_JOIN_SECONDS = 0.2
_SERVE_SECONDS = 0.5
# How long (s) a member that leaves waits to become one first, if something keeps it out: else it never would.
JOINING_SECONDS = 1.0
_LEAVE_PAUSE_SECONDS = 0.005
_LEAVE_MESSAGES = 100
# A member of a KIP-848 group has its id for good: it has left when it was without an assignment for so long (s).
_QUIET_SECONDS = 0.25
# A member that nobody has read from for so long (s) stops to read ahead and drops what it has.
_IDLE_SECONDS = 5.0
# How many records may come with the events that tell where partitions begin.
_MOST_PENDING = 20
# Most records have none: one list for all is one object less for each.
_NO_HEADERS: list[Header] = []
# What the client says of the group it says of no topic.
GROUP = ("", 0)
# How long (s) the client may take to assign what it has assigned already.
ASSIGN_SECONDS = 5.0


class AssignedPartition:
    """What is known of a partition from when it is assigned until it is taken away: one that comes back is another."""

    __slots__ = ("paused", "position", "sought", "start")

    def __init__(self, sought: int | None = None) -> None:
        self.start: int | None = None
        """Where its reading began, once that is known."""
        self.sought = sought
        """Where it was told to begin, as long as it hasn't begun."""
        self.position = -1 if sought is None else sought
        """The next offset; negative while nothing was read."""
        self.paused = False


class EventfulClient(SerializedClient):
    """Serves a client's events, so that a member whose caller is idle neither misses the start nor holds up others."""

    def __init__(self, config: Mapping[str, Any], blocking: Blocking, closing: Blocking, *, grouped: bool) -> None:
        super().__init__(config, blocking, closing)
        self._grouped = grouped
        self._keeps_its_id = config.get("group.protocol") == "consumer"
        # Such a member is assigned what is new only, and takes no assignment as a whole.
        strategies = str(config.get("partition.assignment.strategy", ""))
        self._incremental = self._keeps_its_id or "cooperative" in strategies
        # Read while events were served: one record each time at the most, and none while paused.
        self._pending: deque[Record] = deque()
        self._polled_at = time.monotonic()
        # To ask the client for its assignment takes a turn of its main thread: too much for each time.
        self._assigned: dict[tuple[str, int], AssignedPartition] = {}
        self._has_paused = False
        self._subscribed = False
        self._server: asyncio.Task[None] | None = None
        self._revoked: set[tuple[str, int]] = set()
        self._just_revoked: set[tuple[str, int]] = set()
        # Why nothing comes of a partition, or, with no topic, of the group.
        self._failures: dict[tuple[str, int], FacadeError] = {}
        # The client asks once what the group has committed. A coordinator that has just moved, or isn't there yet,
        # refuses to say, and then the client never begins: it has to be told anew what is assigned.
        self._gave_up = False
        self._auto_commit = bool(config.get("enable.auto.commit"))
        # What is to be committed automatically, as long as the client is busy.
        self._to_store: dict[tuple[str, int], int] = {}
        self._topic_missing = False

    def _start_anew(self) -> None:
        """What was read, and what failed, was of other partitions than the next ones."""
        self._resume()
        self._pending.clear()
        self._failures.clear()
        self._gave_up = False

    def _serve_from_now_on(self) -> None:
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve(), name="consumer events")

    async def _stop_serving(self) -> None:
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)
            self._server = None

    async def _serve(self) -> None:
        """Serve events until the subscription ends; a record that comes with them waits for the next poll."""
        joining = JOIN_SECONDS
        while True:
            try:
                if self._free.is_set():
                    self._read_ahead(1)
                    if time.monotonic() - self._polled_at > _IDLE_SECONDS:
                        self._pause()
                    if self._gave_up:
                        await self._try_again()
            except FacadeError as failure:
                self._failures.setdefault(GROUP, failure)
            starting = len(self._pending) < _MOST_PENDING and any(
                partition.start is None for partition in self._assigned.values()
            )
            if starting or (self._subscribed and not self._assigned):
                await asyncio.sleep(joining)
                joining = min(joining * 1.1, _SLOW_JOIN_SECONDS)
            else:
                joining = JOIN_SECONDS
                await asyncio.sleep(_SERVE_SECONDS)

    async def _try_again(self) -> None:
        """Have the client ask again where to begin; where it can't be told now, the next time."""
        self._gave_up = False
        try:
            await self._assign_again()
        except FacadeError:
            self._gave_up = True

    async def _assign_again(self) -> None:
        """Assign the same partitions, each where it stands or is to begin."""
        if any(partition.start is None for partition in self._assigned.values()):
            await settled(self._begin_again({}, None), ASSIGN_SECONDS)

    def _begin_again(self, moved: Mapping[tuple[str, int], int], on_success: Callable[[], None] | None) -> Future[None]:
        """Have a thread assign the same partitions, each where it stands or is to begin, and some where they are moved.

        The client is free before: nothing comes of it meanwhile.
        """
        incremental = self._subscribed and self._incremental
        begin: dict[tuple[str, int], int] = {}
        for place, partition in self._assigned.items():
            if partition.start is None:
                begin[place] = OFFSET_INVALID if partition.sought is None else partition.sought
            elif not incremental:
                # The client's own positions know nothing of one that has begun but brought no record yet.
                begin[place] = partition.position
        return self._begin(on_success, _assign_again, begin | dict(moved), incremental)

    def _pause(self) -> None:
        """Fetch nothing for a caller who doesn't read: what is read ahead of many idle members fills the memory."""
        more = {place: found for place, found in self._assigned.items() if found.start is not None and not found.paused}
        if more:
            self._call(ClientConsumer.pause, [ClientPartition(*place) for place in more])
            for partition in more.values():
                partition.paused = True
            self._has_paused = True

    def _resume(self) -> None:
        if self._has_paused:
            self._has_paused = False
            self._forget_pause(self._assigned)
        self._polled_at = time.monotonic()

    def _forget_pause(self, places: Collection[tuple[str, int]]) -> None:
        # Only what is paused: to resume a partition that isn't would make the client fetch it anew.
        resumed = [place for place in places if (found := self._assigned.get(place)) is not None and found.paused]
        if resumed:
            for place in resumed:
                self._assigned[place].paused = False
            self._call(ClientConsumer.resume, [ClientPartition(*place) for place in resumed])

    def _read_ahead(self, max_records: int) -> None:
        """Serve events, and keep the records that come with them for the next poll."""
        records = self._consume(max_records)[1]
        # Only now: where the group takes partitions away, what waits is another queue afterwards.
        self._pending.extend(records)

    def _consume(self, max_records: int) -> tuple[int, list[Record]]:
        """How many messages were there, and the records among them that are still ours."""
        self._just_revoked.clear()
        self._store()
        messages = self._call(ClientConsumer.consume, max_records, 0)
        if messages:
            self._authentication.answered()
        with replacing_invalid_text:
            records = self._records(messages)
        if self._to_store:
            self._store()
        if self._just_revoked:
            # A partition that comes back does so in a later call, and is read again from what was committed.
            records = [r for r in records if (r.topic_name, r.partition_id) not in self._just_revoked]
        return len(messages), records

    def _on_assign(self, client: ClientConsumer, partitions: list[ClientPartition]) -> None:
        self._authentication.answered()
        for entry in partitions:
            self._assigned.setdefault((entry.topic, entry.partition), AssignedPartition())
        # The group takes the member, and these topics are there.
        there = {entry.topic for entry in partitions} | {GROUP[0]}
        self._failures = {place: failure for place, failure in self._failures.items() if place[0] not in there}

    def _on_revoke(self, client: ClientConsumer, partitions: list[ClientPartition]) -> None:
        gone = {(entry.topic, entry.partition) for entry in partitions}
        # It commits what is stored before it gives them back; and it would keep them paused when they come back.
        with contextlib.suppress(FacadeError):
            self._store()
            self._forget_pause(gone)
        for place in gone:
            self._assigned.pop(place, None)
        self._to_store = {place: offset for place, offset in self._to_store.items() if place not in gone}
        self._just_revoked |= gone
        self._revoked |= gone
        self._pending = deque(entry for entry in self._pending if (entry.topic_name, entry.partition_id) not in gone)

    def take_revoked(self) -> set[tuple[str, int]]:
        """The partitions that the group has taken away since this was last asked, some of them given back since."""
        revoked, self._revoked = self._revoked, set()
        return revoked

    def starts(self) -> dict[tuple[str, int], int]:
        """Where the reading of each assigned partition began, as far as that is known."""
        return {place: found.start for place, found in self._assigned.items() if found.start is not None}

    def _saw(self, place: tuple[str, int], partition: AssignedPartition, offset: int) -> None:
        """Where an assigned partition begins is committed automatically too, as in the Java client.

        Otherwise a partition of which nothing was delivered yet would begin at its end again with the next member.
        """
        partition.start = offset
        partition.sought = None
        if not self._subscribed:
            self._failures.pop(GROUP, None)
        if self._auto_commit:
            self._to_store[place] = offset

    def store(self, topic: str, partition: int, offset: int) -> None:
        """Remember the next-to-read offset for the automatic commit."""
        self._to_store[topic, partition] = offset
        if self._free.is_set():
            self._store()

    def _store(self) -> None:
        """Have the client commit these; one that can't be stored is given up, so that it holds up nothing else."""
        to_store, self._to_store = self._to_store, {}
        for (topic, partition), offset in to_store.items():
            try:
                self._client.store_offsets(offsets=[ClientPartition(topic, partition, offset)])
            except Exception as error:
                # The group took the partition away meanwhile: its new owner commits.
                if not isinstance(from_exception(error), IllegalConsumerState):
                    logger.warning("offset %d of %s-%d is not committed: %s", offset, topic, partition, error)

    async def _leave(self, timeout: float) -> None:
        """Commit what is stored, give back the assignment and leave the group, serving events until that is done.

        A member that is gone without having left holds up its group until its session times out. Never raises.
        """
        subscribed = self._subscribed
        await self._stop_serving()
        started = time.monotonic()
        try:
            await self._until_free(timeout)
            self._store()
            # Until the group has answered the first request to join, the client has nothing to leave with.
            while subscribed and not self._call(ClientConsumer.memberid):
                hopeless = self._topic_missing or self._failures
                if time.monotonic() - started > (JOINING_SECONDS if hopeless else timeout):
                    break
                await self._serve_leaving()
            self._call(ClientConsumer.unsubscribe if subscribed else ClientConsumer.unassign)
            gone = time.monotonic()
            while time.monotonic() - started < timeout:
                await self._serve_leaving()
                if self._call(ClientConsumer.assignment):
                    gone = time.monotonic()
                elif not self._call(ClientConsumer.memberid) or (
                    self._keeps_its_id and time.monotonic() - gone > _QUIET_SECONDS
                ):
                    return
        except (FacadeError, TimeoutError):
            return

    async def _serve_leaving(self) -> None:
        self._call(ClientConsumer.consume, _LEAVE_MESSAGES, 0)
        await asyncio.sleep(_LEAVE_PAUSE_SECONDS)

    def _records(self, messages: Sequence[Message]) -> list[Record]:
        """The records; an event moves a position, or becomes the failure of the next poll."""
        records = []
        assigned = self._assigned
        for message in messages:
            topic, number, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
            place = topic, number
            error = message.error()
            at_end = error is not None and error.code() == ClientError._PARTITION_EOF
            if error is not None and not at_end:
                self._note(error, place)
                continue
            partition = assigned.get(place)
            if partition is not None:
                partition.position = offset if at_end else offset + 1
                if partition.start is None:
                    self._saw(place, partition, offset)
            if at_end:
                continue
            if self._failures:
                self._failures.pop(place, None)
            kind, timestamp = message.timestamp()
            headers = cast(_Headers | None, message.headers())
            records.append(
                Record(
                    topic,
                    number,
                    offset,
                    timestamp if kind else None,
                    [Header(name, _bytes(value)) for name, value in headers] if headers else _NO_HEADERS,
                    message.key(),
                    message.value(),
                )
            )
        return records

    def _note(self, error: ClientError, place: tuple[str, int]) -> None:
        """Keep a failure that the next poll has to report, but for one that passes by itself.

        The client retries those without end, except where it has asked what the group has committed.
        """
        failure = facade_error(error)
        if isinstance(failure, TopicNotFound):
            # A member of a group waits for the topic to appear; a reader of one topic has lost it.
            self._topic_missing = True
            if self._grouped:
                return
        elif failure.codes.retriable:
            self._gave_up |= place == GROUP
            return
        self._failures.setdefault(place, failure)


def _assign_again(client: ClientConsumer, begin: Mapping[tuple[str, int], int], incremental: bool) -> None:
    """Assign what is assigned: these partitions where they are to begin, of an incremental assignment only these."""
    changed = [ClientPartition(*place, offset) for place, offset in begin.items()]
    if incremental:
        # What is not assigned, since a former attempt was cut short, need not be taken back.
        for entry in changed:
            with contextlib.suppress(KafkaException):
                client.incremental_unassign([entry])
        client.incremental_assign(changed)
    else:
        client.assign(changed)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
