"""The interface to a Kafka client that config operations need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kafka_facade.core.configs.model import BrokerConfig, ClusterConfig, ConfigAlteration, TopicConfig
from kafka_facade.core.errors import FacadeError


class ConfigPort(Protocol):
    """Configs of topics and brokers. Altering some leaves the others alone (IncrementalAlterConfigs, KIP-339)."""

    async def topic_configs(self, names: Sequence[str], timeout: float) -> list[list[TopicConfig] | FacadeError]:
        """The configs of these topics, in order, each ordered by name."""

    async def default_topic_configs(
        self, names: Sequence[str], timeout: float
    ) -> list[list[TopicConfig] | FacadeError]:
        """The configs that new topics of these names would have, in order, each ordered by name."""

    async def broker_configs(
        self, broker_ids: Sequence[int] | None, timeout: float
    ) -> list[list[BrokerConfig] | FacadeError]:
        """The configs of these brokers, in order, or of all live ones, each ordered by name.

        A broker that is down is a RetriableKafkaError, an unknown one is NotFound.
        """

    async def cluster_configs(self, timeout: float) -> list[ClusterConfig]:
        """The dynamic configs that are set for all brokers, ordered by name."""

    async def alter_topic_configs(
        self, changes: Mapping[str, Sequence[ConfigAlteration]], validate_only: bool, timeout: float
    ) -> dict[str, FacadeError]:
        """Alter configs of topics, of each topic all or none; the topics that failed, with their errors."""

    async def alter_broker_configs(
        self, broker_id: int, changes: Sequence[ConfigAlteration], validate_only: bool, timeout: float
    ) -> None:
        """Alter configs of one broker, all or none."""

    async def alter_cluster_configs(
        self, changes: Sequence[ConfigAlteration], validate_only: bool, timeout: float
    ) -> None:
        """Alter the dynamic configs that all brokers share, all or none."""
