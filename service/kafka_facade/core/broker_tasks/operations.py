"""Removal of brokers, and tasks (reference: "Broker (v3)", "BrokerTask (v3)", "RemoveBrokerTask (v3)")."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from kafka_facade.core import limits
from kafka_facade.core.audit import audit
from kafka_facade.core.balancer.port import PlacementPort
from kafka_facade.core.balancer.progress import with_progress
from kafka_facade.core.balancer.records import TaskProgress, TaskRecord, now_ms, tasks_of
from kafka_facade.core.balancer.removals import REMOVE, Accepted, RemoveBrokersChange, broker_not_found
from kafka_facade.core.balancer.steps import (
    REMOVE_BROKER,
    TASK_TYPES,
    ExclusionStatus,
    ReassignmentStatus,
    ShutdownStatus,
    TaskType,
)
from kafka_facade.core.broker_tasks.copying import Copying
from kafka_facade.core.broker_tasks.model import (
    BrokerRemoval,
    BrokerTask,
    BrokerTaskProgress,
    GetBrokerTask,
    GetRemoveBrokerTask,
    ListAllBrokerTasks,
    ListAllBrokerTasksByType,
    ListBrokerTasks,
    ListRemoveBrokerTasks,
    OlderReassignmentStatus,
    OlderShutdownStatus,
    RemoveBroker,
    RemoveBrokers,
    RemoveBrokerTask,
    SubTaskStatuses,
    WatchBrokerTask,
)
from kafka_facade.core.call import Call
from kafka_facade.core.errors import (
    BalancerOffline,
    FacadeError,
    InvalidRequest,
    NotFound,
    RetriableKafkaError,
    Unavailable,
    UnsupportedVersion,
)
from kafka_facade.core.exclusions.cordoning import check_right
from kafka_facade.core.exclusions.model import ExclusionChange
from kafka_facade.core.quoting import quote
from kafka_facade.core.registry import also_answers, implements
from kafka_facade.core.state.state import State
from kafka_facade.core.state.view import StateView

logger = logging.getLogger("kafka_facade.core")

# The least time (s) between two states of a stream; also how often it looks whether the server shuts down.
_PAUSE_SECONDS: Final = 1.0
# How long (s) a stream waits for a topic that was lost, before it tries again.
_READ_SECONDS: Final = 5.0

_OLDER: Final = {"COMPLETED": "COMPLETE", "ERROR": "FAILED"}


class BrokerTasks:
    """Operations on tasks. ``enabled`` is whether the gateway has a balancer, which carries them out.

    Streams end when ``closing`` is set. ``placement`` is the gateway's own port.
    """

    def __init__(self, state: State, closing: asyncio.Event, placement: PlacementPort, *, enabled: bool) -> None:
        self._state = state
        self._closing = closing
        self._copying = Copying(placement)
        self._enabled = enabled

    async def close(self) -> None:
        """End background work; never raises."""
        await self._copying.close()

    @implements("api.v3.broker-tasks.list")
    @also_answers(
        "api.v3.broker-tasks.search-by-type",
        "api.v3.brokers.broker-tasks.list",
        "api.v3.brokers.broker-tasks.search-by-type",
    )
    async def list_tasks(self, call: Call, request: ListAllBrokerTasks) -> Sequence[BrokerTask]:
        """All tasks, ordered by broker and type. Finished ones are kept for seven days."""
        cluster_id, tasks = await self._tasks(call, request.cluster_id)
        return [_task(cluster_id, task) for task in tasks]

    @implements("api.v3.broker-tasks.search-by-type")
    @also_answers("api.v3.brokers.broker-tasks.search-by-type")
    async def list_tasks_by_type(self, call: Call, request: ListAllBrokerTasksByType) -> Sequence[BrokerTask]:
        """Those of one type, ordered by broker; InvalidRequest for an unknown type."""
        found = await self.list_tasks(call, ListAllBrokerTasks(request.cluster_id))
        task_type = _checked(request.task_type)
        return [task for task in found if task.task_type is task_type]

    @implements("api.v3.brokers.broker-tasks.list")
    async def list_broker_tasks(self, call: Call, request: ListBrokerTasks) -> Sequence[BrokerTask]:
        """Those of one broker, ordered by type; NotFound for an unknown broker without tasks."""
        cluster_id, tasks = await self._tasks(call, request.cluster_id)
        found = [_task(cluster_id, task) for task in tasks if task.broker_id == request.broker_id]
        if not found:
            known = await call.kafka.brokers.registrations(call.remaining)
            if request.broker_id not in known.alive:
                raise broker_not_found(request.broker_id, cluster_id)
        return found

    @implements("api.v3.brokers.broker-tasks.search-by-type")
    async def get_task(self, call: Call, request: GetBrokerTask) -> BrokerTask:
        """The task of a type of a broker; NotFound, and InvalidRequest for an unknown type."""
        by_type = ListAllBrokerTasksByType(request.cluster_id, request.task_type)
        for task in await self.list_tasks_by_type(call, by_type):
            if task.broker_id == request.broker_id:
                return task
        raise _no_task(request.broker_id, _checked(request.task_type))

    @implements("api.v3.broker-tasks.remove-broker.list")
    @also_answers("api.v3.broker-tasks.remove-broker.get")
    async def list_remove_tasks(self, call: Call, request: ListRemoveBrokerTasks) -> Sequence[RemoveBrokerTask]:
        """The tasks that remove brokers, ordered by broker."""
        cluster_id, tasks = await self._tasks(call, request.cluster_id)
        return [_older(cluster_id, task) for task in tasks if task.task_type == REMOVE_BROKER]

    @implements("api.v3.broker-tasks.remove-broker.get")
    async def get_remove_task(self, call: Call, request: GetRemoveBrokerTask) -> RemoveBrokerTask:
        """The task that removes a broker; NotFound."""
        for task in await self.list_remove_tasks(call, ListRemoveBrokerTasks(request.cluster_id)):
            if task.broker_id == request.broker_id:
                return task
        raise _no_task(request.broker_id, REMOVE_BROKER)

    @implements("api.v3.brokers.delete")
    async def remove_broker(self, call: Call, request: RemoveBroker) -> BrokerRemoval:
        """Begin to remove a broker: exclude it, move its replicas away, and wait until it is stopped."""
        [removal] = await self._remove(call, request.cluster_id, [request.broker_id], request.should_shutdown)
        return removal

    @implements("api.v3.brokers.delete-batch")
    async def remove_brokers(self, call: Call, request: RemoveBrokers) -> Sequence[BrokerRemoval]:
        """Begin to remove several brokers, all or none."""
        _check_ids(request.broker_ids)
        return await self._remove(call, request.cluster_id, request.broker_ids, request.should_shutdown)

    @also_answers("api.v3.brokers.broker-tasks.search-by-type")
    async def watch_task(self, call: Call, request: WatchBrokerTask) -> AsyncGenerator[BrokerTaskProgress, None]:
        """Yield a task as it is now, and as it is after changes, at most each second, until it has ended.

        A caller that is slow gets only the latest. The call's deadline and the caller's rights count at the start.
        Raises NotFound, also if the task is deleted or another one takes its place before its end was seen,
        InvalidRequest for an unknown type, and Unavailable at shutdown.
        """
        known = await self.get_task(call, GetBrokerTask(request.cluster_id, request.broker_id, request.task_type))
        task_type = known.task_type
        view = await self._state.view(call.remaining)
        last: TaskRecord | None = None
        created_ms: int | None = None
        due = 0.0
        while not self._closing.is_set():
            found = view.get(TaskRecord, f"{request.broker_id}/{task_type}")
            if found is None:
                raise _no_task(request.broker_id, task_type)
            created_ms = found.created_ms if created_ms is None else created_ms
            if found.created_ms != created_ms:
                message = f"Broker {request.broker_id} has another task {task_type} now."
                raise NotFound(message, broker_id=str(request.broker_id), task_type=task_type)
            task = self._copying.with_copied(view, with_progress(view, found))
            wait = _PAUSE_SECONDS
            if task != last:
                wait = due - time.monotonic()
                if wait <= 0 or not task.is_running:
                    last, due = task, time.monotonic() + _PAUSE_SECONDS
                    yield _progress(known.cluster_id, task)
                    if not task.is_running:
                        return
                    continue
            view = await self._following(view, wait)
        raise Unavailable("The server is shutting down.")

    async def _following(self, view: StateView, seconds: float) -> StateView:
        """Return the next view, or the same one while Kafka does not answer."""
        try:
            return await self._state.following(view, seconds, _READ_SECONDS)
        except FacadeError as error:
            if not error.codes.retriable:
                raise
            logger.debug("the state can't be read now: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)
            return view

    async def _remove(
        self, call: Call, named_cluster: str | None, broker_ids: Sequence[int], should_shutdown: bool
    ) -> list[BrokerRemoval]:
        cluster_id = await call.kafka.cluster.check(named_cluster, call)
        known = await call.kafka.brokers.registrations(call.remaining)
        for broker_id in broker_ids:
            if broker_id not in known.alive:
                raise broker_not_found(broker_id, cluster_id)
        if not self._enabled:
            raise BalancerOffline
        if not known.is_complete:
            raise UnsupportedVersion
        # The leader acts with the rights of the gateway, so those of the caller are checked here: to exclude brokers,
        # and to move replicas. An empty request tells the latter.
        live = next((broker_id for broker_id, alive in known.alive.items() if alive), None)
        if live is None:
            raise RetriableKafkaError("No broker is alive.")
        await check_right(call.kafka, live, ExclusionChange.SET, call.remaining)
        await call.kafka.reassignments.reassign({}, call.remaining)
        caller = call.caller.principal
        change = RemoveBrokersChange(cluster_id, list(broker_ids), should_shutdown, caller)
        await self._state.change(REMOVE, change, Accepted, call.remaining)
        audit("removal-asked", "accepted", callers=[caller], brokers=broker_ids, face=call.caller.face)
        return [BrokerRemoval(cluster_id, broker_id) for broker_id in broker_ids]

    async def _tasks(self, call: Call, named_cluster: str | None) -> tuple[str, list[TaskRecord]]:
        cluster_id = await call.kafka.cluster.check(named_cluster, call)
        # Who may not see reassignments may not see why there are any.
        await call.kafka.reassignments.list_reassignments(call.remaining)
        return cluster_id, tasks_of(await self._state.view(call.remaining))


def _check_ids(broker_ids: Sequence[int]) -> None:
    limits.check_length(broker_ids, limits.REMOVALS, "broker_ids")
    if not broker_ids:
        raise InvalidRequest("broker_ids is empty.", field="broker_ids")
    seen: set[int] = set()
    for place, broker_id in enumerate(broker_ids):
        if broker_id < 0:
            raise InvalidRequest(f"The given broker id {broker_id} is invalid", field=f"broker_ids[{place}]")
        if broker_id in seen:
            raise InvalidRequest(f"Broker {broker_id} is given twice.", field=f"broker_ids[{place}]")
        seen.add(broker_id)


def _checked(task_type: TaskType | str | None) -> TaskType:
    """Return the type. REST has any text in its path."""
    if task_type is None:
        raise InvalidRequest("task_type is required.", field="task_type")
    if task_type not in TASK_TYPES:
        raise InvalidRequest(
            f"Unknown task type {quote(task_type)}; expected {' or '.join(TASK_TYPES)}.", field="task_type"
        )
    return TaskType(task_type)


def _no_task(broker_id: int, task_type: TaskType) -> NotFound:
    return NotFound(f"Broker {broker_id} has no task {task_type}.", broker_id=str(broker_id), task_type=task_type)


def _task(cluster_id: str, task: TaskRecord) -> BrokerTask:
    return BrokerTask(
        cluster_id,
        task.broker_id,
        task.task_type,
        task.status,
        task.should_shutdown if task.task_type == REMOVE_BROKER else None,
        SubTaskStatuses(task.exclusion, task.reassignment, task.shutdown),
        task.created_ms,
        task.updated_ms,
        task.code,
        task.message,
    )


def _progress(cluster_id: str, task: TaskRecord) -> BrokerTaskProgress:
    found = task.progress or TaskProgress(task.created_ms)
    rate: int | None = None
    if task.is_running and task.reassignment is ReassignmentStatus.IN_PROGRESS and found.bytes_moved:
        rate = found.bytes_moved * 1000 // max(1000, now_ms() - found.began_ms)
    return BrokerTaskProgress(
        _task(cluster_id, task),
        found.partitions_total,
        found.partitions_moved,
        found.bytes_total,
        found.bytes_moved,
        rate,
    )


def _older(cluster_id: str, task: TaskRecord) -> RemoveBrokerTask:
    exclusion = task.exclusion or ExclusionStatus.PENDING
    shutdown = task.shutdown or ShutdownStatus.PENDING
    return RemoveBrokerTask(
        cluster_id,
        task.broker_id,
        task.should_shutdown,
        exclusion,
        OlderReassignmentStatus(_older_name(task.reassignment)),
        OlderShutdownStatus(_older_name(shutdown)),
        task.code,
        task.message,
    )


def _older_name(status: ReassignmentStatus | ShutdownStatus) -> str:
    name: str = status.value
    return _OLDER.get(name, name)
