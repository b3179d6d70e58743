"""A librdkafka consumer that serves events (such as rebalances) between polls and keeps records that come with them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import OFFSET_INVALID, KafkaException, Message
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import FacadeError, IllegalConsumerState, TopicNotFound
from kafka_facade.core.records.model import Header, Record
from kafka_facade.core.time_slices import time_slice
from kafka_facade.kafka.blocking import Blocking, settled
from kafka_facade.kafka.consuming.incoming import Headers, Incoming
from kafka_facade.kafka.consuming.pausing_client import AssignedPartition, PausingClient
from kafka_facade.kafka.consuming.serialized_client import BUSY_SECONDS
from kafka_facade.kafka.errors import facade_error, from_exception
from kafka_facade.kafka.text import replacing_invalid_text

logger = logging.getLogger("kafka_facade.kafka")

# Intervals (s) at which events are served between polls: from the first, increasing while joining, to the second.
JOIN_SECONDS = 0.02
_SLOW_JOIN_SECONDS = 0.2
_SERVE_SECONDS = 0.5
# How long (s) a leaving client waits to become a member first, because before that it cannot leave.
JOINING_SECONDS = 1.0
_LEAVE_PAUSE_SECONDS = 0.005
_LEAVE_MESSAGES = 100
# A KIP-848 member keeps its id, so it counts as having left after this long (s) without an assignment.
_QUIET_SECONDS = 0.25
# Maximum number of records kept from serving events.
_MOST_PENDING = 20
# Shared by all records without headers, to save an object for each.
_NO_HEADERS: list[Header] = []
# librdkafka reports group-level errors without a topic.
GROUP = ("", 0)
# Timeout (s) of a repeated assignment.
ASSIGN_SECONDS = 5.0


class EventfulClient(PausingClient):
    """Serves a client's events, so that a member whose caller is idle still joins and does not delay rebalances."""

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
        super().__init__(config, connecting, blocking, closing, grouped=grouped, on_dropped=on_dropped)
        self._keeps_its_id = config.get("group.protocol") == "consumer"
        # Such a member gets incremental assignments and rejects complete ones.
        strategies = str(config.get("partition.assignment.strategy", ""))
        self._incremental = self._keeps_its_id or "cooperative" in strategies
        # Records returned while serving events: at most one each time, and none while paused.
        self._pending: deque[Record] = deque()
        # Messages that follow the pending records.
        self._incoming = Incoming()
        self._subscribed = False
        self._server: asyncio.Task[None] | None = None
        self._revoked: set[tuple[str, int]] = set()
        self._just_revoked: set[tuple[str, int]] = set()
        # The current failure of a partition, or (under GROUP) of the group.
        self._failures: dict[tuple[str, int], FacadeError] = {}
        # librdkafka fetches committed offsets once. If the coordinator has just moved or is not available yet, that
        # fails, and the client never starts reading until the partitions are assigned again.
        self._gave_up = False
        self._auto_commit = bool(config.get("enable.auto.commit"))
        # Offsets for the automatic commit that could not be stored yet because the client is busy.
        self._to_store: dict[tuple[str, int], int] = {}
        self._topic_missing = False
        self._largest_uncounted = 0

    def _start_anew(self) -> None:
        """Reset the state before another subscription or assignment."""
        self._resume()
        self._pending.clear()
        self._incoming.keep(lambda place: False)
        self._failures.clear()
        self._gave_up = False

    def _serve_from_now_on(self) -> None:
        if self._server is None or self._server.done():
            serving = self._serve() if self._grouped else self._pause_while_idle()
            self._server = asyncio.create_task(serving, name="consumer events")

    async def _stop_serving(self) -> None:
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)
            self._server = None

    async def _serve(self) -> None:
        """Serve events until the subscription ends; keep records that come with them for the next poll."""
        joining = JOIN_SECONDS
        drop = False
        while True:
            try:
                if self._free.is_set():
                    if drop and self._has_paused:
                        self._drop_prefetched()
                        drop = False
                        await self._until_free()
                    self._read_ahead(1)
                    drop = self._pause_if_idle()
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

    async def _pause_while_idle(self) -> None:
        """Pause whenever the caller is idle. A consumer without a group has no events to serve meanwhile."""
        drop = False
        while True:
            await asyncio.sleep(_SERVE_SECONDS)
            with contextlib.suppress(FacadeError):
                if self._free.is_set():
                    if drop and self._has_paused:
                        self._drop_prefetched()
                    drop = self._pause_if_idle()

    async def _try_again(self) -> None:
        """Make the client fetch committed offsets again; if that is not possible now, retry later."""
        self._gave_up = False
        try:
            await self._assign_again()
        except FacadeError:
            self._gave_up = True

    async def _assign_again(self) -> None:
        """Assign the same partitions again, each at its current or intended position."""
        await self._convert_incoming()
        if any(partition.start is None for partition in self._assigned.values()):
            await settled(self._begin_again({}, None), ASSIGN_SECONDS)

    def _begin_again(self, moved: Mapping[tuple[str, int], int], on_success: Callable[[], None] | None) -> Future[None]:
        """Assign the same partitions again in a thread: each at its current or intended position, some moved elsewhere.

        The client must be free; it returns no records meanwhile. Convert what is incoming first: positions must lie
        behind all messages that were taken.
        """
        incremental = self._subscribed and self._incremental
        begin: dict[tuple[str, int], int] = {}
        for place, partition in self._assigned.items():
            if partition.start is None:
                begin[place] = OFFSET_INVALID if partition.sought is None else partition.sought
            elif not incremental:
                # librdkafka has no position for a partition that has started but returned no record yet.
                begin[place] = partition.position
        return self._begin(on_success, _assign_again, begin | dict(moved), incremental)

    def _take_largest(self) -> int:
        """Return the most bytes of key and headers of the records since the last call."""
        largest, self._largest_uncounted = self._largest_uncounted, 0
        return largest

    def _drop_prefetched(self, paused: Sequence[ClientPartition] = ()) -> None:
        """Make the client drop prefetched records of paused partitions, which it does when it is asked for the next.

        Pause ``paused`` first. It does so in a thread, because freeing them may take long.
        """

        def pause(client: ClientConsumer) -> None:
            if paused:
                client.pause(list(paused))

        self._note_pause(paused)
        self._begin_and_drop(None, pause)

    def _begin_and_drop(
        self, on_success: Callable[[], None] | None, method: Callable[[ClientConsumer], object]
    ) -> Future[None]:
        """Start a call in a thread, then make the client drop the prefetched records that it has made obsolete.

        The client does so when it is asked for the next record, which becomes an incoming one. Events are served too.
        """
        taken: list[Message] = []
        self._just_revoked.clear()

        def call(client: ClientConsumer) -> None:
            method(client)
            taken.extend(client.consume(1, 0))

        def done() -> None:
            if on_success is not None:
                on_success()
            self._incoming.append(taken)
            self._incoming.keep(lambda place: place not in self._just_revoked)

        return self._begin(done, call)

    def _read_ahead(self, max_records: int) -> None:
        """Serve events, and keep the records that come with them for the next poll."""
        records = self._consume(max_records)[1]
        # Read self._pending only now: a revocation replaces it while events are served.
        self._pending.extend(records)

    async def _convert_incoming(self, within: float = BUSY_SECONDS) -> None:
        """Wait until no thread uses the client and all messages that were taken from it are pending records.

        Raises KafkaTimeout after ``within`` seconds. Do not await anything before using the client.
        """
        deadline = time.monotonic() + within
        await self._until_free(within)
        while self._incoming:
            # Each may have 100,000 headers.
            await time_slice()
            await self._until_free(max(0.0, deadline - time.monotonic()))
            if self._incoming:
                self._read_ahead(1)

    def _consume(self, max_records: int) -> tuple[int, list[Record]]:
        """Return the number of messages, and the records among them whose partitions are still assigned.

        Messages that take long to convert are left for the next call.
        """
        self._just_revoked.clear()
        self._store()
        messages = self._incoming.take(self._owned, max_records)
        if messages:
            self._authentication.answered()
        with replacing_invalid_text:
            records = self._records(messages)
        if self._to_store:
            self._store()
        if self._just_revoked:
            # A partition that is assigned again is read again from the committed offset, in a later call.
            records = [r for r in records if (r.topic_name, r.partition_id) not in self._just_revoked]
            self._incoming.keep(lambda place: place not in self._just_revoked)
        return len(messages), records

    def _on_assign(self, partitions: list[ClientPartition]) -> None:
        self._authentication.answered()
        for entry in partitions:
            self._assigned.setdefault((entry.topic, entry.partition), AssignedPartition())
        # The member has joined, and these topics exist.
        there = {entry.topic for entry in partitions} | {GROUP[0]}
        self._failures = {place: failure for place, failure in self._failures.items() if place[0] not in there}

    def _on_revoke(self, partitions: list[ClientPartition]) -> None:
        gone = {(entry.topic, entry.partition) for entry in partitions}
        # The client commits stored offsets before it gives up partitions. It also remembers pauses, so undo them.
        with contextlib.suppress(FacadeError):
            self._store()
            self._forget_pause(gone)
        for place in gone:
            self._assigned.pop(place, None)
        self._to_store = {place: offset for place, offset in self._to_store.items() if place not in gone}
        self._just_revoked |= gone
        self._revoked |= gone
        self._pending = deque(entry for entry in self._pending if (entry.topic_name, entry.partition_id) not in gone)
        self._incoming.keep(lambda place: place not in gone)

    def take_revoked(self) -> set[tuple[str, int]]:
        """Return the partitions revoked since the last call, even if some have been assigned again since."""
        revoked, self._revoked = self._revoked, set()
        return revoked

    def starts(self) -> dict[tuple[str, int], int]:
        """The start offset of each assigned partition, as far as known."""
        return {place: found.start for place, found in self._assigned.items() if found.start is not None}

    def _saw(self, place: tuple[str, int], partition: AssignedPartition, offset: int) -> None:
        """Store the start offset of a partition for the automatic commit, as the Java client does.

        Otherwise, with ``auto.offset.reset=latest``, the next member would start at the end and miss records that were
        produced before anything was delivered.
        """
        partition.start = offset
        partition.sought = None
        if not self._subscribed:
            self._failures.pop(GROUP, None)
        if self._auto_commit:
            self._to_store[place] = offset

    def store(self, topic: str, partition: int, offset: int) -> None:
        """Store the next offset for the automatic commit."""
        self._to_store[topic, partition] = offset
        if self._free.is_set():
            self._store()

    def _store(self) -> None:
        """Store pending offsets in the client for its automatic commit; drop those that it rejects."""
        to_store, self._to_store = self._to_store, {}
        for (topic, partition), offset in to_store.items():
            try:
                self._client.store_offsets(offsets=[ClientPartition(topic, partition, offset)])
            except Exception as error:
                # The partition was revoked meanwhile, and its new owner commits.
                if not isinstance(from_exception(error), IllegalConsumerState):
                    logger.warning("offset %d of %s-%d is not committed: %s", offset, topic, partition, error)

    async def _leave(self, timeout: float) -> None:
        """Commit stored offsets and leave the group, serving events until that is done. Never raises.

        A member that disappears without leaving delays rebalances of its group until its session times out.
        """
        subscribed = self._subscribed
        await self._stop_serving()
        started = time.monotonic()
        try:
            await self._until_free(timeout)
            self._store()
            for partition in self._assigned.values():
                # The client need not undo pauses: its callers have, or destroy it.
                partition.paused = False
            # The client can only leave once the coordinator has answered its first join request.
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
        # In a thread, because the client frees prefetched records meanwhile.
        await self._in_thread(BUSY_SECONDS, _discard)
        await asyncio.sleep(_LEAVE_PAUSE_SECONDS)

    def _records(self, messages: Sequence[Message]) -> list[Record]:
        """Return the records. Events update positions, or become the failure of the next poll."""
        records: list[Record] = []
        assigned, incoming = self._assigned, self._incoming
        largest = self._largest_uncounted
        for index, message in enumerate(messages):
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
            headers = cast(Headers | None, message.headers())
            key = message.key()
            uncounted = 0 if key is None else len(key)
            if headers:
                incoming.count_headers(len(headers))
                uncounted += sum(len(value or b"") for _, value in headers)
            if uncounted > largest:
                largest = uncounted
            records.append(
                Record(
                    topic,
                    number,
                    offset,
                    timestamp if kind else None,
                    [Header(name, _bytes(value)) for name, value in headers] if headers else _NO_HEADERS,
                    key,
                    message.value(),
                )
            )
            if headers and incoming.is_late:
                incoming.put_back(messages[index + 1 :])
                break
        self._largest_uncounted = largest
        return records

    def _note(self, error: ClientError, place: tuple[str, int]) -> None:
        """Keep a failure for the next poll to report, unless it is transient.

        librdkafka retries after transient errors, except when it fetches committed offsets.
        """
        failure = facade_error(error)
        if isinstance(failure, TopicNotFound):
            # A group member waits for the topic to appear; for a reader without a group it is an error.
            self._topic_missing = True
            if self._grouped:
                return
        elif failure.codes.retriable:
            self._gave_up |= place == GROUP
            return
        self._failures.setdefault(place, failure)


def _assign_again(client: ClientConsumer, begin: Mapping[tuple[str, int], int], incremental: bool) -> None:
    """Assign the current partitions again, with these start offsets; if incremental, only these partitions."""
    changed = [ClientPartition(*place, offset) for place, offset in begin.items()]
    if incremental:
        # An interrupted earlier attempt may have unassigned it already.
        for entry in changed:
            with contextlib.suppress(KafkaException):
                client.incremental_unassign([entry])
        client.incremental_assign(changed)
    else:
        client.assign(changed)


def _discard(client: ClientConsumer) -> None:
    client.consume(_LEAVE_MESSAGES, 0)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
