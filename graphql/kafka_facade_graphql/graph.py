"""The graph: clusters, brokers, topics, partitions, replicas and configs, and the links between them.

Resolvers are called with the core resource as ``self``; the links are those of :mod:`kafka_facade.core.links`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import strawberry
from strawberry.relay import Node, PageInfo

from kafka_facade.core import paging
from kafka_facade.core.acls import model as core_acls
from kafka_facade.core.acls.model import ListAcls
from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.configs import model as core_configs
from kafka_facade.core.errors import InvalidRequest, NotFound
from kafka_facade.core.groups import model as core_groups
from kafka_facade.core.reassignments import model as core_reassignments
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.acls import Acl
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.node import local_id
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.scalars import BigInt

if TYPE_CHECKING:
    from kafka_facade_graphql.broker_configs import BrokerConfig, ClusterConfig
    from kafka_facade_graphql.groups import ConsumerGroup, ConsumerGroupConnection

_Item = TypeVar("_Item")

First = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many at most; {paging.DEFAULT_PAGE_SIZE} if left out, never above {paging.MAX_PAGE_SIZE}."
    ),
]
After = Annotated[str | None, strawberry.argument(description="The cursor that the page starts after.")]
TopicName = Annotated[str, strawberry.argument(description="The topic's name.")]
PartitionId = Annotated[int, strawberry.argument(description="The partition's number, from 0.")]
BrokerId = Annotated[int, strawberry.argument(description="The broker's id.")]
ConfigName = Annotated[str, strawberry.argument(description="The config's name.")]
MatchedResourceType = Annotated[core_acls.AclResourceType, strawberry.argument(description="The type of the resource.")]
MatchedResourceName = Annotated[str | None, strawberry.argument(description="The name of the resource.")]
MatchedPatternType = Annotated[core_acls.AclPatternType, strawberry.argument(description="How the name is matched.")]
MatchedPrincipal = Annotated[str | None, strawberry.argument(description="The principal, e.g. User:alice.")]
MatchedHost = Annotated[str | None, strawberry.argument(description="The host.")]
MatchedOperation = Annotated[core_acls.AclOperation, strawberry.argument(description="The operation.")]
MatchedPermission = Annotated[
    core_acls.AclPermission, strawberry.argument(description="Whether it is allowed or denied.")
]


@resource(description="A Kafka cluster.", fields={"cluster_id": "The id that the cluster has in Kafka."})
class Cluster(core_clusters.Cluster, Node):
    """A cluster and what is in it."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id)

    @field(
        graphql_type="Broker | None",
        description="The broker that metadata names as controller; null while there is none.",
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

    @field(graphql_type="TopicConnection | None", description="The topics, ordered by name.")
    async def topics(self, info: Info, first: First = None, after: After = None) -> TopicConnection:
        topics = await info.context.loaders.topics("api.v3.topics.list", self.cluster_id)
        return TopicConnection(page=_page(topics, _topic_key, first, after), cluster_id=self.cluster_id)

    @field(graphql_type="Topic | None", description="A topic.")
    async def topic(self, info: Info, topic_name: TopicName) -> core_topics.Topic:
        return await info.context.loaders.topic(self.cluster_id, topic_name)

    @field(
        graphql_type=Annotated["ConsumerGroupConnection", strawberry.lazy("kafka_facade_graphql.groups")] | None,
        description="The consumer groups, ordered by id.",
    )
    async def consumer_groups(
        self, info: Info, first: First = None, after: After = None
    ) -> paging.Page[core_groups.ConsumerGroup]:
        groups = await info.context.loaders.groups("api.v3.consumer-groups.list", self.cluster_id)
        return _page(groups, _group_key, first, after)

    @field(
        graphql_type=Annotated["ConsumerGroup", strawberry.lazy("kafka_facade_graphql.groups")] | None,
        description="A consumer group.",
    )
    async def consumer_group(
        self,
        info: Info,
        consumer_group_id: Annotated[str, strawberry.argument(description="The consumer group's id.")],
    ) -> core_groups.ConsumerGroup:
        return await info.context.loaders.group("api.v3.consumer-groups.get", self.cluster_id, consumer_group_id)

    @field(graphql_type=list[Acl] | None, description="The ACLs that match; what is left out matches everything.")
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
        graphql_type="list[PartitionReassignment] | None",
        description="The partitions that are moving to other brokers, by topic and partition.",
    )
    async def partition_reassignments(self, info: Info) -> list[core_reassignments.PartitionReassignment]:
        return await info.context.loaders.reassignments("api.v3.partition-reassignments.list", self.cluster_id)

    @field(
        graphql_type=list[Annotated["ClusterConfig", strawberry.lazy("kafka_facade_graphql.broker_configs")]] | None,
        description="The dynamic configs that are set for all brokers, ordered by name.",
    )
    async def broker_configs(self, info: Info) -> Sequence[core_configs.ClusterConfig]:
        return await info.context.loaders.cluster_configs("api.v3.cluster-configs.list", self.cluster_id)

    @field(
        graphql_type=Annotated["ClusterConfig", strawberry.lazy("kafka_facade_graphql.broker_configs")] | None,
        description="A dynamic config that is set for all brokers.",
    )
    async def broker_config(self, info: Info, name: ConfigName) -> core_configs.ClusterConfig:
        return await info.context.loaders.cluster_config(self.cluster_id, name)


@resource(
    description="A broker of a cluster.",
    fields={
        "broker_id": "The broker's id, unique in its cluster.",
        "host": "The host that it advertises.",
        "port": "The port that it advertises.",
        "rack": "The rack that it is in; null where none is set.",
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

    @field(graphql_type="list[Replica] | None", description="The replicas that it holds, by topic and partition.")
    async def partition_replicas(self, info: Info) -> list[core_topics.Replica]:
        return list(await info.context.loaders.broker_replicas(self))

    @field(
        graphql_type=list[Annotated["BrokerConfig", strawberry.lazy("kafka_facade_graphql.broker_configs")]] | None,
        description="Its configs, ordered by name.",
    )
    async def configs(self, info: Info) -> Sequence[core_configs.BrokerConfig]:
        loaders = info.context.loaders
        return await loaders.broker_configs("api.v3.broker-configs.list", self.cluster_id, self.broker_id)

    @field(
        graphql_type=Annotated["BrokerConfig", strawberry.lazy("kafka_facade_graphql.broker_configs")] | None,
        description="One of its configs.",
    )
    async def config(self, info: Info, name: ConfigName) -> core_configs.BrokerConfig:
        return await info.context.loaders.broker_config(self.cluster_id, self.broker_id, name)


@resource(
    description="A topic.",
    fields={
        "topic_name": "The topic's name, unique in its cluster.",
        "is_internal": "Whether Kafka keeps it for itself.",
        "replication_factor": "How many replicas each partition has.",
        "partitions_count": "How many partitions it has.",
    },
)
class Topic(core_topics.Topic, Node):
    """A topic."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.topic_name)

    @field(graphql_type="Cluster | None", description="The cluster that it belongs to.")
    async def cluster(self, info: Info) -> core_clusters.Cluster:
        return await info.context.loaders.cluster("api.v3.clusters.get", self.cluster_id)

    @field(name="authorizedOperations", description="What Kafka lets the gateway's user do with it (KIP-430).")
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

    @field(graphql_type="list[TopicConfig] | None", description="Its configs, ordered by name.")
    async def configs(self, info: Info) -> Sequence[core_configs.TopicConfig]:
        return await info.context.loaders.configs("api.v3.topic-configs.list", self.cluster_id, self.topic_name)

    @field(graphql_type="TopicConfig | None", description="One of its configs.")
    async def config(self, info: Info, name: ConfigName) -> core_configs.TopicConfig:
        return await info.context.loaders.config(self.cluster_id, self.topic_name, name)

    @field(
        graphql_type="list[PartitionReassignment] | None",
        description="Its partitions that are moving to other brokers, by number.",
    )
    async def partition_reassignments(self, info: Info) -> list[core_reassignments.PartitionReassignment]:
        identifier = "api.v3.partition-reassignments.search-by-topic"
        everything = await info.context.loaders.reassignments(identifier, self.cluster_id)
        return [entry for entry in everything if entry.topic_name == self.topic_name]


@resource(description="A partition of a topic.", fields={"partition_id": "Its number in the topic, from 0."})
class Partition(core_topics.Partition, Node):
    """A partition."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.topic_name, root.partition_id)

    @field(graphql_type="Topic | None", description="The topic that it is part of.")
    async def topic(self, info: Info) -> core_topics.Topic:
        loaders = info.context.loaders
        return (await loaders.described("api.v3.topics.get", self.cluster_id, self.topic_name)).topic

    @field(graphql_type="Replica | None", description="The replica that leads; null while there is none.")
    async def leader(self, info: Info) -> core_topics.Replica | None:
        await info.context.loaders.admit("api.v3.replicas.get")
        return next((replica for replica in self.replicas if replica.is_leader), None)

    @field(name="replicas", graphql_type="list[Replica] | None", description="Its replicas, in order of preference.")
    async def all_replicas(self, info: Info) -> list[core_topics.Replica]:
        await info.context.loaders.admit("api.v3.replicas.list")
        return self.replicas

    @field(graphql_type="Replica | None", description="The replica that a broker has of it.")
    async def replica(self, info: Info, broker_id: BrokerId) -> core_topics.Replica:
        await info.context.loaders.admit("api.v3.replicas.get")
        for replica in self.replicas:
            if replica.broker_id == broker_id:
                return replica
        raise NotFound(broker_id=str(broker_id))

    @field(graphql_type="PartitionOffsets | None", description="Its first and its next offset.")
    async def offsets(self, info: Info) -> core_topics.PartitionOffsets:
        return await info.context.loaders.offsets(self)

    @field(
        graphql_type="PartitionReassignment | None",
        description="Its way to other brokers; null while it isn't moving.",
    )
    async def reassignment(self, info: Info) -> core_reassignments.PartitionReassignment | None:
        everything = await info.context.loaders.reassignments("api.v3.partition-reassignments.get", self.cluster_id)
        place = (self.topic_name, self.partition_id)
        return next((entry for entry in everything if (entry.topic_name, entry.partition_id) == place), None)


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

    @field(graphql_type="Broker | None", description="The broker that holds it; null while it isn't alive.")
    async def broker(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.broker_id)


@resource(
    description="A partition that is moving to other brokers (KIP-455).",
    fields={
        "adding_replicas": "The ids of the brokers that get a replica.",
        "removing_replicas": "The ids of the brokers that lose theirs.",
    },
)
class PartitionReassignment(core_reassignments.PartitionReassignment):
    """A reassignment."""

    @field(graphql_type="Partition | None", description="The partition.")
    async def partition(self, info: Info) -> core_topics.Partition:
        loaders = info.context.loaders
        return await loaders.partition("api.v3.partitions.get", self.cluster_id, self.topic_name, self.partition_id)

    @field(graphql_type="list[Replica] | None", description="The partition's replicas, old and new.")
    async def replicas(self, info: Info) -> list[core_topics.Replica]:
        loaders = info.context.loaders
        found = await loaders.partition("api.v3.replicas.list", self.cluster_id, self.topic_name, self.partition_id)
        return found.replicas


@resource(
    description="A place that gives a config its value (KIP-226).",
    fields={
        "name": "The config's name there.",
        "value": "The value there; null where it is sensitive.",
        "source": "The place: Kafka's ConfigSource.",
    },
)
class ConfigSynonym(core_configs.ConfigSynonym):
    """A synonym of a config."""


CONFIG_FIELDS = {
    "name": "The config's name.",
    "value": "Its value; null where it is sensitive.",
    "is_read_only": "Whether it can't be changed.",
    "is_sensitive": "Whether its value is kept secret.",
    "source": "Where the value comes from: Kafka's ConfigSource.",
    "is_default": "Whether the value is a default.",
}


@resource(description="A config of a topic.", fields=CONFIG_FIELDS)
class TopicConfig(core_configs.TopicConfig, Node):
    """A config of a topic."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.topic_name, root.name)

    @field(graphql_type="Topic | None", description="The topic that it belongs to.")
    async def topic(self, info: Info) -> core_topics.Topic:
        loaders = info.context.loaders
        return (await loaders.described("api.v3.topics.get", self.cluster_id, self.topic_name)).topic

    @field(
        name="synonyms",
        graphql_type=list[ConfigSynonym],
        description="All places with a value, the one in force first.",
    )
    def all_synonyms(self) -> list[core_configs.ConfigSynonym]:
        return self.synonyms


@strawberry.type(description="A topic in a page of topics.")
class TopicEdge:
    """An edge of a TopicConnection."""

    topic: strawberry.Private[core_topics.Topic]

    @field(description="The topic.", graphql_type="Topic")
    def node(self) -> core_topics.Topic:
        return self.topic

    @field(description="The cursor that a page after this topic starts from.")
    def cursor(self) -> str:
        return paging.encode_token(_topic_key(self.topic))


@strawberry.type(description="A page of topics (Relay connection).")
class TopicConnection:
    """Topics, page by page."""

    page: strawberry.Private[paging.Page[core_topics.Topic]]
    cluster_id: strawberry.Private[str]

    @field(description="The topics of this page, each with its cursor.")
    def edges(self) -> list[TopicEdge]:
        return [TopicEdge(topic=topic) for topic in self.page.items]

    @field(description="The topics of this page.", graphql_type="list[Topic]")
    def nodes(self) -> list[core_topics.Topic]:
        return self.page.items

    @field(description="Whether there are more pages.")
    def page_info(self) -> PageInfo:
        cursors = [paging.encode_token(_topic_key(topic)) for topic in self.page.items]
        return PageInfo(
            has_next_page=bool(self.page.next_token),
            has_previous_page=self.page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )

    @field(description="How many topics there are on all pages.")
    def total_count(self) -> int:
        return self.page.total

    @field(
        graphql_type="list[TopicConfig] | None",
        description="The configs of all topics of the cluster, whatever the page.",
    )
    async def configs(self, info: Info) -> Sequence[core_configs.TopicConfig]:
        return await info.context.loaders.all_configs(self.cluster_id)


def _page(
    items: Sequence[_Item], key: Callable[[_Item], str], first: int | None, after: str | None
) -> paging.Page[_Item]:
    """The page that the arguments of a connection ask for; InvalidRequest."""
    if first is not None and first < 1:
        raise InvalidRequest("first must be at least 1.", field="first")
    try:
        return paging.paginate(items, key, size=first or 0, token=after or "")
    except InvalidRequest:
        raise InvalidRequest("after is not a valid cursor.", field="after") from None


def _topic_key(topic: core_topics.Topic) -> str:
    return topic.topic_name


def _group_key(group: core_groups.ConsumerGroup) -> str:
    return group.consumer_group_id
