"""The interface to a Kafka client that topic operations need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kafka_facade.core.clusters.port import ClusterPort
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.topics.model import CreateTopic, TopicDescription
from kafka_facade.core.topics.positions import TopicPartition


class AdminPort(ClusterPort, Protocol):
    """Metadata and administration of one cluster."""

    async def list_topics(self, timeout: float) -> list[TopicDescription]:
        """All topics with their partitions, ordered by name."""

    async def describe_topics(
        self, names: Sequence[str], timeout: float, *, authorized_operations: bool = False
    ) -> list[TopicDescription | FacadeError]:
        """These topics, in order; a topic that cannot be described is replaced by its error."""

    async def create_topic(self, request: CreateTopic, timeout: float) -> TopicDescription | None:
        """Create a topic, wait until metadata shows it, and describe it; None where it is only validated."""

    async def topic_defaults(self, timeout: float) -> tuple[int, int]:
        """The number of partitions and the replication factor of a topic created without saying them."""

    async def delete_topic(self, name: str, timeout: float) -> None:
        """Delete a topic."""

    async def create_partitions(self, topic: str, count: int, timeout: float) -> TopicDescription:
        """Raise the number of a topic's partitions to ``count``, wait until metadata shows it, and describe it."""

    async def offsets(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[tuple[int, int] | FacadeError]:
        """The earliest and the latest offset of each partition, in order."""
