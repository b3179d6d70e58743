"""Tasks that remove and add brokers in the graph."""

from __future__ import annotations

from datetime import datetime

import strawberry

from kafka_facade.core.balancer import steps as core_steps
from kafka_facade.core.broker_tasks import model as core_tasks
from kafka_facade.core.clusters import model as core_clusters
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field, link
from kafka_facade_graphql.resource import plain, resource
from kafka_facade_graphql.scalars import BigInt, from_millis

BrokerTaskStatus = strawberry.enum(core_steps.TaskStatus, name="BrokerTaskStatus", description="The status of a task.")
BrokerReplicaExclusionStatus = strawberry.enum(
    core_steps.ExclusionStatus,
    name="BrokerReplicaExclusionStatus",
    description="The status of excluding a broker from new replicas. COMPLETED means that it has been stopped, too.",
)
PartitionReassignmentStatus = strawberry.enum(
    core_steps.ReassignmentStatus, name="PartitionReassignmentStatus", description="The status of moving replicas."
)
BrokerShutdownStatus = strawberry.enum(
    core_steps.ShutdownStatus,
    name="BrokerShutdownStatus",
    description="The status of waiting until a broker is stopped.",
)
OlderReassignmentStatus = strawberry.enum(
    core_tasks.OlderReassignmentStatus,
    name="OlderReassignmentStatus",
    description="The status of moving replicas, in the older form.",
)
OlderShutdownStatus = strawberry.enum(
    core_tasks.OlderShutdownStatus,
    name="OlderShutdownStatus",
    description="The status of waiting until a broker is stopped, in the older form.",
)


@resource(
    description="The status of each step of a task; null for steps that the task does not have.",
    fields={
        "broker_replica_exclusion_status": "The status of excluding the broker from new replicas.",
        "partition_reassignment_status": "The status of moving replicas.",
        "broker_shutdown_status": "The status of waiting until the broker is stopped.",
    },
)
class SubTaskStatuses(plain(core_tasks.SubTaskStatuses)):  # type: ignore[misc]
    """The steps."""


@resource(
    description="A task that removes or adds a broker.",
    fields={
        "broker_id": "The id of the broker.",
        "task_type": "The type.",
        "task_status": "The status.",
        "shutdown_scheduled": "Whether the task waits until the broker is stopped; null for tasks that add one.",
        "error_code": "The error code; null on success.",
        "error_message": "A human-readable error message, or what the task waits for; null on success.",
    },
)
class BrokerTask(core_tasks.BrokerTask):
    """A task."""

    @field(name="subTaskStatuses", graphql_type=SubTaskStatuses, description="The status of each step.")
    def steps(self) -> core_tasks.SubTaskStatuses:
        return self.sub_task_statuses

    @field(name="createdAt", description="When the task was created.")
    def created(self) -> datetime | None:
        return from_millis(self.created_at)

    @field(name="updatedAt", description="When the task last changed.")
    def updated(self) -> datetime | None:
        return from_millis(self.updated_at)

    @field(graphql_type=link("clusters.Broker"), description="The broker; null if it is not alive.")
    async def broker(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.broker_id)


@resource(
    description="A task, and how many of the replicas that its broker loses or gets have moved.",
    fields={
        "partitions_total": "The number of partitions whose replicas move from or to the broker; 0 until it is known.",
        "partitions_moved": "How many of these partitions have moved.",
    },
)
class BrokerTaskProgress(core_tasks.BrokerTaskProgress):
    """The progress of a task."""

    bytes_total: BigInt = strawberry.field(
        description="The size in bytes of the replicas that move; 0 until it is known."
    )
    bytes_moved: BigInt = strawberry.field(
        description=(
            "How many of these bytes have been copied. Those of replicas that are moving are as of the last few "
            "seconds."
        )
    )
    bytes_per_second: BigInt | None = strawberry.field(
        description="The mean rate since the first move; null unless replicas move, and until something was copied."
    )

    @field(name="task", graphql_type=BrokerTask, description="The task.")
    def watched(self) -> core_tasks.BrokerTask:
        return self.task


@resource(
    description="A task that removes a broker, in the older form.",
    fields={
        "broker_id": "The id of the broker.",
        "shutdown_scheduled": "Whether the task waits until the broker is stopped.",
        "broker_replica_exclusion_status": "The status of excluding the broker from new replicas.",
        "partition_reassignment_status": "The status of moving replicas.",
        "broker_shutdown_status": "The status of waiting until the broker is stopped.",
        "error_code": "The error code; null on success.",
        "error_message": "A human-readable error message, or what the task waits for; null on success.",
    },
)
class RemoveBrokerTask(core_tasks.RemoveBrokerTask):
    """A task in the older form."""

    @field(graphql_type=link("clusters.Broker"), description="The broker; null if it is not alive.")
    async def broker(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.broker_id)


@resource(description="A removal of a broker that has begun.", fields={"broker_id": "The id of the broker."})
class BrokerRemoval(core_tasks.BrokerRemoval):
    """A removal."""

    @field(graphql_type=link("clusters.Broker"), description="The broker; null if it is not alive.")
    async def broker(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.broker_id)

    @field(graphql_type=BrokerTask | None, description="The task.")
    async def broker_task(self, info: Info) -> core_tasks.BrokerTask | None:
        identifier = "api.v3.brokers.broker-tasks.search-by-type"
        tasks = await info.context.loaders.broker_tasks(identifier, self.cluster_id)
        return next((task for task in tasks if _is_removal(task, self.broker_id)), None)


def _is_removal(task: core_tasks.BrokerTask, broker_id: int) -> bool:
    return (task.broker_id, task.task_type) == (broker_id, core_steps.REMOVE_BROKER)
