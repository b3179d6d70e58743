"""Looks at the load of brokers now and then, on the leader, and finds what is to be done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Final

import msgspec

from kafka_facade.core.balancer.executor import STEP_SECONDS
from kafka_facade.core.balancer.options import ANY_UNEVEN_LOAD, BalancerOptions
from kafka_facade.core.balancer.planning.snapshot import Snapshot
from kafka_facade.core.balancer.plans import PlanMaker, Planned
from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import (
    NO_PLAN,
    BalancerRecord,
    Failure,
    Load,
    TaskRecord,
    current,
    new_task,
    now_ms,
    term_of,
)
from kafka_facade.core.balancer.snapshots import Look, look
from kafka_facade.core.balancer.states import BalancerState, UnevenLoadState
from kafka_facade.core.balancer.steps import ADD_BROKER, ADDITION
from kafka_facade.core.balancer.trail import note_tasks
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.exclusions.keeper import wanted
from kafka_facade.core.exclusions.model import ExclusionChange
from kafka_facade.core.state.handlers import Leader
from kafka_facade.core.state.records import StateRecord, key_of

logger = logging.getLogger("kafka_facade.core")

_WAIT_SECONDS: Final = 0.5
# The load must be uneven in this many looks in a row; as many failed looks are an error.
_LOOKS: Final = 3


class Monitor:
    """Writes the status of the balancer, begins tasks for empty brokers, and finds uneven load and failed brokers."""

    def __init__(self, kafka: BalancerKafka, options: BalancerOptions, plans: PlanMaker) -> None:
        self._kafka = kafka
        self._options = options
        self._plans = plans
        self._planning: asyncio.Task[Planned] | None = None
        self._due = 0.0
        self._uneven = 0
        self._failures = 0

    def forget(self) -> None:
        """Forget all that is not written: another worker may have led meanwhile."""
        if self._planning is not None:
            self._planning.cancel()
        self._planning = None
        self._due = 0.0
        self._uneven = self._failures = 0

    async def close(self) -> None:
        """End the plan that is being made; never raises."""
        planning = self._planning
        self.forget()
        if planning is not None:
            await asyncio.gather(planning, return_exceptions=True)

    async def work(self, leader: Leader, leaving: frozenset[int], *, is_busy: bool) -> None:
        """Look if it is time to; ``is_busy`` is whether replicas move already."""
        try:
            if self._planning is not None:
                await self._finish(leader, is_busy=is_busy)
            elif time.monotonic() >= self._due:
                self._due = time.monotonic() + self._options.interval
                await self._look(leader, leaving, is_busy=is_busy)
        except FacadeError as error:
            self._failures += 1
            if self._failures < _LOOKS:
                raise
            await self._write(leader, status=BalancerState.ERROR, message=error.message)
        if self._planning is not None:
            leader.hurry(_WAIT_SECONDS)

    async def _look(self, leader: Leader, leaving: frozenset[int], *, is_busy: bool) -> None:
        seen = await look(self._kafka, STEP_SECONDS)
        known = leader.view.get(BalancerRecord)
        before = {} if known is None else known.offline_since_ms
        gone = seen.offline | (seen.named - seen.alive.keys())
        since = {broker_id: before.get(broker_id, now_ms()) for broker_id in gone}
        threshold = self._options.failure_threshold_ms
        failed = sorted(
            broker_id
            for broker_id, at in since.items()
            if 0 <= threshold <= now_ms() - at and broker_id in seen.named and broker_id not in leaving
        )
        changes: dict[str, object] = {"offline_since_ms": since, "failed": tuple(failed)}
        if known is not None and self._failures >= _LOOKS:
            # The plans fail: only one that is made ends that.
            changes |= {"status": known.status, "message": known.message}
        else:
            changes["status"] = BalancerState.ENABLED
        await self._write(leader, **changes)
        if is_busy or failed:
            self._uneven = self._failures = 0
        elif self._options.trigger == ANY_UNEVEN_LOAD or _empty(leader, seen):
            self._planning = self._plans.start(seen, since, leaving, evens_load=True)
        else:
            self._failures = 0

    async def _finish(self, leader: Leader, *, is_busy: bool) -> None:
        planning = self._planning
        if planning is None or not planning.done():
            return
        self._planning = None
        planned = planning.result()
        if self._failures:
            self._failures = 0
            await self._write(leader, status=BalancerState.ENABLED)
        if is_busy:
            return
        new = _new_brokers(planned)
        if new:
            logger.info("brokers %s have no replicas: they get some", sorted(new))
            tasks = [new_task(broker_id, ADD_BROKER, ADDITION, should_shutdown=False) for broker_id in sorted(new)]
            await leader.write({task.key: task for task in tasks})
            note_tasks(tasks)
            leader.hurry(0)
        elif self._options.trigger == ANY_UNEVEN_LOAD:
            await self._assess(leader, planned)

    async def _assess(self, leader: Leader, planned: Planned) -> None:
        self._uneven = 0 if planned.plan.is_empty else self._uneven + 1
        if self._uneven >= _LOOKS:
            self._uneven = 0
            await self.set_load(leader, UnevenLoadState.BALANCING)
            leader.hurry(0)
        elif planned.plan.is_empty and not planned.plan.unsolvable:
            await self.set_load(leader, UnevenLoadState.BALANCED)
        elif planned.plan.is_empty:
            failure = Failure(NO_PLAN, "No plan evens the load: the brokers are too few or have no room.")
            await self.set_load(leader, UnevenLoadState.BALANCING_FAILED, failure)

    async def set_load(self, leader: Leader, status: UnevenLoadState, failure: Failure | None = None) -> None:
        """Write whether the load is even."""
        record = current(leader.view)
        if record is not None:
            await self._write(leader, load=record.load.after(status, failure))

    async def _write(self, leader: Leader, **changes: object) -> None:
        """Write what has changed."""
        known = leader.view.get(BalancerRecord)
        record = known or BalancerRecord(term=0, status=BalancerState.STARTING, load=_unknown())
        is_on = self._options.trigger == ANY_UNEVEN_LOAD
        load = record.load
        if not is_on:
            load = load.after(UnevenLoadState.DISABLED)
        elif load.status in (UnevenLoadState.DISABLED, UnevenLoadState.UNKNOWN):
            load = load.after(UnevenLoadState.STARTING)
        cleared = {"message": None} | {"load": load, "term": term_of(leader.view)}
        after = msgspec.structs.replace(record, **(cleared | changes))
        if after != known:
            records: dict[str, StateRecord | None] = {key_of(BalancerRecord): after}
            await leader.write(records)


def _empty(leader: Leader, seen: Look) -> set[int]:
    """Return the live brokers that have no replicas, but may get some."""
    excluded = {name for name, record in wanted(leader.view).items() if record.change is ExclusionChange.SET}
    return {broker_id for broker_id, is_alive in seen.alive.items() if is_alive} - seen.named - excluded


def _unknown() -> Load:
    now = now_ms()
    return Load(UnevenLoadState.UNKNOWN, UnevenLoadState.UNKNOWN, now, now)


def _new_brokers(planned: Planned) -> set[int]:
    """Return the brokers without replicas that get some."""
    getting = {broker for move in planned.plan.moves for broker in move.adding}
    return getting & _empty_brokers(planned.snapshot)


def _empty_brokers(snapshot: Snapshot) -> set[int]:
    hosts = {broker for entry in snapshot.partitions for broker in entry.replicas}
    return {broker.broker_id for broker in snapshot.brokers if broker.offline_ms is None} - hosts


def additions(tasks: Collection[TaskRecord]) -> list[TaskRecord]:
    """Return the tasks that add brokers."""
    return [task for task in tasks if task.task_type == ADD_BROKER]
