"""What a plan has to achieve."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Goal(enum.IntEnum):
    """The goals, the most important first. A goal never spoils one before it."""

    EMPTY_BROKERS = 1
    """No replica on a broker that leaves, is unregistered or has been offline for too long."""
    RACKS = 2
    """The replicas of a partition are in as many racks as possible."""
    DISKS = 3
    """Brokers stay below the limits of their disks."""
    REPLICAS = 4
    """Brokers have about as many replicas."""
    BYTES = 5
    """Brokers have about as many bytes."""
    LEADERS = 6
    """Brokers are the preferred leaders of about as many partitions."""


@dataclass(frozen=True, slots=True)
class Goals:
    """Limits and targets of a plan. Names of settings are those of Confluent Server."""

    spread: float = 0.10
    """How much two brokers may differ, as a part of the mean."""
    max_disk_load: float = 0.85
    """The part of its disks that a target may fill (``confluent.balancer.disk.max.load``)."""
    max_replicas: int = 10_000
    """The most replicas of a target (``confluent.balancer.disk.max.replicas``)."""
    failure_threshold_ms: int = 3_600_000
    """How long a broker is offline before its replicas move; -1 for ever
    (``confluent.balancer.heal.broker.failure.threshold.ms``)."""
    excluded_topics: frozenset[str] = frozenset()
    """Topics that never move (``confluent.balancer.exclude.topic.names``)."""
    excluded_topic_prefixes: tuple[str, ...] = ()
    """The same by prefix (``confluent.balancer.exclude.topic.prefixes``)."""
    evens_load: bool = True
    """Whether to pursue all goals. If not, the plan only empties brokers."""

    def excludes(self, topic: str) -> bool:
        """Whether a topic never moves."""
        return topic in self.excluded_topics or topic.startswith(self.excluded_topic_prefixes)

    def band(self, total: int, brokers: int) -> int:
        """How much two brokers may differ if ``brokers`` have ``total`` together: at least by 1."""
        return max(1, int(self.spread * total / brokers)) if brokers else 1
