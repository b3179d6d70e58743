"""Ongoing partition reassignments (reference: "Partition (v3)"; KIP-455)."""

from __future__ import annotations

from kafka_facade.core.call import Call
from kafka_facade.core.errors import NotFound
from kafka_facade.core.reassignments.model import (
    GetReassignment,
    ListReassignments,
    ListTopicReassignments,
    PartitionReassignment,
)
from kafka_facade.core.reassignments.port import MovingPartition
from kafka_facade.core.registry import also_answers, implements
from kafka_facade.core.time_slices import in_slices


class Reassignments:
    """Operations on reassignments."""

    @implements("api.v3.partition-reassignments.list")
    @also_answers("api.v3.partition-reassignments.search-by-topic", "api.v3.partition-reassignments.get")
    async def list_reassignments(self, call: Call, request: ListReassignments) -> list[PartitionReassignment]:
        """All ongoing reassignments, ordered by topic and partition."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)

        def of_cluster(found: MovingPartition) -> PartitionReassignment:
            return PartitionReassignment(
                cluster_id, found.topic, found.partition, found.adding_replicas, found.removing_replicas
            )

        return await in_slices(of_cluster, await call.kafka.reassignments.list_reassignments(call.remaining))

    @implements("api.v3.partition-reassignments.search-by-topic")
    async def list_topic_reassignments(
        self, call: Call, request: ListTopicReassignments
    ) -> list[PartitionReassignment]:
        """Those of one topic, ordered by partition; none for an unknown topic."""
        everything = await self.list_reassignments(call, ListReassignments(request.cluster_id))
        return [entry for entry in everything if entry.topic_name == request.topic_name]

    @implements("api.v3.partition-reassignments.get")
    async def get_reassignment(self, call: Call, request: GetReassignment) -> PartitionReassignment:
        """The reassignment of one partition; NotFound if there is none."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        where = ListTopicReassignments(cluster_id, request.topic_name)
        for found in await self.list_topic_reassignments(call, where):
            if found.partition_id == request.partition_id:
                return found
        raise NotFound(topic_name=request.topic_name, partition_id=str(request.partition_id))
