"""What the family needs of an engine."""

from __future__ import annotations

from typing import Protocol

from faces.added_operation.model import PartitionTrim


class SizePort(Protocol):
    """Deletion of records."""

    async def trim(self, topic: str, partitions: list[PartitionTrim], timeout: float) -> None:
        """Delete records; InvalidKafkaRequest for an offset that the partition does not have."""
