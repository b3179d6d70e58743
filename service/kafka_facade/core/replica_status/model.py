"""The status of replicas, and the requests for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_facade.core.request import Int64, Many, Request


@dataclass(slots=True)
class ReplicaStatus:
    """What a broker has of a partition.

    Offsets are -1 if the broker did not tell them. Times are in milliseconds since 1970-01-01T00:00:00Z, or -1 if they
    are not known: Kafka tells no time at which a follower fetched. Open Kafka has no observers.
    """

    cluster_id: str
    topic_name: str
    broker_id: int
    partition_id: int
    is_leader: bool
    is_observer: bool
    is_isr_eligible: bool
    is_in_isr: bool
    is_caught_up: bool
    log_start_offset: Int64
    log_end_offset: Int64
    last_caught_up_time_ms: Int64
    last_fetch_time_ms: Int64
    link_name: str | None = None


@dataclass(slots=True)
class ListAllReplicaStatuses(Request[Sequence[ReplicaStatus]]):
    cluster_id: str | None


@dataclass(slots=True)
class ListTopicReplicaStatuses(Request[Sequence[ReplicaStatus]]):
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class ListPartitionReplicaStatuses(Request[Sequence[ReplicaStatus]]):
    cluster_id: str | None
    topic_name: str
    partition_id: int


class ReadReplicaStatuses(Many[str, Sequence[ReplicaStatus]]):
    """The statuses of all replicas of topics, by name."""
