"""The interface to a Kafka client that reassignment operations need."""

from __future__ import annotations

from typing import Protocol

from kafka_facade.core.reassignments.model import PartitionReassignment


class ReassignmentPort(Protocol):
    """The reassignments of partitions of one cluster."""

    async def list_reassignments(self, cluster_id: str, timeout: float) -> list[PartitionReassignment]:
        """All ongoing reassignments, ordered by topic and partition."""
