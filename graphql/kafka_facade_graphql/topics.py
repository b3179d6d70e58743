"""Topics, partitions and replicas in the graph."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import strawberry
from strawberry.relay import Node, PageInfo

from kafka_facade.core import paging
from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.configs import model as core_configs
from kafka_facade.core.errors import NotFound
from kafka_facade.core.reassignments import model as core_reassignments
from kafka_facade.core.replica_status import model as core_replica_status
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.arguments import BrokerId, ConfigName, PartitionId
from kafka_facade_graphql.configs import TopicConfig, TopicDefaultConfig
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field, link
from kafka_facade_graphql.node import local_id
from kafka_facade_graphql.reassignments import PartitionReassignment
from kafka_facade_graphql.replica_status import ReplicaStatus
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.scalars import BigInt, from_millis


def topic_key(topic: core_topics.Topic) -> str:
    """The sort key of topics."""
    return topic.topic_name


@resource(
    description="A topic.",
    fields={
        "topic_name": "The topic's name, unique in its cluster.",
        "is_internal": "Whether it is an internal topic of Kafka.",
        "replication_factor": "The number of replicas of each partition.",
        "partitions_count": "The number of partitions.",
    },
)
class Topic(core_topics.Topic, Node):
    """A topic."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.topic_name)

    @field(graphql_type=link("clusters.Cluster"), description="The cluster that it belongs to.")
    async def cluster(self, info: Info) -> core_clusters.Cluster:
        return await info.context.loaders.cluster("api.v3.clusters.get", self.cluster_id)

    @field(
        name="authorizedOperations",
        description="The operations that Kafka authorizes for the gateway's user (KIP-430).",
    )
    async def load_authorized_operations(self, info: Info) -> list[str] | None:
        return await info.context.loaders.authorized_operations(self)

    @field(graphql_type="list[Partition] | None", description="Its partitions, ordered by number.")
    async def partitions(self, info: Info) -> list[core_topics.Partition]:
        loaders = info.context.loaders
        return (await loaders.described("api.v3.partitions.list", self.cluster_id, self.topic_name)).partitions

    @field(graphql_type="Partition | None", description="One of its partitions.")
    async def partition(self, info: Info, partition_id: PartitionId) -> core_topics.Partition:
        loaders = info.context.loaders
        return await loaders.partition("api.v3.partitions.get", self.cluster_id, self.topic_name, partition_id)

    @field(graphql_type=list[TopicConfig] | None, description="Its configs, ordered by name.")
    async def configs(self, info: Info) -> Sequence[core_configs.TopicConfig]:
        return await info.context.loaders.configs("api.v3.topic-configs.list", self.cluster_id, self.topic_name)

    @field(graphql_type=TopicConfig | None, description="One of its configs.")
    async def config(self, info: Info, name: ConfigName) -> core_configs.TopicConfig:
        return await info.context.loaders.config(self.cluster_id, self.topic_name, name)

    @field(
        graphql_type=list[TopicDefaultConfig] | None,
        description="The configs that it would have if it were created now without any, ordered by name.",
    )
    async def default_configs(self, info: Info) -> Sequence[core_configs.TopicConfig]:
        return await info.context.loaders.default_configs(self.cluster_id, self.topic_name)

    @field(
        graphql_type=list[PartitionReassignment] | None,
        description="Its partitions with an ongoing reassignment, by number.",
    )
    async def partition_reassignments(self, info: Info) -> list[core_reassignments.PartitionReassignment]:
        identifier = "api.v3.partition-reassignments.search-by-topic"
        everything = await info.context.loaders.reassignments(identifier, self.cluster_id)
        name = attrgetter("topic_name")
        first, last = (bisect(everything, self.topic_name, key=name) for bisect in (bisect_left, bisect_right))
        return everything[first:last]

    @field(
        graphql_type=list[ReplicaStatus] | None,
        description="The status of its replicas, ordered by partition and broker.",
    )
    async def replica_statuses(self, info: Info) -> Sequence[core_replica_status.ReplicaStatus]:
        loaders = info.context.loaders
        return await loaders.replica_statuses("api.v3.topics.replica-statuses.list", self.cluster_id, self.topic_name)

    @field(description="The largest timestamp of its records; null if it has none.")
    async def last_produced_time(self, info: Info) -> datetime | None:
        found = await info.context.loaders.last_produced_time(self.cluster_id, self.topic_name)
        return from_millis(found.last_produced_time)


@resource(description="A partition of a topic.", fields={"partition_id": "Its number in the topic, from 0."})
class Partition(core_topics.Partition, Node):
    """A partition."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.topic_name, root.partition_id)

    @field(graphql_type="Topic | None", description="Its topic.")
    async def topic(self, info: Info) -> core_topics.Topic:
        loaders = info.context.loaders
        return (await loaders.described("api.v3.topics.get", self.cluster_id, self.topic_name)).topic

    @field(graphql_type="Replica | None", description="The leader replica; null if there is none.")
    async def leader(self, info: Info) -> core_topics.Replica | None:
        info.context.loaders.admit("api.v3.replicas.get")
        return next((replica for replica in self.replicas if replica.is_leader), None)

    @field(name="replicas", graphql_type="list[Replica] | None", description="Its replicas, in order of preference.")
    async def all_replicas(self, info: Info) -> list[core_topics.Replica]:
        info.context.loaders.admit("api.v3.replicas.list")
        return self.replicas

    @field(graphql_type="Replica | None", description="Its replica on a broker.")
    async def replica(self, info: Info, broker_id: BrokerId) -> core_topics.Replica:
        info.context.loaders.admit("api.v3.replicas.get")
        for replica in self.replicas:
            if replica.broker_id == broker_id:
                return replica
        raise NotFound(broker_id=str(broker_id))

    @field(graphql_type="PartitionOffsets | None", description="Its first and its next offset.")
    async def offsets(self, info: Info) -> core_topics.PartitionOffsets:
        return await info.context.loaders.offsets(self)

    @field(
        graphql_type=PartitionReassignment | None,
        description="Its reassignment to other brokers; null if there is none.",
    )
    async def reassignment(self, info: Info) -> core_reassignments.PartitionReassignment | None:
        return await info.context.loaders.reassignment("api.v3.partition-reassignments.get", self)

    @field(graphql_type=list[ReplicaStatus] | None, description="The status of its replicas, ordered by broker.")
    async def replica_statuses(self, info: Info) -> list[core_replica_status.ReplicaStatus]:
        identifier = "api.v3.partitions.replica-statuses.list"
        found = await info.context.loaders.replica_statuses(identifier, self.cluster_id, self.topic_name)
        # Found by bisection, because a query may ask this of each partition of a large topic.
        number = attrgetter("partition_id")
        first, last = (bisect(found, self.partition_id, key=number) for bisect in (bisect_left, bisect_right))
        return list(found[first:last])


@resource(description="The offsets of a partition.")
class PartitionOffsets(core_topics.PartitionOffsets):
    """The range of a partition."""

    earliest_offset: BigInt = strawberry.field(description="The first offset that can be read.")
    latest_offset: BigInt = strawberry.field(description="The next offset to be written.")


@resource(
    description="A replica of a partition.",
    fields={
        "broker_id": "The id of the broker that holds it.",
        "is_leader": "Whether it leads the partition.",
        "is_in_sync": "Whether it has caught up with the leader.",
    },
)
class Replica(core_topics.Replica, Node):
    """A replica."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.topic_name, root.partition_id, root.broker_id)

    @field(graphql_type="Partition | None", description="The partition that it is a copy of.")
    async def partition(self, info: Info) -> core_topics.Partition:
        loaders = info.context.loaders
        return await loaders.partition("api.v3.partitions.get", self.cluster_id, self.topic_name, self.partition_id)

    @field(
        graphql_type=link("clusters.Broker"),
        description="The broker that stores it; null if the broker is not alive.",
    )
    async def broker(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.broker_id)


@strawberry.type(description="A topic in a page of topics.")
class TopicEdge:
    """An edge of a TopicConnection."""

    topic: strawberry.Private[core_topics.Topic]

    @field(description="The topic.", graphql_type=Topic)
    def node(self) -> core_topics.Topic:
        return self.topic

    @field(description="The cursor that a page after this topic starts from.")
    def cursor(self) -> str:
        return paging.encode_token(topic_key(self.topic))


@strawberry.type(description="A page of topics (Relay connection).")
class TopicConnection:
    """Topics, page by page."""

    page: strawberry.Private[paging.Page[core_topics.Topic]]
    cluster_id: strawberry.Private[str]

    @field(description="The topics of this page, each with its cursor.")
    def edges(self) -> list[TopicEdge]:
        return [TopicEdge(topic=topic) for topic in self.page.items]

    @field(description="The topics of this page.", graphql_type=list[Topic])
    def nodes(self) -> list[core_topics.Topic]:
        return self.page.items

    @field(description="Whether there are more pages.")
    def page_info(self) -> PageInfo:
        cursors = [paging.encode_token(topic_key(topic)) for topic in self.page.items]
        return PageInfo(
            has_next_page=bool(self.page.next_token),
            has_previous_page=self.page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )

    @field(description="The number of topics on all pages.")
    def total_count(self) -> int:
        return self.page.total

    @field(
        graphql_type=list[TopicConfig] | None,
        description="The configs of all topics of the cluster, not only of this page.",
    )
    async def configs(self, info: Info) -> Sequence[core_configs.TopicConfig]:
        return await info.context.loaders.all_configs(self.cluster_id)
