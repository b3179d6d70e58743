"""Consumer instances of the v2 API in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from strawberry.relay import Node

from kafka_facade.core.instances import model as core_instances
from kafka_facade.core.instances.model import (
    GetAssignments,
    GetCommittedOffsets,
    GetSubscription,
)
from kafka_facade.core.topics import model as core_topics
from kafka_facade.core.topics import positions as core_positions
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.node import local_id
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.scalars import BigInt
from kafka_facade_graphql.topics import Partition


@strawberry.input(description="Identifies a partition.")
class TopicPartitionInput:
    """Names a partition."""

    topic_name: str = strawberry.field(description="The topic's name.")
    partition_id: int = strawberry.field(description="The partition's number, from 0.")


def partitions_of(given: Sequence[TopicPartitionInput]) -> list[core_positions.TopicPartition]:
    """Convert partitions given by a caller to the core's type."""
    return [core_positions.TopicPartition(entry.topic_name, entry.partition_id) for entry in given]


async def _load_partition(info: Info, topic: str, partition_id: int) -> core_topics.Partition:
    return await info.context.loaders.partition("api.v3.partitions.get", None, topic, partition_id)


@resource(description="A partition that a consumer instance reads.")
class TopicPartition(core_positions.TopicPartition):
    """An assigned partition."""

    @field(description="The topic's name.")
    def topic_name(self) -> str:
        return self.topic

    @field(description="The partition's number.")
    def partition_id(self) -> int:
        return self.partition

    @field(name="partition", graphql_type=Partition | None, description="The partition.")
    async def resolved(self, info: Info) -> core_topics.Partition:
        return await _load_partition(info, self.topic, self.partition)


@resource(
    description="The committed offset of a group in a partition.",
    fields={"metadata": "The metadata that was committed with it."},
)
class CommittedOffset(core_positions.CommittedOffset):
    """A committed offset."""

    offset: BigInt = strawberry.field(description="The next offset that the group will read.")

    @field(description="The topic's name.")
    def topic_name(self) -> str:
        return self.topic

    @field(description="The partition's number.")
    def partition_id(self) -> int:
        return self.partition

    @field(name="partition", graphql_type=Partition | None, description="The partition.")
    async def resolved(self, info: Info) -> core_topics.Partition:
        return await _load_partition(info, self.topic, self.partition)


@resource(
    description="A consumer instance: a member of a consumer group that the gateway runs.",
    fields={
        "group": "The consumer group.",
        "instance_id": "The instance's name, unique in its group.",
        "format": "The format of fetched records.",
        "auto_offset_reset": "The start position in partitions without a committed offset: earliest, latest or none.",
        "auto_commit": "Whether fetched records are committed automatically.",
        "fetch_min_bytes": "The minimum bytes of a fetch; with -1 or 0 it returns available records at once.",
        "request_timeout_ms": "The timeout of a fetch, in milliseconds.",
    },
)
class Consumer(core_instances.ConsumerInstance, Node):
    """A consumer instance."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.group, root.instance_id)

    @field(description="The subscribed topics, or those that currently match the pattern.")
    async def subscription(self, info: Info) -> list[str] | None:
        context = info.context
        request = GetSubscription(self.group, self.instance_id)
        return list(await context.run("api.v2.consumers.get-subscription", request))

    @field(graphql_type=list[TopicPartition] | None, description="The partitions that it reads now.")
    async def assignments(self, info: Info) -> Sequence[core_positions.TopicPartition]:
        context = info.context
        request = GetAssignments(self.group, self.instance_id)
        return await context.run("api.v2.consumers.get-assignments", request)

    @field(
        graphql_type=list[CommittedOffset] | None,
        description="The group's committed offsets in these partitions; those without a committed offset are omitted.",
    )
    async def committed_offsets(
        self,
        info: Info,
        partitions: Annotated[list[TopicPartitionInput], strawberry.argument(description="The partitions to look up.")],
    ) -> list[core_positions.CommittedOffset]:
        context = info.context
        request = GetCommittedOffsets(self.group, self.instance_id, partitions_of(partitions))
        return await context.run("api.v2.consumers.get-committed-offsets", request)
