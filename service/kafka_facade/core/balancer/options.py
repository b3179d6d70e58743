"""Options of the balancer. Keys that begin with ``confluent.`` are those of Confluent Server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kafka_facade.core.balancer.planning.goals import Goals
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import boolean, integer, one_of, seconds, words

EMPTY_BROKER = "EMPTY_BROKER"
ANY_UNEVEN_LOAD = "ANY_UNEVEN_LOAD"


def _part(lowest: float) -> Callable[[str], float]:
    """Return a parser of a part of 1."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not lowest <= value <= 1:
            raise ValueError(f"a number from {lowest:g} to 1")
        return value

    return parse


def _rate(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value != -1 and not 1 <= value < 2**63:
        raise ValueError("a whole number from 1, or -1")
    return value


@dataclass(frozen=True, slots=True)
class BalancerOptions:
    """Balancer."""

    enabled: bool = setting("confluent.balancer.enable", "false", boolean)
    """Whether the gateways of a cluster elect one of them to move replicas: away from brokers that are to be removed or
    have been down for long, and to new brokers. All of them must have the same settings of the balancer."""

    trigger: str = setting(
        "confluent.balancer.heal.uneven.load.trigger", EMPTY_BROKER, one_of(EMPTY_BROKER, ANY_UNEVEN_LOAD)
    )
    """When replicas are moved to even the load: ``EMPTY_BROKER`` (a broker without replicas) or ``ANY_UNEVEN_LOAD``."""

    throttle: int = setting("confluent.balancer.throttle.bytes.per.second", "10485760", _rate)
    """Maximum rate at which a broker sends, and at which it receives, replicas that move; -1 means no limit."""

    max_disk_load: float = setting("confluent.balancer.disk.max.load", "0.85", _part(0.01))
    """The part of its disks that a broker may fill with replicas that move there."""

    max_replicas: int = setting("confluent.balancer.disk.max.replicas", "10000", integer(1))
    """Maximum number of replicas of a broker to which replicas move."""

    excluded_topics: Sequence[str] = setting("confluent.balancer.exclude.topic.names", "", words)
    """Comma-separated topics whose replicas never move. A broker that has one of them cannot be removed."""

    excluded_prefixes: Sequence[str] = setting("confluent.balancer.exclude.topic.prefixes", "", words)
    """The same by the beginnings of their names."""

    failure_threshold_ms: int = setting("confluent.balancer.heal.broker.failure.threshold.ms", "3600000", integer(-1))
    """How long a broker is down before its replicas are created on others; -1 means that it is waited for."""

    spread: float = setting("balancer.spread", "0.10", _part(0.0))
    """How much two brokers may differ in replicas, bytes and leaders, as a part of the mean."""

    concurrent_moves: int = setting("balancer.concurrent.moves", "10", integer(1, 1000))
    """Maximum number of partitions that move at once."""

    broker_moves: int = setting("balancer.concurrent.moves.per.broker", "5", integer(1, 1000))
    """Maximum number of partitions that move at once to or from one broker."""

    interval: float = setting("balancer.interval.ms", "60000", seconds(1000))
    """Interval between looks at the load of brokers."""

    stall_timeout: float = setting("balancer.stall.timeout.ms", "600000", seconds(1000))
    """How long moves make no progress, or wait for other reassignments or partitions that are under-replicated, before
    a task fails. Moves to a broker that is down for as long are cancelled, and planned anew."""

    shutdown_timeout: float = setting("balancer.shutdown.timeout.ms", "86400000", seconds(1000))
    """How long a removal waits until its broker is stopped."""

    def goals(self, *, evens_load: bool) -> Goals:
        """Return the goals of a plan."""
        return Goals(
            self.spread,
            self.max_disk_load,
            self.max_replicas,
            self.failure_threshold_ms,
            frozenset(self.excluded_topics),
            tuple(self.excluded_prefixes),
            evens_load,
        )
