"""Makes plans from snapshots in a thread, and says why a partition cannot be moved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.balancer.planning.plan import Plan, Reason, Unsolvable
from kafka_facade.core.balancer.planning.planner import plan
from kafka_facade.core.balancer.planning.snapshot import Snapshot
from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import NO_PLAN, OTHERS_MOVE, Failure
from kafka_facade.core.balancer.snapshots import Look, take_snapshot
from kafka_facade.core.errors import KafkaTimeout
from kafka_facade.core.quoting import quote
from kafka_facade.core.worker_threads import NoFreeThread, WorkerThreads

_SNAPSHOT_SECONDS: Final = 20.0
_PLAN_SECONDS: Final = 300.0
_THREAD_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and the snapshot that it is for."""

    plan: Plan
    snapshot: Snapshot


class PlanMaker:
    """Makes one plan at a time."""

    def __init__(self, kafka: BalancerKafka, options: BalancerOptions) -> None:
        self._kafka = kafka
        self._options = options
        self._threads = WorkerThreads("planner", 1)

    def close(self) -> None:
        """Let the thread end."""
        self._threads.close()

    def start(
        self, seen: Look, offline_since_ms: dict[int, int], leaving: frozenset[int], *, evens_load: bool
    ) -> asyncio.Task[Planned]:
        """Begin to take a snapshot and to make a plan for it. The task raises the errors of the snapshot."""
        return asyncio.create_task(self._make(seen, offline_since_ms, leaving, evens_load=evens_load), name="plan")

    async def _make(
        self, seen: Look, offline_since_ms: dict[int, int], leaving: frozenset[int], *, evens_load: bool
    ) -> Planned:
        snapshot = await take_snapshot(
            self._kafka,
            seen,
            leaving=leaving,
            excluded=(),
            offline_since_ms=offline_since_ms,
            timeout=_SNAPSHOT_SECONDS,
        )
        goals = self._options.goals(evens_load=evens_load)
        try:
            made = await self._threads.run(lambda: plan(snapshot, goals), wait=_THREAD_SECONDS, limit=_PLAN_SECONDS)
        except (NoFreeThread, TimeoutError):
            raise KafkaTimeout("No plan could be made in time.") from None
        return Planned(made, snapshot)


def others_move() -> Failure:
    """Return the failure if another tool moves partitions for too long."""
    return Failure(OTHERS_MOVE, "Other reassignments go on for too long.")


_TEXTS: Final = {
    Reason.NO_LEADER: "it has no leader",
    Reason.REASSIGNING: "it is being reassigned",
    Reason.EXCLUDED_TOPIC: "its topic is excluded from balancing",
    Reason.TOO_FEW_BROKERS: "there are too few other brokers",
    Reason.NO_ROOM: "the other brokers have no room",
}


def failure_of(entries: Sequence[Unsolvable]) -> Failure:
    """Return the failure of a plan that leaves these."""
    first = entries[0]
    if first.reason is Reason.REASSIGNING:
        return others_move()
    brokers = sorted({entry.broker_id for entry in entries if entry.broker_id is not None})
    message = (
        f"Error while computing the plan for brokers {brokers}: partition {first.partition} of topic "
        f"{quote(first.topic or '')} can't be moved, since {_TEXTS[first.reason]}."
    )
    return Failure(NO_PLAN, message)
