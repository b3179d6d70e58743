"""The interface to a Kafka client that reassignment operations need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kafka_facade.core.errors import FacadeError

Place = tuple[str, int]
"""A partition: its topic and its number."""


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

    async def reassign(
        self, targets: Mapping[Place, Sequence[int] | None], timeout: float
    ) -> Mapping[Place, FacadeError]:
        """Begin to move partitions to brokers, the preferred leader first; None cancels a move.

        Returns the errors of those that failed. Nothing to cancel is one, and so is a new number of replicas.
        """

    async def elect_preferred(self, places: Sequence[Place], timeout: float) -> Mapping[Place, FacadeError]:
        """Let the preferred leaders of partitions lead them, if they are in sync; the errors of those that failed."""
