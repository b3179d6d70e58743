"""The result of planning."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kafka_facade.core.balancer.planning.goals import Goal


class Reason(enum.Enum):
    """Why a goal cannot be reached."""

    NO_LEADER = "NO_LEADER"
    """The partition has no leader to copy from."""
    REASSIGNING = "REASSIGNING"
    """The partition is being reassigned."""
    EXCLUDED_TOPIC = "EXCLUDED_TOPIC"
    """The topic never moves."""
    TOO_FEW_BROKERS = "TOO_FEW_BROKERS"
    """Each broker that takes replicas has one of the partition already."""
    NO_ROOM = "NO_ROOM"
    """The other brokers would exceed the limits of their disks or of their replicas."""


@dataclass(frozen=True, slots=True)
class Move:
    """New replicas of a partition, some of which are on other brokers."""

    topic: str
    partition: int
    replicas_before: tuple[int, ...]
    replicas: tuple[int, ...]
    size_bytes: int
    """The size of one replica."""
    goal: Goal
    """The most important goal that needs it."""

    @property
    def adding(self) -> tuple[int, ...]:
        """The brokers that get a replica."""
        return tuple(broker for broker in self.replicas if broker not in self.replicas_before)

    @property
    def removing(self) -> tuple[int, ...]:
        """The brokers that lose one."""
        return tuple(broker for broker in self.replicas_before if broker not in self.replicas)


@dataclass(frozen=True, slots=True)
class Order:
    """The same replicas of a partition in a new order, with another preferred leader."""

    topic: str
    partition: int
    replicas_before: tuple[int, ...]
    replicas: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsolvable:
    """A partition or a broker for which a goal cannot be reached."""

    goal: Goal
    reason: Reason
    broker_id: int | None = None
    topic: str | None = None
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Moves, sorted by goal; new orders; and what no move can achieve."""

    moves: tuple[Move, ...] = ()
    orders: tuple[Order, ...] = ()
    unsolvable: tuple[Unsolvable, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.moves and not self.orders
