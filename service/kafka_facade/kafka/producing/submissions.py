"""What the send queue has of records: those that were submitted together, and those of one topic."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.records.model import Delivery, RecordOrder
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.producing.refusals import Refused
from kafka_facade.kafka.producing.topic_limits import UNKNOWN

NONE_REFUSED: Final[list[Refused]] = []
"""Stands where nothing was refused; nothing is added to it."""


class Series:
    """The submitted batches of one stream, from the first with undecided records on.

    ``under_way`` of them have records that a client has, or whose verdict is on its way. From the first refusal on the
    series is ``held``: the first client gets nothing more of it until what was refused is decided. ``stored`` has for
    each partition the number of the last batch that had a record stored when sending again began.
    """

    __slots__ = ("batches", "count", "held", "room", "stored", "under_way")

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self.count = 0
        self.under_way = 0
        self.held = False
        self.stored: dict[int, int] | None = None
        # What waits for the end of the holding; None while nothing does.
        self.room: asyncio.Event | None = None

    @staticmethod
    def of(order: RecordOrder) -> Series:
        """The series of a stream."""
        if order.series is None:
            order.series = Series()
        series: Series = order.series
        return series

    def stored_after(self, batch: Batch) -> frozenset[int]:
        """The partitions that have a record of a later batch already."""
        if self.stored is None:
            self.stored = {
                outcome.partition: later.number
                for later in self.batches
                for outcome in later.outcomes
                if isinstance(outcome, Delivery)
            }
        return frozenset(partition for partition, number in self.stored.items() if number > batch.number)

    def release(self) -> None:
        """Let the first client have what follows."""
        self.held = False
        self.stored = None
        if self.room is not None:
            self.room.set()
            self.room = None


class Batch:
    """Records that were submitted together, and what became of them.

    ``refused`` are those that wait until the others are decided, to be sent again; ``client`` is the place in
    ``refusals.CLIENTS`` of the one that has the records, not 0 once some are sent again.
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
        "records",
        "refused",
        "series",
        "topic",
        "under_way",
    )

    def __init__(
        self,
        records: Sequence[SerializedRecord],
        lane: Lane,
        series: Series | None,
        future: asyncio.Future[list[Delivery | FacadeError]],
    ) -> None:
        self.records = records
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

    def start(self) -> None:
        """Some of its records go to a client, or wait for the verdict on an earlier one of its series."""
        if not self.in_flight:
            self.in_flight = True
            self.lane.in_flight += 1

    def set_under_way(self, under_way: bool) -> None:
        """Count it among those of its series that are under way, or not any more."""
        if self.series is not None and under_way is not self.under_way:
            self.under_way = under_way
            self.series.under_way += 1 if under_way else -1


class Lane:
    """The batches of one topic: ``in_flight``, or waiting for those.

    ``client`` is the place in ``refusals.CLIENTS`` of the one that the records go to, the same for all in flight.
    ``undecided`` counts the records of both, ``waiting_records`` those that the client hasn't got yet, and
    ``refused_records`` those that it doesn't have any more although they are undecided.
    """

    __slots__ = (
        "client",
        "in_flight",
        "limits",
        "refused_records",
        "room",
        "timer",
        "topic",
        "undecided",
        "waiting",
        "waiting_records",
    )

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.client = 0
        self.limits = UNKNOWN
        self.in_flight = 0
        self.waiting: deque[Batch] = deque()
        self.waiting_records = 0
        self.refused_records = 0
        self.undecided = 0
        self.timer: asyncio.TimerHandle | None = None
        # What those who have no room wait for, once; None while there are none.
        self.room: asyncio.Event | None = None
