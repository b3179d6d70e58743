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

NONE_REFUSED: Final[list[Refused]] = []
"""Stands where nothing was refused; nothing is added to it."""


class Batch:
    """Records that were submitted together, and what became of them.

    ``refused`` are those that wait until the others are decided, to be sent again; ``client`` is the place in
    ``refusals.CLIENTS`` of the one that has the records, not 0 once some are sent again. ``follower`` is the next batch
    of the same order while it waits to be sent again after this one.
    """

    __slots__ = (
        "_before",
        "client",
        "follower",
        "future",
        "handed_over",
        "in_flight",
        "lane",
        "left",
        "order",
        "outcomes",
        "records",
        "refused",
        "topic",
        "waits",
    )

    def __init__(
        self,
        records: Sequence[SerializedRecord],
        lane: Lane,
        order: RecordOrder | None,
        future: asyncio.Future[list[Delivery | FacadeError]],
    ) -> None:
        self.records = records
        self.lane = lane
        self.topic = lane.topic
        self.order = order
        self.client = 0
        self.refused = NONE_REFUSED
        self.future = future
        self.outcomes: list[Any] = [None] * len(records)
        self.left = len(records)
        self.handed_over = 0
        self.in_flight = False
        self.waits = False
        self.follower: Batch | None = None
        self._before: Batch | None = None if order is None else order.last
        if order is not None:
            order.last = self

    @property
    def is_sent_again(self) -> bool:
        """Whether some of it was refused, and is under way once more or waits for that."""
        return (self.waits or self.client > 0) and not self.future.done()

    def undecided_before(self) -> Batch | None:
        """The nearest earlier batch of the same order that has undecided records; decided ones are let go of."""
        while self._before is not None and not self._before.left:
            self._before = self._before._before
        return self._before


class Lane:
    """The batches of one topic: ``in_flight``, or waiting for those.

    ``undecided`` counts the records of both, ``waiting_records`` those that the client hasn't got yet, and
    ``refused_records`` those that it doesn't have any more although they are undecided.
    """

    __slots__ = ("in_flight", "refused_records", "room", "timer", "topic", "undecided", "waiting", "waiting_records")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.in_flight = 0
        self.waiting: deque[Batch] = deque()
        self.waiting_records = 0
        self.refused_records = 0
        self.undecided = 0
        self.timer: asyncio.TimerHandle | None = None
        # What those who have no room wait for, once; None while there are none.
        self.room: asyncio.Event | None = None
