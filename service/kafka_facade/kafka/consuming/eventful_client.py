"""A librdkafka consumer that serves events (such as rebalances) between polls and keeps records that come with them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from confluent_kafka import OFFSET_INVALID, KafkaException
from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import FacadeError
from kafka_facade.kafka.blocking import settled
from kafka_facade.kafka.consuming.reading_client import GROUP, ReadingClient
from kafka_facade.kafka.consuming.serialized_client import BUSY_SECONDS, ClientSetup

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
# Timeout (s) of a repeated assignment.
ASSIGN_SECONDS = 5.0


class EventfulClient(ReadingClient):
    """Serves a client's events, so that a member whose caller is idle still joins and does not delay rebalances."""

    def __init__(self, setup: ClientSetup) -> None:
        super().__init__(setup)
        self._keeps_its_id = setup.config.get("group.protocol") == "consumer"
        # Such a member gets incremental assignments and rejects complete ones.
        strategies = str(setup.config.get("partition.assignment.strategy", ""))
        self._incremental = self._keeps_its_id or "cooperative" in strategies
        self._server: asyncio.Task[None] | None = None
        self._revoked: set[tuple[str, int]] = set()

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
                    if self._begin_to_take():
                        await self._until_free()
                        if self._incoming:
                            self._read_ahead(1)
                    else:
                        self._read_ahead(1)
                    self._resume_assigned()
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

    def _on_assign(self, partitions: list[ClientPartition]) -> None:
        self._authentication.answered()
        self._note_assigned((entry.topic, entry.partition) for entry in partitions)
        # The member has joined, and these topics exist.
        there = {entry.topic for entry in partitions} | {GROUP[0]}
        self._failures = {place: failure for place, failure in self._failures.items() if place[0] not in there}

    def _on_revoke(self, partitions: list[ClientPartition]) -> None:
        gone = {(entry.topic, entry.partition) for entry in partitions}
        # The client commits stored offsets before it gives up partitions.
        with contextlib.suppress(FacadeError):
            self._store()
        self._note_revoked(gone)
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
