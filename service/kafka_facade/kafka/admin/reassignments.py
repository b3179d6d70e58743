"""Reassignments of partitions, for which librdkafka has no request (KIP-455)."""

from __future__ import annotations

from typing import Any

from kafka_facade.core.reassignments.port import MovingPartition
from kafka_facade.core.time_slices import in_slices, sorted_in_slices
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient


class Reassignments:
    """The reassignment port over one cluster."""

    def __init__(self, client: ProtocolClient) -> None:
        self._client = client

    async def list_reassignments(self, timeout: float) -> list[MovingPartition]:
        """All that go on, ordered by topic and partition."""
        limit = max(1, int(timeout * 1000))
        answer = await self._client.send(
            lambda messages: messages.ListPartitionReassignmentsRequest(timeout_ms=limit, topics=None), timeout
        )
        if answer.error_code:
            raise from_code(answer.error_code, answer.error_message)

        def read(entry: tuple[str, Any]) -> MovingPartition:
            topic, partition = entry
            adding, removing = list(partition.adding_replicas), list(partition.removing_replicas)
            return MovingPartition(topic, partition.partition_index, adding, removing)

        moving = ((topic.name, partition) for topic in answer.topics for partition in topic.partitions)
        found = await in_slices(read, moving)
        return await sorted_in_slices(found, lambda entry: (entry.topic, entry.partition))
