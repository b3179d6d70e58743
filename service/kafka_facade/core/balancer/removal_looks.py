"""What a look at the brokers means for a removal."""

from __future__ import annotations

from typing import Final

from kafka_facade.core.balancer.progress import at_end
from kafka_facade.core.balancer.records import REFUSED, Failure, TaskRecord, now_ms
from kafka_facade.core.balancer.steps import MOVING_AWAY, TaskEvent
from kafka_facade.core.exclusions.keeper import wanted
from kafka_facade.core.exclusions.model import ExclusionChange
from kafka_facade.core.state.handlers import Leader

EXCLUSION_DELETED: Final = Failure(None, "The exclusion of the broker from new replicas was deleted.")
_EXCLUSION_MS: Final = 300_000


def is_excluded(leader: Leader, task: TaskRecord) -> bool:
    """Return whether the broker of a removal is excluded from new replicas, or is to be."""
    record = wanted(leader.view).get(task.broker_id)
    return record is not None and record.change is ExclusionChange.SET


def after_look(leader: Leader, task: TaskRecord, *, alive: bool, is_empty: bool) -> TaskRecord | None:
    """Return a removal after a look that changes it: one that waits for the exclusion, or whose replicas move."""
    if not is_excluded(leader, task):
        return task.after(TaskEvent.CANCELED, EXCLUSION_DELETED)
    if task.steps == MOVING_AWAY:
        if not is_empty:
            return None
        task = at_end(leader.view, task)
        if not task.should_shutdown:
            return task.after(TaskEvent.DONE)
        return task.after(TaskEvent.MOVED, message=f"The replicas have moved. Stop broker {task.broker_id} now.")
    if wanted(leader.view)[task.broker_id].is_applied or not alive:
        return task.after(TaskEvent.EXCLUDED)
    if now_ms() - task.updated_ms > _EXCLUSION_MS:
        message = f"Broker {task.broker_id} could not be excluded from new replicas in time."
        return task.after(TaskEvent.NOT_EXCLUDED, Failure(REFUSED, message))
    return None
