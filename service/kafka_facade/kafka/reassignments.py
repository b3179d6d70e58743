"""Reassignments of partitions, for which librdkafka has no request (KIP-455)."""

from __future__ import annotations

from kafka_facade.core.resources import PartitionReassignment
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol import ProtocolClient


class Reassignments:
    """The reassignment port over one cluster."""

    def __init__(self, client: ProtocolClient) -> None:
        self._client = client

    async def list_reassignments(self, cluster_id: str, timeout: float) -> list[PartitionReassignment]:
        """All that go on, ordered by topic and partition."""
        limit = max(1, int(timeout * 1000))
        answer = await self._client.send(
            lambda messages: messages.ListPartitionReassignmentsRequest(timeout_ms=limit, topics=None), timeout
        )
        if answer.error_code:
            raise from_code(answer.error_code, answer.error_message)
        found = [
            PartitionReassignment(
                cluster_id,
                topic.name,
                partition.partition_index,
                list(partition.adding_replicas),
                list(partition.removing_replicas),
            )
            for topic in answer.topics
            for partition in topic.partitions
        ]
        return sorted(found, key=lambda entry: (entry.topic_name, entry.partition_id))
