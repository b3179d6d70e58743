"""Mutations of topics: an input object and a payload each."""

from __future__ import annotations

from typing import Annotated

import strawberry

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.clusters import Cluster
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import argument, field
from kafka_facade_graphql.topics import Topic


@strawberry.input(description="The brokers that get the replicas of a partition.")
class ReplicasAssignmentInput:
    """Where a partition's replicas go."""

    partition_id: int = strawberry.field(description="The partition's number, from 0.")
    broker_ids: list[int] = strawberry.field(description="The brokers, the preferred leader first.")


@strawberry.input(description="A config to create a topic with.")
class ConfigInput:
    """A config and its value."""

    name: str = strawberry.field(description="The config's name.")
    value: str | None = strawberry.field(default=None, description="Its value.")


@strawberry.input(description="The topic to create.")
class CreateTopicInput:
    """Input of createTopic."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")
    topic_name: str = strawberry.field(description="The topic's name.")
    partitions_count: int | None = strawberry.field(default=None, description="How many partitions; Kafka's default.")
    replication_factor: int | None = strawberry.field(
        default=None, description="How many replicas each partition gets; Kafka's default."
    )
    replicas_assignments: list[ReplicasAssignmentInput] = strawberry.field(
        default_factory=list, description="Where the replicas go, in place of the two counts."
    )
    configs: list[ConfigInput] = strawberry.field(default_factory=list, description="Configs other than the defaults.")
    validate_only: bool = strawberry.field(default=False, description="Only check that it could be created.")


@strawberry.input(description="The topic to delete.")
class DeleteTopicInput:
    """Input of deleteTopic."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")
    topic_name: str = strawberry.field(description="The topic's name.")


@strawberry.input(description="The number of partitions that a topic shall have.")
class UpdatePartitionCountInput:
    """Input of updatePartitionCount."""

    cluster_id: strawberry.ID = strawberry.field(description="The cluster's id in Kafka.")
    topic_name: str = strawberry.field(description="The topic's name.")
    partitions_count: int = strawberry.field(description="How many partitions; more than there are.")


@strawberry.type(description="What a mutation of a topic answers.")
class TopicPayload:
    """A topic after it was written."""

    written: strawberry.Private[core_topics.Topic]

    @field(description="The topic as it is now.", graphql_type=Topic)
    def topic(self) -> core_topics.Topic:
        return self.written


@strawberry.type(description="The topic that was created, or would have been.")
class CreateTopicPayload(TopicPayload):
    """Answer of createTopic."""


@strawberry.type(description="The topic with its new partitions.")
class UpdatePartitionCountPayload(TopicPayload):
    """Answer of updatePartitionCount."""


@strawberry.type(description="What is left of a deleted topic.")
class DeleteTopicPayload:
    """Answer of deleteTopic."""

    cluster_id: strawberry.Private[str]
    topic_name: str = strawberry.field(description="The name of the topic that was deleted.")

    @field(description="The cluster that it was in.", graphql_type=Cluster | None)
    async def cluster(self, info: Info) -> core_clusters.Cluster:
        return await info.context.loaders.cluster("api.v3.clusters.get", self.cluster_id)


@strawberry.type
class TopicMutations:
    """The mutations of topics; a part of the mutation root."""

    @field(description="Create a topic.")
    async def create_topic(
        self, info: Info, input: Annotated[CreateTopicInput, argument("The topic to create.")]
    ) -> CreateTopicPayload | None:
        context = info.context
        assignments: dict[int, list[int]] = {}
        for index, entry in enumerate(input.replicas_assignments):
            if entry.partition_id in assignments:
                field = f"replicas_assignments[{index}].partition_id"
                raise InvalidRequest("A partition can be assigned once only.", field=field)
            assignments[entry.partition_id] = entry.broker_ids
        request = core_topics.CreateTopic(
            input.cluster_id,
            input.topic_name,
            input.partitions_count,
            input.replication_factor,
            assignments,
            [core_topics.ConfigEntry(entry.name, entry.value) for entry in input.configs],
            input.validate_only,
        )
        return CreateTopicPayload(written=await context.change("api.v3.topics.create", request))

    @field(description="Delete a topic and all its records.")
    async def delete_topic(
        self, info: Info, input: Annotated[DeleteTopicInput, argument("The topic to delete.")]
    ) -> DeleteTopicPayload | None:
        context = info.context
        request = core_topics.DeleteTopic(input.cluster_id, input.topic_name)
        await context.change("api.v3.topics.delete", request)
        return DeleteTopicPayload(cluster_id=input.cluster_id, topic_name=input.topic_name)

    @field(description="Raise the number of a topic's partitions.")
    async def update_partition_count(
        self, info: Info, input: Annotated[UpdatePartitionCountInput, argument("The topic and the new number.")]
    ) -> UpdatePartitionCountPayload | None:
        context = info.context
        request = core_topics.UpdatePartitionCount(input.cluster_id, input.topic_name, input.partitions_count)
        return UpdatePartitionCountPayload(written=await context.change("api.v3.topics.partitions", request))
