"""The interface to a Kafka client that cluster operations need."""

from __future__ import annotations

from typing import Protocol

from kafka_facade.core.clusters.model import Broker, Cluster


class ClusterPort(Protocol):
    """Metadata of one cluster."""

    async def describe_cluster(self, timeout: float) -> tuple[Cluster, list[Broker]]:
        """The cluster and its live brokers, ordered by id."""
