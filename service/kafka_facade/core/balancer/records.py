"""What the balancer keeps in the state topic."""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar, Final

import msgspec
from msgspec import Struct, field

from kafka_facade.core.balancer.states import BalancerState, UnevenLoadState
from kafka_facade.core.balancer.steps import (
    TABLES,
    ExclusionStatus,
    ReassignmentStatus,
    ShutdownStatus,
    Steps,
    TaskEvent,
    TaskStatus,
    TaskType,
)
from kafka_facade.core.reassignments.port import Place
from kafka_facade.core.state.records import LeaderRecord, StateRecord, is_broker_id, key_of
from kafka_facade.core.state.view import StateView

NO_PLAN: Final = 10006
OVERRIDDEN: Final = 10013
UNDER_REPLICATED: Final = 10050
OTHERS_MOVE: Final = 10051
REFUSED: Final = 10052
NOT_STOPPED: Final = 10053
STALLED: Final = 10054
"""Error codes of tasks; the first two are those of Confluent Server."""


RATES: Final = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
LEADER_REPLICAS: Final = "leader.replication.throttled.replicas"
FOLLOWER_REPLICAS: Final = "follower.replication.throttled.replicas"
"""The configs of brokers and topics that throttle replication (KIP-73)."""

OVERRIDDEN_TEXT: Final = "The balancer operation was overridden by a higher priority operation."


class Failure(Struct, frozen=True):
    """Why a task failed."""

    code: int | None
    message: str


class TaskProgress(Struct, frozen=True):
    """How many replicas a broker loses or gets in all, and how many have moved. ``began_ms`` is in Unix ms."""

    began_ms: int
    partitions_total: int = 0
    partitions_moved: int = 0
    bytes_total: int = 0
    bytes_moved: int = 0


class TaskRecord(StateRecord, frozen=True):
    """A task that removes or adds a broker. Times are in Unix ms; ``message`` also tells what a task waits for.

    ``progress`` is that of its moves; while they go on it is in the :class:`ExecutionRecord`. ``caller`` is who asked
    for a removal; older gateways did not write it.
    """

    prefix: ClassVar[str] = "task"
    broker_id: int
    task_type: TaskType
    status: TaskStatus
    exclusion: ExclusionStatus | None
    reassignment: ReassignmentStatus
    shutdown: ShutdownStatus | None
    should_shutdown: bool
    created_ms: int
    updated_ms: int
    code: int | None = None
    message: str | None = None
    progress: TaskProgress | None = None
    caller: str | None = None

    def check(self, identifier: str) -> None:
        """Raise msgspec.ValidationError if the key is that of another task, or no event is possible."""
        known = {steps for steps, _ in TABLES[self.task_type]}
        if (
            key_of(TaskRecord, identifier) != self.key
            or not is_broker_id(str(self.broker_id))
            or (self.is_running and self.steps not in known)
        ):
            raise msgspec.ValidationError("Impossible task")

    @property
    def steps(self) -> Steps:
        """The status of the task and of its steps."""
        return Steps(self.status, self.exclusion, self.reassignment, self.shutdown)

    @property
    def key(self) -> str:
        """The key of the record."""
        return key_of(TaskRecord, f"{self.broker_id}/{self.task_type}")

    @property
    def identifier(self) -> str:
        """What tells the task from those before and after it on the same broker."""
        return f"{self.task_type}/{self.broker_id}/{self.created_ms}"

    @property
    def is_running(self) -> bool:
        """Whether the task is not finished."""
        return self.status is TaskStatus.IN_PROGRESS

    def after(self, event: TaskEvent, failure: Failure | None = None, message: str | None = None) -> TaskRecord:
        """Return the task after an event. Raises KeyError if the event is impossible now."""
        status, exclusion, reassignment, shutdown = TABLES[self.task_type][self.steps, event]
        return msgspec.structs.replace(
            self,
            status=status,
            exclusion=exclusion,
            reassignment=reassignment,
            shutdown=shutdown,
            updated_ms=now_ms(),
            code=None if failure is None else failure.code,
            message=message if failure is None else failure.message,
        )


def new_task(
    broker_id: int, task_type: TaskType, steps: Steps, *, should_shutdown: bool, caller: str | None = None
) -> TaskRecord:
    """Return a task that begins now."""
    now = now_ms()
    return TaskRecord(
        broker_id=broker_id,
        task_type=task_type,
        status=steps.status,
        exclusion=steps.exclusion,
        reassignment=steps.reassignment,
        shutdown=steps.shutdown,
        should_shutdown=should_shutdown,
        created_ms=now,
        updated_ms=now,
        caller=caller,
    )


def tasks_of(view: StateView) -> list[TaskRecord]:
    """Return all tasks, ordered by broker and type."""
    return sorted(view.all(TaskRecord).values(), key=lambda task: (task.broker_id, task.task_type))


class Kind(IntEnum):
    """What replicas are moved for, the most important first."""

    REMOVAL = 1
    FAILURE = 2
    ADDITION = 3
    UNEVEN_LOAD = 4


class Purpose(Struct, frozen=True):
    """What replicas are moved for, and the brokers that lose or get them."""

    kind: Kind
    broker_ids: tuple[int, ...] = ()

    @property
    def emptied(self) -> tuple[int, ...]:
        """The brokers that lose all their replicas."""
        return self.broker_ids if self.kind in (Kind.REMOVAL, Kind.FAILURE) else ()


class MoveRecord(Struct, frozen=True):
    """A partition that moves; ``began_ms`` is in Unix ms."""

    topic: str
    partition: int
    before: tuple[int, ...]
    replicas: tuple[int, ...]
    size_bytes: int
    began_ms: int

    @property
    def place(self) -> Place:
        """The partition."""
        return self.topic, self.partition

    @property
    def adding(self) -> tuple[int, ...]:
        """The brokers that get a replica."""
        return tuple(broker for broker in self.replicas if broker not in self.before)

    @property
    def removing(self) -> tuple[int, ...]:
        """The brokers that lose one."""
        return tuple(broker for broker in self.before if broker not in self.replicas)


class ExecutionRecord(StateRecord, frozen=True):
    """The moves that go on. They are written before they begin, so that the next leader knows them.

    ``progress`` is that of the brokers with a task, by id.
    """

    prefix: ClassVar[str] = "execution"
    purpose: Purpose
    batch: tuple[MoveRecord, ...] = ()
    progress: dict[int, TaskProgress] = field(default_factory=dict)


class ThrottleRecord(StateRecord, frozen=True):
    """A throttle of a broker (``broker/3``) or a topic (``topic/name``), written before it is set.

    ``ours`` is what was added to the configs that were there, and ``tasks`` are what it was set for.
    """

    prefix: ClassVar[str] = "throttle"
    ours: dict[str, str]
    tasks: tuple[str, ...] = ()

    def check(self, identifier: str) -> None:
        """Raise msgspec.ValidationError if it would have other configs altered."""
        kind, _, name = identifier.partition("/")
        allowed = {"broker": {*RATES}, "topic": {LEADER_REPLICAS, FOLLOWER_REPLICAS}}.get(kind, set())
        if not name or not self.ours.keys() <= allowed or (kind == "broker" and not is_broker_id(name)):
            raise msgspec.ValidationError("Impossible throttle")


class Load(Struct, frozen=True):
    """Whether the load is even, and was before. Times are in Unix ms."""

    status: UnevenLoadState
    previous: UnevenLoadState
    updated_ms: int
    previous_updated_ms: int
    code: int | None = None
    message: str | None = None

    def after(self, status: UnevenLoadState, failure: Failure | None = None) -> Load:
        """Return the load with another status."""
        code, message = (None, None) if failure is None else (failure.code, failure.message)
        if (status, code, message) == (self.status, self.code, self.message):
            return self
        return Load(status, self.status, now_ms(), self.updated_ms, code, message)


class BalancerRecord(StateRecord, frozen=True):
    """What the leader knows of the cluster. ``term`` is the time at which it began to lead.

    ``offline_since_ms`` is since when brokers are down, by id, and ``failed`` are those that are not waited for.
    """

    prefix: ClassVar[str] = "balancer"
    term: int
    status: BalancerState
    load: Load
    message: str | None = None
    offline_since_ms: dict[int, int] = field(default_factory=dict)
    failed: tuple[int, ...] = ()


def term_of(view: StateView) -> int:
    """Return since when the current leader leads, in Unix ms."""
    record = view.get(LeaderRecord)
    return 0 if record is None else record.since_ms


def current(view: StateView) -> BalancerRecord | None:
    """Return what the current leader has written; None if it has not yet."""
    record = view.get(BalancerRecord)
    return record if record is not None and record.term == term_of(view) else None


RECORDS: Final[Iterable[type[StateRecord]]] = (TaskRecord, ExecutionRecord, ThrottleRecord, BalancerRecord)
"""All types."""


def now_ms() -> int:
    """Return the time in Unix ms."""
    return round(time.time() * 1000)
