"""Data structures of the send queue: batches (submissions), series (streams) and lanes (partitions)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.records.model import Delivery, RecordOrder
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.producing.queued_bytes import UNQUEUED
from kafka_facade.kafka.producing.refusals import PARTITIONER_DECIDES, Refused
from kafka_facade.kafka.producing.topic_limits import UNKNOWN

NONE_REFUSED: Final[list[Refused]] = []
"""Shared empty value of batches without rejected records; never modified."""


class Series:
    """The batches of one stream, from the first incomplete one on.

    ``under_way`` counts those with records in a client. After a rejection the series is ``held``: the first client gets
    no more of its records until the rejected ones are complete. ``stored`` maps each partition to the number of the
    last batch that had a record stored when resending began. One ``is_mixed`` has had records for several partitions.
    """

    __slots__ = ("batches", "complete", "count", "held", "is_mixed", "room", "stored", "under_way")

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self.count = 0
        self.under_way = 0
        self.held = False
        self.is_mixed = False
        self.stored: dict[int, int] | None = None
        # Set when the hold ends; None while nothing waits for it.
        self.room: asyncio.Event | None = None
        # Set when all batches are complete; None while nothing waits for it.
        self.complete: asyncio.Event | None = None

    @staticmethod
    def of(order: RecordOrder) -> Series:
        """The series of a stream."""
        if order.series is None:
            order.series = Series()
        series: Series = order.series
        return series

    async def until_complete(self) -> None:
        """Wait until all batches are complete."""
        if self.batches:
            if self.complete is None:
                self.complete = asyncio.Event()
            await self.complete.wait()

    def tell_if_complete(self) -> None:
        """Wake those that wait until all batches are complete, if they are."""
        if self.complete is not None and not self.batches:
            self.complete.set()
            self.complete = None

    def stored_after(self, batch: Batch) -> frozenset[int]:
        """The partitions in which a record of a later batch is stored already."""
        if self.stored is None:
            self.stored = {
                outcome.partition: later.number
                for later in self.batches
                for outcome in later.outcomes
                if isinstance(outcome, Delivery)
            }
        return frozenset(partition for partition, number in self.stored.items() if number > batch.number)

    def release(self) -> None:
        """End the hold: the first client gets the following records."""
        self.held = False
        self.stored = None
        if self.room is not None:
            self.room.set()
            self.room = None


class Batch:
    """Records that were submitted together, and their outcomes.

    ``refused`` are rejected records to resend once the others are complete. ``client`` is the index in
    ``refusals.CLIENTS`` of the client that has the records; it is above 0 after resending has begun. ``queued`` counts
    the bytes in that client, ``waiting_bytes`` are those of records that have not been handed over. ``partition`` is
    that of records that name none.
    """

    __slots__ = (
        "client",
        "future",
        "handed_over",
        "in_flight",
        "lane",
        "left",
        "number",
        "outcomes",
        "partition",
        "queued",
        "records",
        "refused",
        "series",
        "topic",
        "under_way",
        "waiting_bytes",
    )

    def __init__(
        self,
        records: Sequence[SerializedRecord],
        size: int,
        lane: Lane,
        series: Series | None,
        future: asyncio.Future[list[Delivery | FacadeError]],
        partition: int = PARTITIONER_DECIDES,
    ) -> None:
        self.records = records
        self.partition = partition
        self.waiting_bytes = size
        self.queued = UNQUEUED
        self.lane = lane
        self.topic = lane.topic
        self.series = series
        self.client = 0
        self.refused = NONE_REFUSED
        self.future = future
        self.outcomes: list[Any] = [None] * len(records)
        self.left = len(records)
        self.handed_over = 0
        self.in_flight = False
        self.under_way = False
        self.number = 0
        if series is not None:
            self.number = series.count
            series.count += 1
            series.batches.append(self)

    def hand_over_rest(self) -> int:
        """Count all records as handed over, and return how many were before."""
        first, self.handed_over = self.handed_over, len(self.records)
        self.lane.waiting_records -= len(self.records) - first
        self.lane.waiting_bytes -= self.waiting_bytes
        self.waiting_bytes = 0
        return first

    def start(self) -> None:
        """Record that some of its records go to a client, or wait for an earlier batch of its series."""
        if not self.in_flight:
            self.in_flight = True
            self.lane.in_flight += 1

    def set_under_way(self, under_way: bool) -> None:
        """Set whether it counts as under way in its series."""
        if self.series is not None and under_way is not self.under_way:
            self.under_way = under_way
            self.series.under_way += 1 if under_way else -1


class Lane:
    """The batches for one partition of a topic, or for any of them (None), ``in_flight`` or waiting.

    ``client`` is the index in ``refusals.CLIENTS`` of the client that the records go to, the same for all in flight.
    ``undecided`` counts all incomplete records, ``waiting_records`` those not handed to the client yet, and
    ``refused_records`` those that were rejected and wait to be resent. ``waiting_bytes`` and ``queued_bytes`` are the
    sizes of those that wait and of those in a client. ``moved_at`` is when the last of those was acknowledged, or the
    first one handed over, and ``blocked_at`` since when some wait for room in the client. ``leader`` is the broker that
    leads the partition, if it is known.
    """

    __slots__ = (
        "blocked_at",
        "client",
        "in_flight",
        "leader",
        "limits",
        "moved_at",
        "partition",
        "queued_bytes",
        "refused_records",
        "room",
        "timer",
        "topic",
        "undecided",
        "waiting",
        "waiting_bytes",
        "waiting_records",
    )

    def __init__(self, topic: str, partition: int | None = None, leader: int | None = None) -> None:
        self.topic = topic
        self.partition = partition
        self.leader = leader
        self.client = 0
        self.limits = UNKNOWN
        self.in_flight = 0
        self.waiting: deque[Batch] = deque()
        self.waiting_records = 0
        self.waiting_bytes = 0
        self.queued_bytes = 0
        self.refused_records = 0
        self.undecided = 0
        self.moved_at = 0.0
        self.blocked_at: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        # Set when there is room again; None while no call waits for it.
        self.room: asyncio.Event | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it has no records."""
        return not self.in_flight and not self.waiting

    @property
    def handed_over(self) -> int:
        """The number of records in the client."""
        return self.undecided - self.waiting_records - self.refused_records
