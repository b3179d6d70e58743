"""The interface to a Kafka client that cluster operations need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kafka_facade.core.clusters.model import Broker, Cluster


class ClusterPort(Protocol):
    """Metadata of one cluster."""

    async def describe_cluster(self, timeout: float) -> tuple[Cluster, list[Broker]]:
        """The cluster and its live brokers, ordered by id."""


@dataclass(frozen=True, slots=True)
class Registrations:
    """The registered brokers of a cluster.

    ``alive`` is whether each broker is alive, by id. If the list is not complete, it has only live brokers.
    """

    cluster_id: str
    alive: Mapping[int, bool]
    is_complete: bool


class BrokerPort(Protocol):
    """The registry of brokers of one cluster."""

    async def registrations(self, timeout: float) -> Registrations:
        """The registered brokers."""

    async def unregister(self, broker_id: int, timeout: float) -> None:
        """Remove a broker from the registry, whether it runs or not; BrokerNotRegistered, UnsupportedVersion."""
