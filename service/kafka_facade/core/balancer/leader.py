"""What the leader does about tasks and load, in the background: one step at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Final

from kafka_facade.core.balancer.executor import STEP_SECONDS, Executor, Outcome
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import (
    NOT_STOPPED,
    RECORDS,
    REFUSED,
    ExecutionRecord,
    Failure,
    Kind,
    Purpose,
    TaskRecord,
    ThrottleRecord,
    now_ms,
    tasks_of,
)
from kafka_facade.core.balancer.removals import REMOVE, Removals
from kafka_facade.core.balancer.snapshots import Look, look
from kafka_facade.core.balancer.steps import MOVED_AWAY, MOVING_AWAY, REMOVAL, REMOVE_BROKER, TaskEvent
from kafka_facade.core.exclusions.keeper import ExclusionRecord, wanted
from kafka_facade.core.exclusions.model import ExclusionChange
from kafka_facade.core.state.handlers import Handlers, Leader
from kafka_facade.core.state.records import LeaderRecord, StateRecord, key_of

logger = logging.getLogger("kafka_facade.core")

_LEAST_PAUSE_SECONDS: Final = 0.3
# The part of the time that looks at a large cluster may take is one of this and 1.
_PAUSE_FACTOR: Final = 4
_EXCLUSION_MS: Final = 300_000
_STOP_MS: Final = 24 * 3_600_000
_KEPT_MS: Final = 7 * 24 * 3_600_000


class Balancer:
    """Carries out tasks. ``kafka`` are the gateway's own clients."""

    def __init__(self, kafka: BalancerKafka, options: BalancerOptions) -> None:
        self._kafka = kafka
        self._options = options
        self._executor = Executor(kafka, options)
        self._removals = Removals(kafka, enabled=options.enabled)
        self._term = 0
        self._empty: frozenset[int] = frozenset()
        """The brokers that had no replicas at the last look."""

    def register(self, handlers: Handlers) -> None:
        """Serve the change, and work in the background."""
        handlers.records += RECORDS
        handlers.changes[REMOVE] = self._removals.begin
        handlers.background.append(self.work)
        handlers.needs_topic = handlers.needs_topic or self._options.enabled

    async def close(self) -> None:
        """End what goes on in this process; never raises. The next leader continues."""
        await self._executor.close()

    async def work(self, leader: Leader) -> None:
        """Take one step."""
        self._note_term(leader)
        view = leader.view
        running = [task for task in tasks_of(view) if task.is_running]
        if not running and view.get(ExecutionRecord) is None and not view.all(ThrottleRecord):
            await self._forget_old(leader)
            return
        # A leader that was paused must not repeat what others have done.
        await leader.refresh()
        if not self._options.enabled:
            await self._write(leader, [task.after(TaskEvent.CANCELED, _SWITCHED_OFF) for task in running])
            running = []
        execution = view.get(ExecutionRecord)
        if execution is None and all(task.steps == MOVED_AWAY for task in running):
            await self._wait(leader, running)
            return
        began = time.monotonic()
        seen = await look(self._kafka, STEP_SECONDS)
        seconds = time.monotonic() - began
        running = await self._advance(leader, running, seen)
        await self._move(leader, running, seen)
        leader.hurry(max(_LEAST_PAUSE_SECONDS, _PAUSE_FACTOR * seconds))

    def _note_term(self, leader: Leader) -> None:
        record = leader.view.get(LeaderRecord)
        term = 0 if record is None else record.since_ms
        if term != self._term:
            self._term = term
            self._empty = frozenset()
            self._executor.forget()

    async def _wait(self, leader: Leader, running: Iterable[TaskRecord]) -> None:
        """Look only at brokers: tasks wait until theirs are stopped, or throttles until they are back."""
        registrations = await self._kafka.brokers.registrations(STEP_SECONDS)
        alive = registrations.alive
        after = [self._after_waiting(leader, task, alive=alive.get(task.broker_id, False)) for task in running]
        await self._write(leader, [task for task in after if task is not None])
        await self._executor.lift_throttles(leader, alive)

    async def _move(self, leader: Leader, running: Iterable[TaskRecord], seen: Look) -> None:
        moving = [task for task in running if task.steps == MOVING_AWAY]
        if not moving:
            await self._executor.stop(leader, seen)
            return
        purpose = Purpose(Kind.REMOVAL, tuple(sorted(task.broker_id for task in moving)))
        leaving = frozenset(task.broker_id for task in running if task.task_type == REMOVE_BROKER)
        outcome = await self._executor.step(leader, seen, purpose, {}, leaving)
        await self._fail(leader, moving, outcome)

    async def _fail(self, leader: Leader, tasks: Iterable[TaskRecord], outcome: Outcome) -> None:
        if outcome.failure is None:
            return
        failed = [task for task in tasks if not outcome.broker_ids or task.broker_id in outcome.broker_ids]
        await self._write(leader, [task.after(TaskEvent.FAILED, outcome.failure) for task in failed])

    async def _advance(self, leader: Leader, running: Iterable[TaskRecord], seen: Look) -> list[TaskRecord]:
        """Take the next steps of removals; return the tasks that are running still."""
        named = seen.named
        before, self._empty = self._empty, frozenset(task.broker_id for task in running if task.broker_id not in named)
        found: list[TaskRecord] = []
        changed: list[TaskRecord] = []
        records: dict[str, StateRecord | None] = {}
        for task in running:
            alive = seen.alive.get(task.broker_id, False)
            if task.steps == REMOVAL:
                if not _is_excluded(leader, task):
                    reason = f"Broker {task.broker_id} is to be removed."
                    records[key_of(ExclusionRecord, task.broker_id)] = ExclusionRecord(
                        change=ExclusionChange.SET, reason=reason
                    )
                after: TaskRecord | None = task.after(TaskEvent.TAKEN)
            elif task.steps == MOVED_AWAY:
                after = self._after_waiting(leader, task, alive=alive)
            else:
                # Metadata lags behind: a broker is empty when it was so at the last look, too.
                is_empty = task.broker_id in self._empty & before
                after = _after_look(leader, task, alive=alive, is_empty=is_empty)
            if after is not None:
                changed.append(after)
            found.append(after or task)
        await self._release(leader, found, seen)
        await self._write(leader, changed, records)
        return [task for task in found if task.is_running]

    async def _release(self, leader: Leader, tasks: Iterable[TaskRecord], seen: Look) -> None:
        """Remove throttles of brokers without replicas, before they are reported as done and may be stopped."""
        if any(task.steps == MOVING_AWAY for task in tasks):
            done = {task.broker_id for task in tasks if task.steps != MOVING_AWAY and task.broker_id in self._empty}
            alive = {broker_id: is_alive for broker_id, is_alive in seen.alive.items() if broker_id in done}
            await self._executor.lift_throttles(leader, alive, topics=False)
        else:
            await self._executor.stop(leader, seen)

    def _after_waiting(self, leader: Leader, task: TaskRecord, *, alive: bool) -> TaskRecord | None:
        if not alive:
            return task.after(TaskEvent.STOPPED)
        if not _is_excluded(leader, task):
            return task.after(TaskEvent.CANCELED, _CANCELED)
        if now_ms() - task.updated_ms > _STOP_MS:
            message = f"Broker {task.broker_id} was not stopped in time."
            return task.after(TaskEvent.NOT_STOPPED, Failure(NOT_STOPPED, message))
        return None

    async def _write(
        self, leader: Leader, tasks: Iterable[TaskRecord], more: dict[str, StateRecord | None] | None = None
    ) -> None:
        records: dict[str, StateRecord | None] = {task.key: task for task in tasks}
        for task in tasks:
            text = f": {task.message}" if task.message else ""
            logger.info(
                "task %s of broker %d is %s, its replicas %s%s",
                task.task_type,
                task.broker_id,
                task.status.value,
                task.reassignment.value,
                text,
            )
        await leader.write(records | (more or {}))

    async def _forget_old(self, leader: Leader) -> None:
        before = now_ms() - _KEPT_MS
        old = [task.key for task in tasks_of(leader.view) if not task.is_running and task.updated_ms < before]
        await leader.write(dict.fromkeys(old))


_CANCELED: Final = Failure(None, "The exclusion of the broker from new replicas was deleted.")
_SWITCHED_OFF: Final = Failure(None, "The balancer was switched off.")


def _is_excluded(leader: Leader, task: TaskRecord) -> bool:
    record = wanted(leader.view).get(task.broker_id)
    return record is not None and record.change is ExclusionChange.SET


def _after_look(leader: Leader, task: TaskRecord, *, alive: bool, is_empty: bool) -> TaskRecord | None:
    """Return a removal after a look that changes it: one that waits for the exclusion, or whose replicas move."""
    if not _is_excluded(leader, task):
        return task.after(TaskEvent.CANCELED, _CANCELED)
    if task.steps == MOVING_AWAY:
        if not is_empty:
            return None
        if not task.should_shutdown:
            return task.after(TaskEvent.DONE)
        return task.after(TaskEvent.MOVED, message=f"The replicas have moved. Stop broker {task.broker_id} now.")
    if wanted(leader.view)[task.broker_id].is_applied or not alive:
        return task.after(TaskEvent.EXCLUDED)
    if now_ms() - task.updated_ms > _EXCLUSION_MS:
        message = f"Broker {task.broker_id} could not be excluded from new replicas in time."
        return task.after(TaskEvent.NOT_EXCLUDED, Failure(REFUSED, message))
    return None
