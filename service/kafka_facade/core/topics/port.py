"""The interface to a Kafka client that topic operations need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kafka_facade.core.clusters.port import ClusterPort
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.topics.model import ConfigEntry, TopicDescription
from kafka_facade.core.topics.positions import TopicPartition


@dataclass(slots=True)
class TopicSpec:
    """A topic to create; None is the brokers' default. ``replicas_assignments`` maps each partition to its brokers."""

    topic_name: str
    partitions_count: int | None = None
    replication_factor: int | None = None
    replicas_assignments: dict[int, list[int]] = field(default_factory=dict)
    configs: list[ConfigEntry] = field(default_factory=list)


class AdminPort(ClusterPort, Protocol):
    """Metadata and administration of one cluster."""

    async def list_topics(self, timeout: float) -> list[TopicDescription]:
        """All topics with their partitions, ordered by name."""

    async def describe_topics(
        self, names: Sequence[str], timeout: float, *, authorized_operations: bool = False
    ) -> list[TopicDescription | FacadeError]:
        """These topics, in order; a topic that cannot be described is replaced by its error."""

    async def create_topic(
        self, wanted: TopicSpec, timeout: float, *, validate_only: bool = False
    ) -> TopicDescription | None:
        """Create a topic, wait until metadata shows it, and describe it; None where it is only validated."""

    async def topic_defaults(self, timeout: float) -> tuple[int, int]:
        """The number of partitions and the replication factor of a topic created without saying them."""

    async def delete_topic(self, name: str, timeout: float) -> None:
        """Delete a topic."""

    async def create_partitions(self, topic: str, count: int, timeout: float) -> TopicDescription:
        """Raise the number of a topic's partitions to ``count``, wait until metadata shows it, and describe it."""

    async def last_timestamps(self, partitions: Sequence[TopicPartition], timeout: float) -> list[int | FacadeError]:
        """The largest timestamp (Unix ms) in each partition, in order; -1 if it has no records (KIP-734)."""

    async def offsets(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[tuple[int, int] | FacadeError]:
        """The earliest and the latest offset of each partition, in order."""
