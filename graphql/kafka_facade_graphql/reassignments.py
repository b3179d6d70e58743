"""Reassignments of partitions in the graph."""

from __future__ import annotations

from kafka_facade.core.reassignments import model as core_reassignments
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field, link, links
from kafka_facade_graphql.resource import resource


@resource(
    description="A partition that is moving to other brokers (KIP-455).",
    fields={
        "adding_replicas": "The ids of the brokers that get a replica.",
        "removing_replicas": "The ids of the brokers that lose theirs.",
    },
)
class PartitionReassignment(core_reassignments.PartitionReassignment):
    """A reassignment."""

    @field(graphql_type=link("topics.Partition"), description="The partition.")
    async def partition(self, info: Info) -> core_topics.Partition:
        loaders = info.context.loaders
        return await loaders.partition("api.v3.partitions.get", self.cluster_id, self.topic_name, self.partition_id)

    @field(graphql_type=links("topics.Replica"), description="The partition's replicas, old and new.")
    async def replicas(self, info: Info) -> list[core_topics.Replica]:
        loaders = info.context.loaders
        found = await loaders.partition("api.v3.replicas.list", self.cluster_id, self.topic_name, self.partition_id)
        return found.replicas
