"""The interface to a Kafka client that reassignment operations need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class MovingPartition:
    """A partition whose replicas move, with the brokers that get one and those that lose one."""

    topic: str
    partition: int
    adding_replicas: list[int]
    removing_replicas: list[int]


class ReassignmentPort(Protocol):
    """The reassignments of partitions of one cluster."""

    async def list_reassignments(self, timeout: float) -> list[MovingPartition]:
        """All ongoing reassignments, ordered by topic and partition."""
