"""The lines of the audit log about tasks and moves."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_facade.core.audit import GATEWAY, audit
from kafka_facade.core.balancer.planning.plan import Plan
from kafka_facade.core.balancer.progress import type_of
from kafka_facade.core.balancer.records import Purpose, TaskRecord, tasks_of
from kafka_facade.core.balancer.steps import (
    MOVED_AWAY,
    MOVING_AWAY,
    REMOVE_BROKER,
    ReassignmentStatus,
    ShutdownStatus,
    TaskStatus,
)
from kafka_facade.core.state.view import StateView


def note_tasks(tasks: Iterable[TaskRecord]) -> None:
    """Note the steps that tasks have taken."""
    for task in tasks:
        audit(
            _event(task),
            task.status.value,
            callers=[_caller(task)],
            tasks=[task.identifier],
            brokers=[task.broker_id],
            error_code=task.code,
            message=task.message,
        )


def note_plan(view: StateView, purpose: Purpose, plan: Plan) -> None:
    """Note a plan that was made."""
    outcome = "unsolvable" if plan.unsolvable else "done"
    _note(view, purpose, "plan-made", outcome, partitions=len(plan.moves), unsolvable=len(plan.unsolvable) or None)


def note_moves(view: StateView, purpose: Purpose, event: str, partitions: int, rejected: int = 0) -> None:
    """Note what has come of moves of partitions, unless there were none."""
    if partitions or rejected:
        outcome = "done" if partitions else "failed"
        _note(view, purpose, event, outcome, partitions=partitions, rejected=rejected or None)


def note_throttles(
    view: StateView, event: str, tasks: Iterable[str], brokers: Iterable[int], topics: Iterable[str]
) -> None:
    """Note throttles that were set on brokers and topics, or lifted; ``tasks`` are what they were set for."""
    known = {task.identifier: task for task in tasks_of(view)}
    wanted = sorted(set(tasks))
    callers = [_caller(known[name]) if name in known else None for name in wanted] or [GATEWAY]
    audit(event, "done", callers=callers, tasks=wanted, brokers=brokers, topics=len(list(topics)))


def tasks_for(view: StateView, purpose: Purpose) -> list[TaskRecord]:
    """Return the tasks for which replicas move, whether or not they have ended."""
    wanted = type_of(purpose.kind)
    return [task for task in tasks_of(view) if task.task_type == wanted and task.broker_id in purpose.broker_ids]


def _note(view: StateView, purpose: Purpose, event: str, outcome: str, **details: int | None) -> None:
    found = tasks_for(view, purpose)
    audit(
        event,
        outcome,
        callers=map(_caller, found) if found else [GATEWAY],
        tasks=[task.identifier for task in found],
        brokers=purpose.broker_ids,
        purpose=purpose.kind.name.lower(),
        **details,
    )


def _caller(task: TaskRecord) -> str | None:
    return task.caller if task.task_type == REMOVE_BROKER else GATEWAY


def _event(task: TaskRecord) -> str:
    """Return what has happened to a task, as its steps tell."""
    if task.status is TaskStatus.SUCCESS:
        return "task-completed"
    if task.status is TaskStatus.FAILED:
        is_canceled = task.reassignment is ReassignmentStatus.CANCELED or (
            task.reassignment is ReassignmentStatus.COMPLETED and task.shutdown is ShutdownStatus.CANCELED
        )
        return "task-cancelled" if is_canceled and task.code is None else "task-failed"
    if task.steps == MOVING_AWAY:
        return "replicas-returned" if task.message else "broker-excluded"
    if task.steps == MOVED_AWAY:
        return "replicas-moved"
    return "task-begun"
