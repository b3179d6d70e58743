"""The interface to a Kafka client that the balancer needs, besides those of other families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from kafka_facade.core.exclusions.port import ExclusionKafka
from kafka_facade.core.reassignments.port import Place, ReassignmentPort


class PlacedPartition(Struct, frozen=True, gc=False):
    """The brokers of a partition. ``replicas`` are in order of preference; ``leader`` is None while it has none."""

    replicas: tuple[int, ...]
    in_sync: frozenset[int]
    leader: int | None


@dataclass(frozen=True, slots=True)
class Placement:
    """All partitions of a cluster, and the racks of its live brokers, as one broker knows them."""

    racks: Mapping[int, str | None]
    partitions: Mapping[Place, PlacedPartition]


@dataclass(frozen=True, slots=True)
class Disks:
    """The disks of a broker: the sums over its log directories, and the sizes of its replicas in bytes.

    Without ``total_bytes`` or ``usable_bytes`` the broker does not tell them.
    """

    total_bytes: int | None
    usable_bytes: int | None
    sizes: Mapping[Place, int]


class PlacementPort(Protocol):
    """Tells where replicas are, and how large they are."""

    async def placement(self, timeout: float) -> Placement:
        """The brokers of all partitions."""

    async def disks(self, broker_ids: Iterable[int], timeout: float) -> Mapping[int, Disks]:
        """The disks of brokers; one that does not answer in time is left out. Raises KafkaAuthorizationFailed."""


class BalancerKafka(ExclusionKafka, Protocol):
    """What the balancer uses of the gateway's own Kafka clients; configs throttle replication too."""

    @property
    def placement(self) -> PlacementPort:
        """Tells where replicas are."""

    @property
    def reassignments(self) -> ReassignmentPort:
        """Moves replicas."""
