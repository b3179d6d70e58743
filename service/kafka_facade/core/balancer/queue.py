"""The moves of a plan that have not begun, and which of them may begin next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kafka_facade.core.balancer.planning.goals import Goals
from kafka_facade.core.balancer.planning.plan import Move, Order, Plan
from kafka_facade.core.balancer.planning.snapshot import Snapshot
from kafka_facade.core.balancer.port import PlacedPartition
from kafka_facade.core.balancer.records import MoveRecord, now_ms
from kafka_facade.core.reassignments.port import Place


@dataclass(frozen=True, slots=True)
class Limits:
    """How many partitions may move at once: in all, and to or from one broker."""

    moves: int
    moves_per_broker: int


class MoveQueue:
    """The moves of a plan in their order, then the new orders of replicas."""

    def __init__(self, plan: Plan, snapshot: Snapshot, goals: Goals, *, smallest_first: bool) -> None:
        moves: list[Move | Order] = list(plan.moves)
        if smallest_first:
            # Most partitions are safe soon.
            moves.sort(key=lambda move: move.size_bytes if isinstance(move, Move) else 0)
        self._waiting: dict[Place, Move | Order] = {
            (move.topic, move.partition): move for move in (*moves, *plan.orders)
        }
        self._room = {
            broker.broker_id: int(goals.max_disk_load * broker.total_bytes) - (broker.total_bytes - broker.usable_bytes)
            for broker in snapshot.brokers
            if broker.total_bytes is not None and broker.usable_bytes is not None
        }
        self.is_stale = False
        """Whether the cluster is not as planned any more."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        """How many bytes the waiting moves copy."""
        return sum(_copied(move) for move in self._waiting.values())

    def finish(self, moves: Iterable[MoveRecord]) -> None:
        """Free the room of the replicas that were removed."""
        for move in moves:
            for broker in move.removing:
                if broker in self._room:
                    self._room[broker] += move.size_bytes

    def take(
        self,
        partitions: Mapping[Place, PlacedPartition],
        going: Collection[MoveRecord],
        limits: Limits,
        away_from: Collection[int],
    ) -> list[MoveRecord]:
        """Take the moves that may begin besides those that are going on.

        A partition that is under-replicated waits, unless only brokers in ``away_from`` lack its records. Partitions
        that are not as planned are dropped.
        """
        busy = Counter(broker for move in going for broker in (*move.adding, *move.removing))
        taken: list[MoveRecord] = []
        for place, move in list(self._waiting.items()):
            if len(going) + len(taken) >= limits.moves:
                break
            found = partitions.get(place)
            if found is None or found.replicas != move.replicas_before:
                del self._waiting[place]
                self.is_stale = True
                continue
            size = move.size_bytes if isinstance(move, Move) else 0
            record = MoveRecord(*place, move.replicas_before, move.replicas, size, now_ms())
            brokers = (*record.adding, *record.removing)
            lacking = set(found.replicas) - found.in_sync - set(away_from)
            if lacking or found.leader is None or any(busy[broker] >= limits.moves_per_broker for broker in brokers):
                continue
            if any(self._room.get(broker, size) < size for broker in record.adding):
                continue
            for broker in record.adding:
                if broker in self._room:
                    self._room[broker] -= size
            busy.update(brokers)
            del self._waiting[place]
            taken.append(record)
        return taken


def copied_bytes(moves: Iterable[MoveRecord]) -> int:
    """Return how many bytes moves copy."""
    return sum(move.size_bytes * len(move.adding) for move in moves)


def _copied(move: Move | Order) -> int:
    return move.size_bytes * len(move.adding) if isinstance(move, Move) else 0
