"""Clusters and brokers in the graph.

Resolvers are called with the core resource as ``self``; the links are those of :mod:`kafka_facade.core.links`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from strawberry.relay import Node

from kafka_facade.core import paging
from kafka_facade.core.acls import model as core_acls
from kafka_facade.core.acls.model import ListAcls
from kafka_facade.core.balancer import model as core_balancer
from kafka_facade.core.broker_tasks import model as core_tasks
from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.configs import model as core_configs
from kafka_facade.core.errors import NotFound
from kafka_facade.core.exclusions import model as core_exclusions
from kafka_facade.core.groups import model as core_groups
from kafka_facade.core.reassignments import model as core_reassignments
from kafka_facade.core.replica_status import model as core_replica_status
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.acls import (
    Acl,
    MatchedHost,
    MatchedOperation,
    MatchedPatternType,
    MatchedPermission,
    MatchedPrincipal,
    MatchedResourceName,
    MatchedResourceType,
)
from kafka_facade_graphql.arguments import After, BrokerId, ConfigName, First, TaskType, TopicName
from kafka_facade_graphql.balancer import BalancerStatus
from kafka_facade_graphql.broker_tasks import BrokerTask, RemoveBrokerTask
from kafka_facade_graphql.configs import BrokerConfig, ClusterConfig
from kafka_facade_graphql.connections import page
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.exclusions import BrokerReplicaExclusion
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.groups import ConsumerGroup, ConsumerGroupConnection, group_key
from kafka_facade_graphql.node import local_id
from kafka_facade_graphql.reassignments import PartitionReassignment
from kafka_facade_graphql.replica_status import ReplicaStatus
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.topics import Replica, Topic, TopicConnection, topic_key


@resource(
    description="A part of a cluster in which tenants are placed.",
    fields={
        "cell_id": "The number of the cell.",
        "state": "The state of the cell.",
        "brokers": "The ids of the brokers in the cell.",
        "open_for_tenant_assignment": "Whether tenants may be placed in the cell.",
    },
)
class Cell(core_clusters.Cell):
    """A cell."""


@resource(
    description="The cells of a cluster. Open Kafka has none.",
    fields={"cells_enabled": "Whether the cluster uses cells."},
)
class ClusterCells(core_clusters.ClusterCells):
    """The cells."""

    @field(name="cells", graphql_type=list[Cell], description="The cells, in order.")
    def all_cells(self) -> list[core_clusters.Cell]:
        return self.cells


@resource(description="A Kafka cluster.", fields={"cluster_id": "The id that the cluster has in Kafka."})
class Cluster(core_clusters.Cluster, Node):
    """A cluster and what is in it."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id)

    @field(
        graphql_type="Broker | None",
        description="The controller in Kafka's metadata; null if there is none.",
    )
    async def controller(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.controller_id)

    @field(graphql_type="list[Broker] | None", description="The live brokers, ordered by id.")
    async def brokers(self, info: Info) -> list[core_clusters.Broker]:
        return await info.context.loaders.brokers("api.v3.brokers.list", self.cluster_id)

    @field(graphql_type="Broker | None", description="A live broker.")
    async def broker(self, info: Info, broker_id: BrokerId) -> core_clusters.Broker:
        found = await info.context.loaders.broker(self.cluster_id, broker_id)
        if found is None:
            raise NotFound(broker_id=str(broker_id))
        return found

    @field(graphql_type=TopicConnection | None, description="The topics, ordered by name.")
    async def topics(self, info: Info, first: First = None, after: After = None) -> TopicConnection:
        topics = await info.context.loaders.topics("api.v3.topics.list", self.cluster_id)
        return TopicConnection(page=page(topics, topic_key, first, after), cluster_id=self.cluster_id)

    @field(graphql_type=Topic | None, description="A topic.")
    async def topic(self, info: Info, topic_name: TopicName) -> core_topics.Topic:
        return await info.context.loaders.topic(self.cluster_id, topic_name)

    @field(graphql_type=ConsumerGroupConnection | None, description="The consumer groups, ordered by id.")
    async def consumer_groups(
        self, info: Info, first: First = None, after: After = None
    ) -> paging.Page[core_groups.ConsumerGroup]:
        groups = await info.context.loaders.groups("api.v3.consumer-groups.list", self.cluster_id)
        return page(groups, group_key, first, after)

    @field(graphql_type=ConsumerGroup | None, description="A consumer group.")
    async def consumer_group(
        self,
        info: Info,
        consumer_group_id: Annotated[str, strawberry.argument(description="The consumer group's id.")],
    ) -> core_groups.ConsumerGroup:
        return await info.context.loaders.group("api.v3.consumer-groups.get", self.cluster_id, consumer_group_id)

    @field(graphql_type=list[Acl] | None, description="The matching ACLs; absent fields match everything.")
    async def acls(
        self,
        info: Info,
        resource_type: MatchedResourceType = core_acls.AclResourceType.ANY,
        resource_name: MatchedResourceName = None,
        pattern_type: MatchedPatternType = core_acls.AclPatternType.ANY,
        principal: MatchedPrincipal = None,
        host: MatchedHost = None,
        operation: MatchedOperation = core_acls.AclOperation.ANY,
        permission: MatchedPermission = core_acls.AclPermission.ANY,
    ) -> list[core_acls.Acl]:
        request = ListAcls(
            self.cluster_id, resource_type, resource_name, pattern_type, principal, host, operation, permission
        )
        return await info.context.loaders.acls(request)

    @field(
        graphql_type=list[PartitionReassignment] | None,
        description="The partitions that are moving to other brokers, by topic and partition.",
    )
    async def partition_reassignments(self, info: Info) -> list[core_reassignments.PartitionReassignment]:
        return await info.context.loaders.reassignments("api.v3.partition-reassignments.list", self.cluster_id)

    @field(
        graphql_type=list[ReplicaStatus] | None,
        description="The status of all replicas, internal topics among them, ordered by topic, partition and broker.",
    )
    async def replica_statuses(self, info: Info) -> Sequence[core_replica_status.ReplicaStatus]:
        return await info.context.loaders.all_replica_statuses(self.cluster_id)

    @field(
        graphql_type=list[BrokerReplicaExclusion] | None,
        description="The brokers that get no new replicas, ordered by id; those that other tools cordoned among them.",
    )
    async def broker_replica_exclusions(self, info: Info) -> Sequence[core_exclusions.BrokerReplicaExclusion]:
        identifier = "api.v3.broker-replica-exclusions.list"
        return await info.context.loaders.exclusions(identifier, self.cluster_id)

    @field(
        graphql_type=list[BrokerTask] | None,
        description="The tasks that remove and add brokers, ordered by broker and type.",
    )
    async def broker_tasks(self, info: Info) -> Sequence[core_tasks.BrokerTask]:
        return await info.context.loaders.broker_tasks("api.v3.broker-tasks.list", self.cluster_id)

    @field(graphql_type=list[BrokerTask] | None, description="The tasks of one type, ordered by broker.")
    async def broker_tasks_by_type(self, info: Info, task_type: TaskType) -> Sequence[core_tasks.BrokerTask]:
        identifier = "api.v3.broker-tasks.search-by-type"
        return await info.context.loaders.broker_tasks_by_type(identifier, self.cluster_id, task_type)

    @field(
        graphql_type=list[RemoveBrokerTask] | None,
        description="The tasks that remove brokers, in the older form, ordered by broker.",
    )
    async def remove_broker_tasks(self, info: Info) -> Sequence[core_tasks.RemoveBrokerTask]:
        identifier = "api.v3.broker-tasks.remove-broker.list"
        return await info.context.loaders.remove_broker_tasks(identifier, self.cluster_id)

    @field(graphql_type=RemoveBrokerTask | None, description="The task that removes a broker, in the older form.")
    async def remove_broker_task(self, info: Info, broker_id: BrokerId) -> core_tasks.RemoveBrokerTask:
        identifier = "api.v3.broker-tasks.remove-broker.get"
        for task in await info.context.loaders.remove_broker_tasks(identifier, self.cluster_id):
            if task.broker_id == broker_id:
                return task
        raise NotFound(broker_id=str(broker_id))

    @field(graphql_type=BalancerStatus | None, description="Whether its balancer runs.")
    async def balancer(self, info: Info) -> core_balancer.BalancerStatus:
        return await info.context.loaders.balancer(self.cluster_id)

    @field(graphql_type=ClusterCells | None, description="Its cells.")
    async def cells(self, info: Info) -> core_clusters.ClusterCells:
        return await info.context.loaders.cells(self.cluster_id)

    @field(
        graphql_type=list[ClusterConfig] | None,
        description="The dynamic configs that are set for all brokers, ordered by name.",
    )
    async def broker_configs(self, info: Info) -> Sequence[core_configs.ClusterConfig]:
        return await info.context.loaders.cluster_configs("api.v3.cluster-configs.list", self.cluster_id)

    @field(graphql_type=ClusterConfig | None, description="A dynamic config that is set for all brokers.")
    async def broker_config(self, info: Info, name: ConfigName) -> core_configs.ClusterConfig:
        return await info.context.loaders.cluster_config(self.cluster_id, name)


@resource(
    description="A broker of a cluster.",
    fields={
        "broker_id": "The broker's id, unique in its cluster.",
        "host": "The host that it advertises.",
        "port": "The port that it advertises.",
        "rack": "Its rack; null if none is set.",
    },
)
class Broker(core_clusters.Broker, Node):
    """A broker."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.broker_id)

    @field(graphql_type="Cluster | None", description="The cluster that it belongs to.")
    async def cluster(self, info: Info) -> core_clusters.Cluster:
        return await info.context.loaders.cluster("api.v3.clusters.get", self.cluster_id)

    @field(graphql_type=list[Replica] | None, description="The replicas that it holds, by topic and partition.")
    async def partition_replicas(self, info: Info) -> list[core_topics.Replica]:
        return list(await info.context.loaders.broker_replicas(self))

    @field(graphql_type=list[BrokerConfig] | None, description="Its configs, ordered by name.")
    async def configs(self, info: Info) -> Sequence[core_configs.BrokerConfig]:
        loaders = info.context.loaders
        return await loaders.broker_configs("api.v3.broker-configs.list", self.cluster_id, self.broker_id)

    @field(graphql_type=BrokerConfig | None, description="One of its configs.")
    async def config(self, info: Info, name: ConfigName) -> core_configs.BrokerConfig:
        return await info.context.loaders.broker_config(self.cluster_id, self.broker_id, name)

    @field(
        graphql_type=BrokerReplicaExclusion | None,
        description="Its exclusion from new replicas; null if it gets new replicas.",
    )
    async def replica_exclusion(self, info: Info) -> core_exclusions.BrokerReplicaExclusion | None:
        identifier = "api.v3.broker-replica-exclusions.search-by-broker"
        found = await info.context.loaders.exclusions(identifier, self.cluster_id)
        return next((exclusion for exclusion in found if exclusion.broker_id == self.broker_id), None)

    @field(graphql_type=list[BrokerTask] | None, description="The tasks that remove or add it, ordered by type.")
    async def tasks(self, info: Info) -> Sequence[core_tasks.BrokerTask]:
        found = await info.context.loaders.broker_tasks("api.v3.brokers.broker-tasks.list", self.cluster_id)
        return [task for task in found if task.broker_id == self.broker_id]

    @field(graphql_type=BrokerTask | None, description="Its task of a type; null if it has none.")
    async def task(self, info: Info, task_type: TaskType) -> core_tasks.BrokerTask | None:
        identifier = "api.v3.brokers.broker-tasks.search-by-type"
        found = await info.context.loaders.broker_tasks_by_type(identifier, self.cluster_id, task_type)
        return next((task for task in found if task.broker_id == self.broker_id), None)
