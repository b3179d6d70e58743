"""How far the moves for a task are: counted with the moves that go on, and kept in the task after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from msgspec import structs

from kafka_facade.core.balancer.queue import Waiting
from kafka_facade.core.balancer.records import (
    ExecutionRecord,
    Kind,
    MoveRecord,
    Purpose,
    TaskProgress,
    TaskRecord,
    now_ms,
    tasks_of,
)
from kafka_facade.core.balancer.steps import ADD_BROKER, REMOVE_BROKER, TaskType
from kafka_facade.core.state.view import StateView

_KINDS: Final = {REMOVE_BROKER: Kind.REMOVAL, ADD_BROKER: Kind.ADDITION}


def type_of(kind: Kind) -> TaskType | None:
    """Return the type of the tasks for which replicas move; None if there are none."""
    return next((task_type for task_type, each in _KINDS.items() if each is kind), None)


def execution_for(purpose: Purpose, before: ExecutionRecord | None) -> ExecutionRecord:
    """Return a new execution, with what goes on and what has been counted for the same brokers."""
    if before is None:
        return ExecutionRecord(purpose=purpose)
    progress = {broker: found for broker in purpose.broker_ids if (found := before.progress.get(broker)) is not None}
    return ExecutionRecord(purpose=purpose, batch=before.batch, progress=progress)


def after_moves(record: ExecutionRecord, finished: Iterable[MoveRecord]) -> dict[int, TaskProgress]:
    """Return the progress after moves have finished."""
    partitions, sizes = _count(record.purpose.kind, finished)
    return {
        broker: structs.replace(
            found,
            partitions_moved=found.partitions_moved + partitions[broker],
            bytes_moved=found.bytes_moved + sizes[broker],
        )
        for broker, found in record.progress.items()
    }


def with_totals(
    record: ExecutionRecord, going: Iterable[MoveRecord], waiting: Iterable[Waiting]
) -> dict[int, TaskProgress]:
    """Return the progress with the totals of a plan, of which some moves go on and others wait."""
    kind = record.purpose.kind
    if kind not in _KINDS.values():
        return {}
    partitions, sizes = _count(kind, going)
    more, more_sizes = _count(kind, waiting)
    found: dict[int, TaskProgress] = {}
    for broker in record.purpose.broker_ids:
        before = record.progress.get(broker) or TaskProgress(now_ms())
        found[broker] = structs.replace(
            before,
            partitions_total=before.partitions_moved + partitions[broker] + more[broker],
            bytes_total=before.bytes_moved + sizes[broker] + more_sizes[broker],
        )
    return found


def with_progress(view: StateView, task: TaskRecord) -> TaskRecord:
    """Return a task with its progress as it is now; one that has ended keeps that of its end."""
    record = view.get(ExecutionRecord)
    if record is None or not is_for(record, task):
        return task
    return structs.replace(task, progress=record.progress[task.broker_id])


def is_for(record: ExecutionRecord, task: TaskRecord) -> bool:
    """Return whether an execution has the progress of a task."""
    return task.is_running and record.purpose.kind is _KINDS[task.task_type] and task.broker_id in record.progress


def at_end(view: StateView, task: TaskRecord) -> TaskRecord:
    """Return a task whose broker is seen to be done: its moves have ended, also those that were not counted yet.

    Partitions that were deleted before they moved count no more.
    """
    record = view.get(ExecutionRecord)
    if task.progress is None:
        return task
    found = task.progress
    if record is not None and is_for(record, task):
        found = after_moves(record, record.batch)[task.broker_id]
    done = structs.replace(found, partitions_total=found.partitions_moved, bytes_total=found.bytes_moved)
    return structs.replace(task, progress=done)


def kept_progress(view: StateView) -> dict[str, TaskRecord]:
    """Return the tasks to write together with the end of an execution, by key: they keep its progress."""
    found = ((task, with_progress(view, task)) for task in tasks_of(view))
    return {task.key: task for before, task in found if task is not before}


def _count(kind: Kind, moves: Iterable[MoveRecord | Waiting]) -> tuple[Counter[int], Counter[int]]:
    """Count the replicas, and their bytes, that each broker loses or gets for a kind of purpose."""
    partitions: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for move in moves:
        for broker in move.removing if kind is Kind.REMOVAL else move.adding:
            partitions[broker] += 1
            sizes[broker] += move.size_bytes
    return partitions, sizes
