"""The interface to a Kafka client that exclusions need, besides configs and registrations of brokers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from kafka_facade.core.clusters.port import BrokerPort
from kafka_facade.core.configs.port import ConfigPort

CORDON_CONFIG: Final = "cordoned.log.dirs"
"""The config of a broker that cordons its log directories."""
CORDON_ALL: Final = "*"
"""Its value for all of them. Brokers with relative log.dirs do not cordon absolute paths, so never name single ones."""


@dataclass(frozen=True, slots=True)
class Cordon:
    """Whether a broker is cordoned: by its config, and by what it reports of its log directories.

    The report follows a change of the config when the change is in effect, but leaves out the broker's properties file.
    """

    is_set: bool
    is_reported: bool

    @property
    def holds(self) -> bool:
        """Whether the broker gets no new replicas."""
        return self.is_set or self.is_reported


class CordonPort(Protocol):
    """Tells which brokers get no new replicas (KIP-1066)."""

    async def cordons(self, broker_ids: Iterable[int], timeout: float) -> Mapping[int, Cordon]:
        """Whether each broker is cordoned; a broker that does not answer in time is left out.

        Raises UnsupportedVersion if one of them is too old, and KafkaAuthorizationFailed.
        """


class ExclusionKafka(Protocol):
    """What exclusions use of Kafka clients."""

    @property
    def brokers(self) -> BrokerPort:
        """Tells which brokers there are."""

    @property
    def configs(self) -> ConfigPort:
        """Cordons brokers."""

    @property
    def cordons(self) -> CordonPort:
        """Tells which brokers are cordoned."""
