"""What does not go on: how long it has lasted, and moves that come no closer to their end."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import MoveRecord
from kafka_facade.core.balancer.snapshots import Look
from kafka_facade.core.reassignments.port import Place

# How often to look within the time limit: each look asks brokers for the sizes of all their replicas.
_LOOKS: Final = 10


class Patience:
    """How long something has lasted, from the first time that it is asked for until it ends."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def is_over(self) -> bool:
        """Whether it has lasted for too long."""
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since > self._seconds

    def end(self) -> None:
        """It does not last any more."""
        self._since = None


class Progress:
    """Whether moves come closer to their end: new replicas get what they lack of the leader's bytes."""

    def __init__(self, kafka: BalancerKafka, seconds: float) -> None:
        self._kafka = kafka
        self._seconds = seconds
        self._due = 0.0
        self._best: dict[Place, tuple[int | None, float]] = {}
        """The least bytes that a move has lacked, None if no broker has told them, and since when."""

    def forget(self) -> None:
        """Forget what was seen."""
        self._best.clear()
        self._due = 0.0

    async def stalled(self, seen: Look, moves: Collection[MoveRecord], timeout: float) -> list[MoveRecord]:
        """Return the moves that have come no closer to their end for the time limit."""
        now = time.monotonic()
        if now < self._due:
            return []
        self._due = now + self._seconds / _LOOKS
        going = {move.place: move for move in moves if move.adding}
        lacking = await self._lacking(seen, going.values(), timeout) if going else {}
        known, self._best = self._best, {}
        stalled = []
        for place, move in going.items():
            least, since = known.get(place, (None, now))
            lacks = lacking.get(place)
            if lacks is not None and (least is None or lacks < least):
                least, since = lacks, now
            self._best[place] = least, since
            if now - since > self._seconds:
                stalled.append(move)
        return stalled

    async def _lacking(self, seen: Look, moves: Collection[MoveRecord], timeout: float) -> dict[Place, int]:
        """Return how many bytes the new replicas of moves lack, for those whose brokers tell."""
        partitions = seen.placement.partitions
        brokers = {broker for move in moves for broker in move.adding}
        brokers |= {
            entry.leader for move in moves if (entry := partitions.get(move.place)) and entry.leader is not None
        }
        disks = await self._kafka.placement.disks([broker for broker in brokers if seen.alive.get(broker)], timeout)
        found: dict[Place, int] = {}
        for move in moves:
            entry = partitions.get(move.place)
            leader = None if entry is None or entry.leader is None else disks.get(entry.leader)
            if leader is not None and all(broker in disks for broker in move.adding):
                size = leader.sizes.get(move.place, 0)
                found[move.place] = sum(max(0, size - disks[broker].sizes.get(move.place, 0)) for broker in move.adding)
        return found
