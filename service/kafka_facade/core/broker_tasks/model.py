"""Tasks that remove and add brokers, and the requests for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum

from msgspec import Struct

from kafka_facade.core.balancer.steps import ExclusionStatus, ReassignmentStatus, ShutdownStatus, TaskStatus, TaskType
from kafka_facade.core.request import Request


class SubTaskStatuses(Struct, omit_defaults=True, gc=False):
    """The status of each step of a task; None for steps that the task does not have."""

    broker_replica_exclusion_status: ExclusionStatus | None = None
    partition_reassignment_status: ReassignmentStatus | None = None
    broker_shutdown_status: ShutdownStatus | None = None


@dataclass(slots=True)
class BrokerTask:
    """A task. Times are in Unix ms. While it is in progress, the message may tell what it waits for."""

    cluster_id: str
    broker_id: int
    task_type: TaskType
    task_status: TaskStatus
    shutdown_scheduled: bool | None
    sub_task_statuses: SubTaskStatuses
    created_at: int
    updated_at: int
    error_code: int | None = None
    error_message: str | None = None


@dataclass(slots=True)
class BrokerTaskProgress:
    """A task, and how far its moves are: the replicas that the broker loses or gets. The totals are 0 before the plan.

    ``bytes_moved`` includes what has been copied of replicas that move. ``bytes_per_second`` is the mean since the
    moves began; None unless they go on, and until something has been copied.
    """

    task: BrokerTask
    partitions_total: int = 0
    partitions_moved: int = 0
    bytes_total: int = 0
    bytes_moved: int = 0
    bytes_per_second: int | None = None


class OlderReassignmentStatus(str, Enum):
    """The status of moving replicas in the older form of a task."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    CANCELED = "CANCELED"
    FAILED = "FAILED"


class OlderShutdownStatus(str, Enum):
    """The status of waiting until a broker has been stopped, in the older form of a task."""

    PENDING = "PENDING"
    COMPLETE = "COMPLETE"
    CANCELED = "CANCELED"
    FAILED = "FAILED"


@dataclass(slots=True)
class RemoveBrokerTask:
    """A task that removes a broker, in the older form."""

    cluster_id: str
    broker_id: int
    shutdown_scheduled: bool
    broker_replica_exclusion_status: ExclusionStatus
    partition_reassignment_status: OlderReassignmentStatus
    broker_shutdown_status: OlderShutdownStatus
    error_code: int | None = None
    error_message: str | None = None


@dataclass(slots=True)
class BrokerRemoval:
    """A removal of a broker that has begun."""

    cluster_id: str
    broker_id: int


@dataclass(slots=True)
class ListAllBrokerTasks(Request[Sequence[BrokerTask]]):
    cluster_id: str | None


@dataclass(slots=True)
class ListAllBrokerTasksByType(Request[Sequence[BrokerTask]]):
    cluster_id: str | None
    task_type: TaskType | None


@dataclass(slots=True)
class ListBrokerTasks(Request[Sequence[BrokerTask]]):
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class GetBrokerTask(Request[BrokerTask]):
    cluster_id: str | None
    broker_id: int
    task_type: TaskType | None


@dataclass(slots=True)
class WatchBrokerTask(Request[AsyncGenerator[BrokerTaskProgress, None]]):
    cluster_id: str | None
    broker_id: int
    task_type: TaskType | None


@dataclass(slots=True)
class ListRemoveBrokerTasks(Request[Sequence[RemoveBrokerTask]]):
    cluster_id: str | None


@dataclass(slots=True)
class GetRemoveBrokerTask(Request[RemoveBrokerTask]):
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class RemoveBroker(Request[BrokerRemoval]):
    cluster_id: str | None
    broker_id: int
    should_shutdown: bool = True


@dataclass(slots=True)
class RemoveBrokers(Request[Sequence[BrokerRemoval]]):
    cluster_id: str | None
    broker_ids: list[int]
    should_shutdown: bool = True
