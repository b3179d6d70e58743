"""What the leader does about tasks and load, in the background: one step at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from kafka_facade.core.balancer.executor import STEP_SECONDS, Executor, Outcome
from kafka_facade.core.balancer.leftovers import LEFT_SECONDS, Leftovers
from kafka_facade.core.balancer.monitor import Monitor, additions
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.balancer.plans import PlanMaker
from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.progress import at_end, with_progress
from kafka_facade.core.balancer.records import (
    OVERRIDDEN,
    OVERRIDDEN_TEXT,
    RECORDS,
    REFUSED,
    ExecutionRecord,
    Failure,
    Kind,
    Purpose,
    TaskRecord,
    ThrottleRecord,
    current,
    now_ms,
    tasks_of,
    term_of,
)
from kafka_facade.core.balancer.removal_looks import after_look, is_excluded
from kafka_facade.core.balancer.removals import REMOVE, Removals
from kafka_facade.core.balancer.snapshots import Look, look
from kafka_facade.core.balancer.stalls import GrowingPause, Patience
from kafka_facade.core.balancer.states import UnevenLoadState
from kafka_facade.core.balancer.steps import (
    MOVED_AWAY,
    MOVING_AWAY,
    REMOVAL,
    REMOVE_BROKER,
    TABLES,
    TaskEvent,
    TaskStatus,
)
from kafka_facade.core.balancer.trail import note_tasks
from kafka_facade.core.balancer.waiting import Waiting
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.exclusions.keeper import ExclusionRecord
from kafka_facade.core.exclusions.model import ExclusionChange
from kafka_facade.core.state.handlers import Handlers, Leader
from kafka_facade.core.state.records import StateRecord, key_of
from kafka_facade.core.state.view import StateView

logger = logging.getLogger("kafka_facade.core")

_LEAST_PAUSE_SECONDS: Final = 0.3
# The first and the longest pause between looks for brokers that are down and still have throttles.
_FIRST_LIFT_SECONDS: Final = 5.0
_LIFT_SECONDS: Final = 60.0
# The part of the time that looks at a large cluster may take is one of this and 1.
_PAUSE_FACTOR: Final = 4
# How long not to try again to replace replicas that could not be replaced.
_RETRY_SECONDS: Final = 600.0
# How many steps in a row may fail with an error that is not retriable.
_MOST_FAILED_STEPS: Final = 5
_KEPT_MS: Final = 7 * 24 * 3_600_000


class Balancer:
    """Carries out tasks. ``kafka`` are the gateway's own clients."""

    def __init__(self, kafka: BalancerKafka, options: BalancerOptions) -> None:
        self._kafka = kafka
        self._options = options
        self._plans = PlanMaker(kafka, options)
        self._executor = Executor(kafka, options, self._plans)
        self._monitor = Monitor(kafka, options, self._plans)
        self._given_up: Purpose | None = None
        self._given_up_until = 0.0
        self._removals = Removals(kafka, enabled=options.enabled)
        self._term = 0
        self._empty: frozenset[int] = frozenset()
        """The brokers that had no replicas at the last look."""
        self._waiting = Waiting(kafka, options.shutdown_timeout)
        self._lifting = GrowingPause(_FIRST_LIFT_SECONDS, _LIFT_SECONDS, time.monotonic)
        self._leftovers = Leftovers(kafka)
        self._purpose: Purpose | None = None
        self._failed_steps = 0
        self._failing = self._executor.patience()
        self._releasing = Patience(LEFT_SECONDS, time.monotonic)

    def register(self, handlers: Handlers) -> None:
        """Serve the change, and work in the background."""
        handlers.records += RECORDS
        handlers.changes[REMOVE] = self._removals.begin
        handlers.background.append(self.work)
        handlers.needs_topic = handlers.needs_topic or self._options.enabled

    async def close(self) -> None:
        """End what goes on in this process; never raises. The next leader continues."""
        await self._monitor.close()
        await self._executor.close()
        self._plans.close()

    async def work(self, leader: Leader) -> None:
        """Take one step."""
        self._note_term(leader)
        await self._forget_old(leader)
        view = leader.view
        running = _running(view)
        self._waiting.keep(task.broker_id for task in running if task.steps == MOVED_AWAY)
        if self._options.enabled:
            leaving = frozenset(task.broker_id for task in running if task.task_type == REMOVE_BROKER)
            is_busy = view.get(ExecutionRecord) is not None or any(task.steps != MOVED_AWAY for task in running)
            await self._monitor.work(leader, leaving, is_busy=is_busy)
            running = _running(view)
        is_idle = not running and not self._has_load_to_move(view)
        if is_idle and view.get(ExecutionRecord) is None and not self._may_lift(view):
            return
        # A leader that was paused must not repeat what others have done.
        await leader.refresh()
        if not self._options.enabled:
            await self._write(leader, [task.after(TaskEvent.CANCELED, _SWITCHED_OFF) for task in running])
            running = []
        execution = view.get(ExecutionRecord)
        is_waiting = all(task.steps == MOVED_AWAY for task in running) and not self._has_load_to_move(view)
        if execution is None and is_waiting:
            await self._wait(leader, running)
            return
        began = time.monotonic()
        try:
            seen = await look(self._kafka, STEP_SECONDS)
        except FacadeError as error:
            await self._fail_unseen(leader, running, error)
            return
        self._waiting.note_look()
        seconds = time.monotonic() - began
        running = await self._advance(leader, running, seen)
        moves = await self._move(leader, running, seen)
        if moves or any(task.steps != MOVED_AWAY for task in running):
            leader.hurry(max(_LEAST_PAUSE_SECONDS, _PAUSE_FACTOR * seconds))

    def _note_term(self, leader: Leader) -> None:
        term = term_of(leader.view)
        if term != self._term:
            self._term = term
            self._empty = frozenset()
            self._waiting.forget()
            self._lifting.end()
            self._leftovers.forget()
            self._given_up = None
            self._purpose = None
            self._end_failures()
            self._releasing.end()
            self._executor.forget()
            self._monitor.forget()

    def _has_load_to_move(self, view: StateView) -> bool:
        """Whether replicas are to move for no task: since the load is uneven, or brokers have failed."""
        record = current(view) if self._options.enabled else None
        return record is not None and (bool(record.failed) or record.load.status is UnevenLoadState.BALANCING)

    async def _wait(self, leader: Leader, running: Sequence[TaskRecord]) -> None:
        """Look mostly at brokers: tasks wait until theirs are stopped, or throttles until they are back."""
        alive = (await self._kafka.brokers.registrations(STEP_SECONDS)).alive
        filled = await self._waiting.filled(running)
        after = [
            self._waiting.after(
                leader, task, alive=alive.get(task.broker_id, False), is_filled=task.broker_id in filled
            )
            for task in running
        ]
        await self._write(leader, [task for task in after if task is not None])
        if await self._executor.lift_throttles(leader, alive) or running:
            self._lifting.end()
        else:
            self._lifting.grow()

    def _may_lift(self, view: StateView) -> bool:
        """Whether to look for brokers with throttles; one that never returns is looked for less and less often."""
        return bool(view.all(ThrottleRecord)) and self._lifting.is_over()

    async def _move(self, leader: Leader, running: Iterable[TaskRecord], seen: Look) -> bool:
        """Move replicas for the most important purpose, and return whether there is one; others are overridden."""
        tasks = list(running)
        record = current(leader.view) if self._options.enabled else None
        moving = [task for task in tasks if task.steps == MOVING_AWAY]
        adding = additions(tasks)
        failed = () if record is None else [broker_id for broker_id in record.failed if _is_lost(seen, broker_id)]
        is_uneven = record is not None and record.load.status is UnevenLoadState.BALANCING
        purpose: Purpose | None = None
        if moving:
            purpose = Purpose(Kind.REMOVAL, tuple(sorted(task.broker_id for task in moving)))
        elif failed and not self._has_given_up(failure := Purpose(Kind.FAILURE, tuple(failed))):
            purpose = failure
        elif adding:
            purpose = Purpose(Kind.ADDITION, tuple(task.broker_id for task in adding))
        elif is_uneven:
            purpose = Purpose(Kind.UNEVEN_LOAD)
        if adding and purpose is not None and purpose.kind < Kind.ADDITION:
            await self._write(leader, [task.after(TaskEvent.CANCELED, _OVERRIDDEN) for task in adding])
        if is_uneven and purpose is not None and purpose.kind < Kind.UNEVEN_LOAD:
            await self._monitor.set_load(leader, UnevenLoadState.ABORTED, _OVERRIDDEN)
        if purpose is None:
            await self._executor.stop(leader, seen)
            return False
        if purpose != self._purpose:
            self._purpose = purpose
            self._end_failures()
        leaving = frozenset(task.broker_id for task in tasks if task.task_type == REMOVE_BROKER)
        since = {} if record is None else record.offline_since_ms
        try:
            outcome = await self._executor.step(leader, seen, purpose, since, leaving)
        except FacadeError as error:
            outcome = self._after_error(error)
        else:
            self._end_failures()
        await self._end(leader, purpose, outcome, moving or adding, seen)
        return True

    def _after_error(self, error: FacadeError) -> Outcome:
        """Raise an error that may pass; return the outcome once it has lasted."""
        self._failed_steps += 1
        lasts = self._failing.is_over()
        if not lasts and (error.codes.retriable or self._failed_steps < _MOST_FAILED_STEPS):
            raise error
        self._end_failures()
        return Outcome(failure=Failure(REFUSED, error.message))

    async def _fail_unseen(self, leader: Leader, running: Iterable[TaskRecord], error: FacadeError) -> None:
        """Fail tasks whose brokers cannot be looked at, such as without a right. An outage of Kafka fails none."""
        if error.codes.retriable:
            raise error
        outcome = self._after_error(error)
        moving = [task for task in running if (task.steps, TaskEvent.FAILED) in TABLES[task.task_type]]
        await self._write(leader, [task.after(TaskEvent.FAILED, outcome.failure) for task in moving])

    def _end_failures(self) -> None:
        self._failed_steps = 0
        self._failing.end()

    def _has_given_up(self, purpose: Purpose) -> bool:
        return purpose == self._given_up and time.monotonic() < self._given_up_until

    async def _end(
        self, leader: Leader, purpose: Purpose, outcome: Outcome, tasks: Iterable[TaskRecord], seen: Look
    ) -> None:
        """Write what has come of a purpose, if it has ended."""
        failure = outcome.failure
        if not outcome.is_done and failure is None:
            return
        if purpose.kind is not Kind.REMOVAL:
            try:
                await self._executor.stop(leader, seen)
            except FacadeError as error:
                # It is tried again at the next step.
                logger.warning("moves or throttles can't be ended now: %s", error)
        if purpose.kind is Kind.UNEVEN_LOAD:
            status = UnevenLoadState.BALANCED if failure is None else UnevenLoadState.BALANCING_FAILED
            await self._monitor.set_load(leader, status, failure)
        elif purpose.kind is Kind.FAILURE:
            if failure is not None:
                logger.warning("the replicas of brokers that are down can't be replaced: %s", failure.message)
            self._given_up = purpose
            self._given_up_until = time.monotonic() + _RETRY_SECONDS
        elif failure is not None:
            failed = [task for task in tasks if not outcome.broker_ids or task.broker_id in outcome.broker_ids]
            await self._write(leader, [task.after(TaskEvent.FAILED, failure) for task in failed])
        elif purpose.kind is Kind.ADDITION:
            await self._write(leader, [at_end(leader.view, task).after(TaskEvent.DONE) for task in tasks])

    async def _advance(self, leader: Leader, running: Iterable[TaskRecord], seen: Look) -> list[TaskRecord]:
        """Take the next steps of removals; return the tasks that are running still."""
        named = seen.named
        removed = (task.broker_id for task in running if task.task_type == REMOVE_BROKER)
        before, self._empty = self._empty, frozenset(broker_id for broker_id in removed if broker_id not in named)
        found: list[TaskRecord] = []
        changed: list[TaskRecord] = []
        moving: dict[str, TaskRecord] = {}
        records: dict[str, StateRecord | None] = {}
        for task in running:
            alive = seen.alive.get(task.broker_id, False)
            if task.task_type != REMOVE_BROKER:
                after: TaskRecord | None = None
            elif task.steps == REMOVAL:
                if not is_excluded(leader, task):
                    reason = f"Broker {task.broker_id} is to be removed."
                    records[key_of(ExclusionRecord, task.broker_id)] = ExclusionRecord(
                        change=ExclusionChange.SET, reason=reason, caller=task.caller
                    )
                after = task.after(TaskEvent.TAKEN)
            elif task.steps == MOVED_AWAY:
                # Metadata lags behind, too: a broker has replicas again when it had them at the last look.
                is_empty = task.broker_id in self._empty
                is_filled = not is_empty and task.broker_id not in before
                after = None
                if is_empty or is_filled:
                    after = self._waiting.after(leader, task, alive=alive, is_filled=is_filled)
            else:
                # Metadata lags behind: a broker is empty when it was so at the last look, too.
                is_empty = task.broker_id in self._empty & before
                if not is_empty:
                    self._leftovers.end(task.broker_id)
                left = await self._leftovers.find(task.broker_id, seen) if is_empty and alive else None
                after = after_look(leader, task, alive=alive, is_empty=is_empty and left is None)
                if (
                    after is None
                    and task.steps == MOVING_AWAY
                    and left is not None
                    and self._leftovers.are_lasting(task.broker_id)
                ):
                    after = task.after(TaskEvent.FAILED, left)
            if after is not None:
                changed.append(after)
                if task.steps == MOVING_AWAY and after.status is not TaskStatus.FAILED:
                    moving[task.key] = task
            found.append(after or task)
        if not await self._release(leader, found, seen):
            # They are reported as done once their brokers may be stopped.
            found = [moving.get(task.key, task) for task in found]
            changed = [task for task in changed if task.key not in moving]
        await self._write(leader, changed, records)
        return [task for task in found if task.is_running]

    async def _release(self, leader: Leader, tasks: Iterable[TaskRecord], seen: Look) -> bool:
        """Remove throttles of brokers without replicas; return whether these may be reported as done and be stopped."""
        record = leader.view.get(ExecutionRecord)
        try:
            if (
                any(task.steps == MOVING_AWAY for task in tasks)
                or record is None
                or record.purpose.kind != Kind.REMOVAL
            ):
                done = {task.broker_id for task in tasks if task.steps != MOVING_AWAY and task.broker_id in self._empty}
                alive = {broker_id: is_alive for broker_id, is_alive in seen.alive.items() if broker_id in done}
                await self._executor.lift_throttles(leader, alive, topics=False)
            else:
                await self._executor.stop(leader, seen)
        except FacadeError as error:
            logger.warning("moves or throttles can't be ended now: %s", error)
            return self._releasing.is_over()
        self._releasing.end()
        return True

    async def _write(
        self, leader: Leader, tasks: Iterable[TaskRecord], more: dict[str, StateRecord | None] | None = None
    ) -> None:
        written = list(tasks)
        records: dict[str, StateRecord | None] = {task.key: task for task in written}
        for task in written:
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
        note_tasks(written)

    async def _forget_old(self, leader: Leader) -> None:
        before = now_ms() - _KEPT_MS
        old = [task.key for task in tasks_of(leader.view) if not task.is_running and task.updated_ms < before]
        await leader.write(dict.fromkeys(old))


_OVERRIDDEN: Final = Failure(OVERRIDDEN, OVERRIDDEN_TEXT)
_SWITCHED_OFF: Final = Failure(None, "The balancer was switched off.")


def _running(view: StateView) -> list[TaskRecord]:
    """Return the tasks that run, with their progress so that it is kept when they end."""
    return [with_progress(view, task) for task in tasks_of(view) if task.is_running]


def _is_lost(seen: Look, broker_id: int) -> bool:
    return not seen.alive.get(broker_id) and broker_id in seen.named
