"""Consumer groups in the graph, with their members, assignments and lags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from strawberry.relay import Node, PageInfo

from kafka_facade.core import paging
from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.errors import NotFound
from kafka_facade.core.groups import model as core_groups
from kafka_facade.core.groups.lags import summary_of
from kafka_facade.core.topics import model as core_topics
from kafka_facade_graphql.arguments import PartitionId, TopicName
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field, link
from kafka_facade_graphql.node import local_id
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.scalars import BigInt
from kafka_facade_graphql.topics import Partition

ConsumerGroupState = strawberry.enum(core_groups.ConsumerGroupState, description="The state of a consumer group.")
ConsumerGroupType = strawberry.enum(
    core_groups.ConsumerGroupType, description="The protocol of a consumer group: the classic one, or that of KIP-848."
)

_NO_READER = "empty if no member reads the partition."


def group_key(group: core_groups.ConsumerGroup) -> str:
    """The sort key of consumer groups."""
    return group.consumer_group_id


async def load_consumer(
    info: Info, identifier: str, group: core_groups.ConsumerGroup, consumer_id: str
) -> core_groups.GroupMember:
    """A member of a group; NotFound."""
    info.context.loaders.admit(identifier)
    found = core_groups.member_of(group, consumer_id)
    if found is None:
        raise NotFound(consumer_id=consumer_id)
    return found


async def _reader(info: Info, cluster_id: str, group_id: str, consumer_id: str) -> core_groups.GroupMember | None:
    """Return the member with an id; None if the id is empty or the member has left."""
    if not consumer_id:
        return None
    group = await info.context.loaders.group("api.v3.consumers.get", cluster_id, group_id)
    return core_groups.member_of(group, consumer_id)


@resource(
    description="A consumer group.",
    fields={
        "consumer_group_id": "The group's id, unique in its cluster.",
        "is_simple": "Whether it only stores offsets and has no members that Kafka manages.",
        "partition_assignor": "The partition assignment strategy; empty while a classic group is not stable.",
        "state": "Its state.",
        "type": "Its protocol.",
        "is_mixed_consumer_group": "Whether members of the classic and of the newer protocol are mixed.",
    },
)
class ConsumerGroup(core_groups.ConsumerGroup, Node):
    """A consumer group."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.consumer_group_id)

    @field(graphql_type=link("clusters.Cluster"), description="The cluster that it belongs to.")
    async def cluster(self, info: Info) -> core_clusters.Cluster:
        return await info.context.loaders.cluster("api.v3.clusters.get", self.cluster_id)

    @field(graphql_type=link("clusters.Broker"), description="The group coordinator; null if there is none.")
    async def coordinator(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.coordinator_id)

    @field(name="consumers", graphql_type="list[GroupMember] | None", description="Its members, ordered by id.")
    async def all_consumers(self, info: Info) -> list[core_groups.GroupMember]:
        info.context.loaders.admit("api.v3.consumers.list")
        return self.consumers

    @field(graphql_type="GroupMember | None", description="One of its members.")
    async def consumer(
        self, info: Info, consumer_id: Annotated[str, strawberry.argument(description="The member's id.")]
    ) -> core_groups.GroupMember:
        return await load_consumer(info, "api.v3.consumers.get", self, consumer_id)

    @field(
        graphql_type="ConsumerGroupLagSummary | None",
        description="Its largest and its total lag; null without commits.",
    )
    async def lag_summary(self, info: Info) -> core_groups.ConsumerGroupLagSummary | None:
        return summary_of(await info.context.loaders.lags("api.v3.consumer-group-lag-summary.get", self))

    @field(
        graphql_type="list[ConsumerLag] | None",
        description="Its lag in each partition with a commit, the largest lag first.",
    )
    async def lags(self, info: Info) -> list[core_groups.ConsumerLag]:
        return list(await info.context.loaders.lags("api.v3.consumer-lags.list", self))

    @field(graphql_type="ConsumerLag | None", description="Its lag in a partition.")
    async def lag(self, info: Info, topic_name: TopicName, partition_id: PartitionId) -> core_groups.ConsumerLag:
        found = await info.context.loaders.lag("api.v3.consumer-lags.get", self, topic_name, partition_id)
        if found is None:
            raise NotFound(topic_name=topic_name, partition_id=str(partition_id))
        return found


@resource(
    description="A member of a consumer group.",
    fields={
        "consumer_id": "Its member id in the group.",
        "instance_id": "Its static id (KIP-345); null if it has none.",
        "client_id": "Its client id.",
    },
)
class GroupMember(core_groups.GroupMember, Node):
    """A member of a group."""

    @classmethod
    def resolve_id(cls, root: Any, *, info: Any) -> str:
        return local_id(root.cluster_id, root.consumer_group_id, root.consumer_id)

    @field(graphql_type=ConsumerGroup | None, description="The group that it belongs to.")
    async def consumer_group(self, info: Info) -> core_groups.ConsumerGroup:
        loaders = info.context.loaders
        return await loaders.group("api.v3.consumer-groups.get", self.cluster_id, self.consumer_group_id)

    @field(
        name="assignments",
        graphql_type="list[ConsumerAssignment] | None",
        description="Its assigned partitions, ordered by topic and partition.",
    )
    async def all_assignments(self, info: Info) -> Sequence[core_groups.ConsumerAssignment]:
        info.context.loaders.admit("api.v3.consumer-assignments.list")
        return await self.assignments()

    @field(graphql_type="ConsumerAssignment | None", description="One of the partitions that it reads.")
    async def assignment(
        self, info: Info, topic_name: TopicName, partition_id: PartitionId
    ) -> core_groups.ConsumerAssignment:
        info.context.loaders.admit("api.v3.consumer-assignments.get")
        found = (await self.assignments()).find(topic_name, partition_id)
        if found is None:
            raise NotFound(topic_name=topic_name, partition_id=str(partition_id))
        return found


@resource(
    description="A partition that a member of a group reads.",
    fields={"topic_name": "The topic's name.", "partition_id": "The partition's number."},
)
class ConsumerAssignment(core_groups.ConsumerAssignment):
    """An assigned partition."""

    @field(graphql_type=Partition | None, description="The partition.")
    async def partition(self, info: Info) -> core_topics.Partition:
        loaders = info.context.loaders
        return await loaders.partition("api.v3.partitions.get", self.cluster_id, self.topic_name, self.partition_id)

    @field(
        graphql_type="ConsumerLag | None",
        description="The group's lag in it; null without a commit.",
    )
    async def lag(self, info: Info) -> core_groups.ConsumerLag | None:
        loaders = info.context.loaders
        group = await loaders.group("api.v3.consumer-lags.get", self.cluster_id, self.consumer_group_id)
        return await loaders.lag("api.v3.consumer-lags.get", group, self.topic_name, self.partition_id)


@resource(
    description="The lag of a group in a partition.",
    fields={
        "topic_name": "The topic's name.",
        "partition_id": "The partition's number.",
        "consumer_id": f"The id of the member that reads it; {_NO_READER}",
        "instance_id": "The static id of that member; null if it has none.",
        "client_id": f"The client id of that member; {_NO_READER}",
    },
)
class ConsumerLag(core_groups.ConsumerLag):
    """A lag."""

    current_offset: BigInt = strawberry.field(description="The next offset to read, as committed.")
    log_end_offset: BigInt = strawberry.field(
        description="The last stable offset: the end for readers of committed transactions."
    )
    lag: BigInt = strawberry.field(description="The lag in records: the difference of the two, at least 0.")

    @field(graphql_type=Partition | None, description="The partition.")
    async def partition(self, info: Info) -> core_topics.Partition:
        loaders = info.context.loaders
        return await loaders.partition("api.v3.partitions.get", self.cluster_id, self.topic_name, self.partition_id)

    @field(graphql_type=GroupMember | None, description="The member that reads it; null if there is none.")
    async def consumer(self, info: Info) -> core_groups.GroupMember | None:
        return await _reader(info, self.cluster_id, self.consumer_group_id, self.consumer_id)


@resource(
    description="The largest and the total lag of a group.",
    fields={
        "max_lag_consumer_id": f"The id of the member with the largest lag; {_NO_READER}",
        "max_lag_instance_id": "The static id of that member; null if it has none.",
        "max_lag_client_id": f"The client id of that member; {_NO_READER}",
        "max_lag_topic_name": "The topic with the largest lag.",
        "max_lag_partition_id": "The partition with the largest lag.",
    },
)
class ConsumerGroupLagSummary(core_groups.ConsumerGroupLagSummary):
    """A summary of lags."""

    max_lag: BigInt = strawberry.field(description="The largest lag, in records.")
    total_lag: BigInt = strawberry.field(description="The lag over all partitions, in records.")

    @field(graphql_type=GroupMember | None, description="The member with the largest lag; null if there is none.")
    async def max_lag_consumer(self, info: Info) -> core_groups.GroupMember | None:
        return await _reader(info, self.cluster_id, self.consumer_group_id, self.max_lag_consumer_id)

    @field(graphql_type=Partition | None, description="The partition with the largest lag.")
    async def max_lag_partition(self, info: Info) -> core_topics.Partition:
        loaders = info.context.loaders
        topic, partition_id = self.max_lag_topic_name, self.max_lag_partition_id
        return await loaders.partition("api.v3.partitions.get", self.cluster_id, topic, partition_id)


@strawberry.type(description="A consumer group in a page of consumer groups.")
class ConsumerGroupEdge:
    """An edge of a ConsumerGroupConnection."""

    group: strawberry.Private[core_groups.ConsumerGroup]

    @field(description="The consumer group.", graphql_type=ConsumerGroup)
    def node(self) -> core_groups.ConsumerGroup:
        return self.group

    @field(description="The cursor that a page after this group starts from.")
    def cursor(self) -> str:
        return paging.encode_token(group_key(self.group))


@resource(description="A page of consumer groups (Relay connection).")
class ConsumerGroupConnection(paging.Page[core_groups.ConsumerGroup]):
    """Consumer groups, page by page."""

    @field(description="The groups of this page, each with its cursor.")
    def edges(self) -> list[ConsumerGroupEdge]:
        return [ConsumerGroupEdge(group=group) for group in self.items]

    @field(description="The groups of this page.", graphql_type=list[ConsumerGroup])
    def nodes(self) -> list[core_groups.ConsumerGroup]:
        return self.items

    @field(description="Whether there are more pages.")
    def page_info(self) -> PageInfo:
        cursors = [paging.encode_token(group_key(group)) for group in self.items]
        return PageInfo(
            has_next_page=bool(self.next_token),
            has_previous_page=self.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )

    @field(description="The number of groups on all pages.")
    def total_count(self) -> int:
        return self.total
