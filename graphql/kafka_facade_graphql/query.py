"""The query root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import strawberry
from strawberry.relay import Node

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.configs import model as core_configs
from kafka_facade.core.errors import InvalidRequest, NotFound
from kafka_facade.core.groups import model as core_groups
from kafka_facade.core.instances import model as core_instances
from kafka_facade.core.server import model as core_server
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.clusters import Cluster
from kafka_facade_graphql.consumer_instances import Consumer
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.groups import load_consumer
from kafka_facade_graphql.node import parse_id
from kafka_facade_graphql.resource import resource


@resource(description="The gateway.", fields={"name": "Its name.", "version": "Its version."})
class Server(core_server.ServerInfo):
    """The gateway."""


@strawberry.type(description="Queries.")
class Query:
    """The query root."""

    @field(graphql_type=Server | None, description="The gateway.")
    async def server(self, info: Info) -> core_server.ServerInfo:
        context = info.context
        return await context.run("api.v2.root.get", core_server.GetServerInfo())

    @field(graphql_type=list[Cluster] | None, description="The gateway's cluster, the only one.")
    async def clusters(self, info: Info) -> list[core_clusters.Cluster]:
        return await info.context.loaders.clusters("api.v3.clusters.list")

    @field(graphql_type=Cluster | None, description="A cluster.")
    async def cluster(
        self, info: Info, cluster_id: Annotated[strawberry.ID, strawberry.argument(description="Its id in Kafka.")]
    ) -> core_clusters.Cluster:
        return await info.context.loaders.cluster("api.v3.clusters.get", cluster_id)

    @field(graphql_type=Consumer | None, description="A consumer instance.")
    async def consumer(
        self,
        info: Info,
        group: Annotated[str, strawberry.argument(description="The consumer group.")],
        instance: Annotated[str, strawberry.argument(description="The instance's name.")],
    ) -> core_instances.ConsumerInstance:
        return await info.context.consumer(core_instances.ConsumerRef(group, instance))

    @field(graphql_type=Node | None, description="Any resource by its node id (Relay).")
    async def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The `id` of the resource.")]
    ) -> Any:
        # Long ids take up to 30 ms each.
        await time_slice()
        type_name, parts = parse_id(id)
        try:
            read, *kinds = _NODES[type_name]
            arguments = [kind(part) for kind, part in zip(kinds, parts, strict=True)]
        except (KeyError, ValueError):
            raise InvalidRequest("The id is not a valid node id.", field="id") from None
        return await read(info, *arguments)


async def _cluster(info: Info, cluster_id: str) -> core_clusters.Cluster:
    return await info.context.loaders.cluster("api.v3.clusters.get", cluster_id)


async def _broker(info: Info, cluster_id: str, broker_id: int) -> core_clusters.Broker:
    found = await info.context.loaders.broker(cluster_id, broker_id)
    if found is None:
        raise NotFound(broker_id=str(broker_id))
    return found


async def _topic(info: Info, cluster_id: str, topic_name: str) -> core_topics.Topic:
    return await info.context.loaders.topic(cluster_id, topic_name)


async def _partition(info: Info, cluster_id: str, topic_name: str, partition_id: int) -> core_topics.Partition:
    return await info.context.loaders.partition("api.v3.partitions.get", cluster_id, topic_name, partition_id)


async def _replica(
    info: Info, cluster_id: str, topic_name: str, partition_id: int, broker_id: int
) -> core_topics.Replica:
    request = core_topics.GetReplica(cluster_id, topic_name, partition_id, broker_id)
    return await info.context.run("api.v3.replicas.get", request)


async def _config(info: Info, cluster_id: str, topic_name: str, name: str) -> core_configs.TopicConfig:
    return await info.context.loaders.config(cluster_id, topic_name, name)


async def _broker_config(info: Info, cluster_id: str, broker_id: int, name: str) -> core_configs.BrokerConfig:
    return await info.context.loaders.broker_config(cluster_id, broker_id, name)


async def _cluster_config(info: Info, cluster_id: str, name: str) -> core_configs.ClusterConfig:
    return await info.context.loaders.cluster_config(cluster_id, name)


async def _consumer(info: Info, group: str, instance: str) -> core_instances.ConsumerInstance:
    return await info.context.consumer(core_instances.ConsumerRef(group, instance))


async def _group(info: Info, cluster_id: str, group_id: str) -> core_groups.ConsumerGroup:
    return await info.context.loaders.group("api.v3.consumer-groups.get", cluster_id, group_id)


async def _member(info: Info, cluster_id: str, group_id: str, consumer_id: str) -> core_groups.GroupMember:
    group = await info.context.loaders.group("api.v3.consumers.get", cluster_id, group_id)
    return await load_consumer(info, "api.v3.consumers.get", group, consumer_id)


# For each node type: the function that loads it, and the types of its id's parts.
_NODES: dict[str, tuple[Callable[..., Awaitable[Any]], *tuple[type[Any], ...]]] = {
    "Cluster": (_cluster, str),
    "Broker": (_broker, str, int),
    "Topic": (_topic, str, str),
    "Partition": (_partition, str, str, int),
    "Replica": (_replica, str, str, int, int),
    "TopicConfig": (_config, str, str, str),
    "BrokerConfig": (_broker_config, str, int, str),
    "ClusterConfig": (_cluster_config, str, str),
    "Consumer": (_consumer, str, str),
    "ConsumerGroup": (_group, str, str),
    "GroupMember": (_member, str, str, str),
}
