"""The moves of a plan that have not begun, and which of them may begin next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kafka_facade.core.balancer.planning.goals import Goals
from kafka_facade.core.balancer.planning.plan import Plan
from kafka_facade.core.balancer.planning.snapshot import Snapshot
from kafka_facade.core.balancer.records import MoveRecord, now_ms
from kafka_facade.core.balancer.snapshots import Look
from kafka_facade.core.reassignments.port import Place


@dataclass(frozen=True, slots=True)
class Limits:
    """How many partitions may move at once: in all, and to or from one broker."""

    moves: int
    moves_per_broker: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A move or a new order that has not begun."""

    before: tuple[int, ...]
    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    brokers: tuple[int, ...]
    """Those that get or lose a replica."""
    size_bytes: int

    @property
    def removing(self) -> tuple[int, ...]:
        """Those that lose one."""
        return self.brokers[len(self.adding) :]


class MoveQueue:
    """The moves of a plan in their order, then the new orders of replicas."""

    def __init__(self, plan: Plan, snapshot: Snapshot, goals: Goals, *, smallest_first: bool) -> None:
        moves = list(plan.moves)
        if smallest_first:
            # Most partitions are safe soon.
            moves.sort(key=lambda move: move.size_bytes)
        self._waiting: dict[Place, Waiting] = {
            (move.topic, move.partition): Waiting(
                move.replicas_before, move.replicas, move.adding, (*move.adding, *move.removing), move.size_bytes
            )
            for move in moves
        }
        self._waiting |= {
            (order.topic, order.partition): Waiting(order.replicas_before, order.replicas, (), (), 0)
            for order in plan.orders
        }
        self._room = {
            broker.broker_id: int(goals.max_disk_load * broker.total_bytes) - (broker.total_bytes - broker.usable_bytes)
            for broker in snapshot.brokers
            if broker.total_bytes is not None and broker.usable_bytes is not None
        }

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> Iterable[Waiting]:
        """The moves that have not begun."""
        return self._waiting.values()

    def finish(self, moves: Iterable[MoveRecord]) -> None:
        """Free the room of the replicas that were removed."""
        for move in moves:
            for broker in move.removing:
                if broker in self._room:
                    self._room[broker] += move.size_bytes

    def take(
        self, seen: Look, going: Collection[MoveRecord], limits: Limits, away_from: Collection[int]
    ) -> list[MoveRecord]:
        """Take the moves that may begin besides those that are going on.

        A partition that is under-replicated waits, unless only brokers in ``away_from`` lack its records, and so does a
        move to a broker that is down. Partitions that are not as planned are dropped.
        """
        busy = Counter(broker for move in going for broker in (*move.adding, *move.removing))
        partitions = seen.placement.partitions
        taken: list[MoveRecord] = []
        for place, move in list(self._waiting.items()):
            if len(going) + len(taken) >= limits.moves:
                break
            found = partitions.get(place)
            if found is None or found.replicas != move.before:
                del self._waiting[place]
                continue
            if any(busy[broker] >= limits.moves_per_broker for broker in move.brokers):
                continue
            if found.leader is None or set(found.replicas) - found.in_sync - set(away_from):
                continue
            if any(not seen.alive.get(broker) for broker in move.adding):
                continue
            if any(self._room.get(broker, move.size_bytes) < move.size_bytes for broker in move.adding):
                continue
            for broker in move.adding:
                if broker in self._room:
                    self._room[broker] -= move.size_bytes
            busy.update(move.brokers)
            del self._waiting[place]
            taken.append(MoveRecord(*place, move.before, move.replicas, move.size_bytes, now_ms()))
        return taken
