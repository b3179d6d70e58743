"""What the planner knows of a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Broker:
    """A registered broker.

    Bytes are the sums over its log directories. Without ``total_bytes`` and ``usable_bytes`` its disks have no limit.
    """

    broker_id: int
    rack: str | None = None
    total_bytes: int | None = None
    usable_bytes: int | None = None
    """Free bytes, before the copies in flight arrive."""
    is_excluded: bool = False
    """Whether it gets no new replicas. Those that it has may stay."""
    is_leaving: bool = False
    """Whether all its replicas must move away, since it is to be removed."""
    offline_ms: int | None = None
    """For how long it has been fenced or gone; None if it is live."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition with its replicas, of which the first is the preferred leader."""

    topic: str
    partition: int
    replicas: tuple[int, ...]
    """The ids of its brokers, as in metadata: during a reassignment with those that it adds and removes."""
    leader: int | None
    """None while the partition has no leader: nothing can be copied then."""
    size_bytes: int = 0
    """The size of its largest replica."""
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The brokers and partitions of a cluster, in any order.

    A broker id that only replicas name is that of an unregistered broker. Its replicas must move away.
    """

    brokers: tuple[Broker, ...]
    partitions: tuple[Partition, ...]
