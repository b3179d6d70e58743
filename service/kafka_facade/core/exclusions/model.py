"""Broker replica exclusions, and the requests for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kafka_facade.core.request import Request


@dataclass(slots=True)
class BrokerReplicaExclusion:
    """A broker that gets no new replicas."""

    cluster_id: str
    broker_id: int
    reason: str


class ExclusionChange(str, Enum):
    """Whether an exclusion is made or removed."""

    SET = "SET"
    DELETE = "DELETE"


@dataclass(slots=True)
class BrokerReplicaExclusionAlteration:
    """The result of the change of one exclusion; the error is None if it was made."""

    cluster_id: str
    broker_id: int
    exclusion: ExclusionChange
    reason: str
    error_code: int | None = None
    error_message: str | None = None


@dataclass(slots=True)
class BrokerReplicaExclusionEntry:
    """A broker, and why it is excluded or not any more."""

    broker_id: int
    reason: str


@dataclass(slots=True)
class ListBrokerReplicaExclusions(Request[Sequence[BrokerReplicaExclusion]]):
    cluster_id: str | None


@dataclass(slots=True)
class GetBrokerReplicaExclusion(Request[BrokerReplicaExclusion]):
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class CreateBrokerReplicaExclusions(Request[Sequence[BrokerReplicaExclusionAlteration]]):
    cluster_id: str | None
    data: list[BrokerReplicaExclusionEntry]


@dataclass(slots=True)
class DeleteBrokerReplicaExclusions(Request[Sequence[BrokerReplicaExclusionAlteration]]):
    cluster_id: str | None
    data: list[BrokerReplicaExclusionEntry]
