"""The steps of tasks that remove and add brokers, as tables: the steps so far and an event lead to the next ones."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final, NamedTuple


class TaskType(StrEnum):
    """What a task does."""

    ADD_BROKER = "add-broker"
    REMOVE_BROKER = "remove-broker"


ADD_BROKER: Final = TaskType.ADD_BROKER
REMOVE_BROKER: Final = TaskType.REMOVE_BROKER
TASK_TYPES: Final = tuple(TaskType)


class TaskStatus(str, Enum):
    """The status of a task."""

    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class ExclusionStatus(str, Enum):
    """The status of the exclusion of a broker from new replicas. Completed means that the broker has gone."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    EXCLUDED = "EXCLUDED"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"


class ReassignmentStatus(str, Enum):
    """The status of moving replicas."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"


class ShutdownStatus(str, Enum):
    """The status of waiting until a broker has been stopped."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"


class Steps(NamedTuple):
    """The status of a task and of its steps; a task that adds a broker only moves replicas."""

    status: TaskStatus
    exclusion: ExclusionStatus | None
    reassignment: ReassignmentStatus
    shutdown: ShutdownStatus | None


class TaskEvent(Enum):
    """What happens to a task."""

    TAKEN = "TAKEN"
    """The leader begins."""
    EXCLUDED = "EXCLUDED"
    """The broker gets no new replicas any more."""
    NOT_EXCLUDED = "NOT_EXCLUDED"
    """The broker could not be excluded."""
    FAILED = "FAILED"
    """The replicas cannot be moved."""
    MOVED = "MOVED"
    """The replicas have moved; the broker is to be stopped."""
    FILLED = "FILLED"
    """The broker has got replicas again, before it was stopped."""
    DONE = "DONE"
    """The replicas have moved, and that was all."""
    CANCELED = "CANCELED"
    """The task was cancelled, or gave way to a more important one."""
    STOPPED = "STOPPED"
    """The broker has been stopped."""
    NOT_STOPPED = "NOT_STOPPED"
    """The broker was not stopped in time."""


Table = Mapping[tuple[Steps, TaskEvent], Steps]

_RUNS: Final = TaskStatus.IN_PROGRESS
_FAILED: Final = TaskStatus.FAILED

REMOVAL: Final = Steps(_RUNS, ExclusionStatus.PENDING, ReassignmentStatus.PENDING, ShutdownStatus.PENDING)
"""The first steps of a removal."""
_EXCLUDING: Final = REMOVAL._replace(exclusion=ExclusionStatus.IN_PROGRESS)
MOVING_AWAY: Final = Steps(_RUNS, ExclusionStatus.EXCLUDED, ReassignmentStatus.IN_PROGRESS, ShutdownStatus.PENDING)
"""The steps of a removal while replicas move."""
MOVED_AWAY: Final = MOVING_AWAY._replace(reassignment=ReassignmentStatus.COMPLETED)
"""The steps of a removal that waits until the broker is stopped."""

_EMPTIED: Final = Steps(
    TaskStatus.SUCCESS, ExclusionStatus.EXCLUDED, ReassignmentStatus.COMPLETED, ShutdownStatus.CANCELED
)
_GONE: Final = Steps(
    TaskStatus.SUCCESS, ExclusionStatus.COMPLETED, ReassignmentStatus.COMPLETED, ShutdownStatus.COMPLETED
)


def _canceled(exclusion: ExclusionStatus, reassignment: ReassignmentStatus = ReassignmentStatus.CANCELED) -> Steps:
    return Steps(_FAILED, exclusion, reassignment, ShutdownStatus.CANCELED)


REMOVALS: Final[Table] = {
    (REMOVAL, TaskEvent.TAKEN): _EXCLUDING,
    (REMOVAL, TaskEvent.CANCELED): _canceled(ExclusionStatus.CANCELED),
    (_EXCLUDING, TaskEvent.EXCLUDED): MOVING_AWAY,
    (_EXCLUDING, TaskEvent.NOT_EXCLUDED): _canceled(ExclusionStatus.ERROR),
    (_EXCLUDING, TaskEvent.CANCELED): _canceled(ExclusionStatus.CANCELED),
    (MOVING_AWAY, TaskEvent.FAILED): _canceled(ExclusionStatus.EXCLUDED, ReassignmentStatus.ERROR),
    (MOVING_AWAY, TaskEvent.MOVED): MOVED_AWAY,
    (MOVING_AWAY, TaskEvent.DONE): _EMPTIED,
    (MOVING_AWAY, TaskEvent.CANCELED): _canceled(ExclusionStatus.CANCELED),
    (MOVED_AWAY, TaskEvent.FILLED): MOVING_AWAY,
    (MOVED_AWAY, TaskEvent.DONE): _EMPTIED,
    (MOVED_AWAY, TaskEvent.STOPPED): _GONE,
    (MOVED_AWAY, TaskEvent.NOT_STOPPED): _GONE._replace(
        status=_FAILED, exclusion=ExclusionStatus.EXCLUDED, shutdown=ShutdownStatus.ERROR
    ),
    (MOVED_AWAY, TaskEvent.CANCELED): _canceled(ExclusionStatus.CANCELED, ReassignmentStatus.COMPLETED),
}
"""The table of a removal."""

ADDITION: Final = Steps(_RUNS, None, ReassignmentStatus.IN_PROGRESS, None)
"""The first steps of an addition."""

ADDITIONS: Final[Table] = {
    (ADDITION, TaskEvent.DONE): Steps(TaskStatus.SUCCESS, None, ReassignmentStatus.COMPLETED, None),
    (ADDITION, TaskEvent.FAILED): Steps(_FAILED, None, ReassignmentStatus.ERROR, None),
    (ADDITION, TaskEvent.CANCELED): Steps(_FAILED, None, ReassignmentStatus.CANCELED, None),
}
"""The table of an addition."""

TABLES: Final[Mapping[TaskType, Table]] = {ADD_BROKER: ADDITIONS, REMOVE_BROKER: REMOVALS}
"""The tables by type of task."""
