"""Reassignments of partitions, and what callers ask of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PartitionReassignment:
    """A partition on its way to other brokers (KIP-455)."""

    cluster_id: str
    topic_name: str
    partition_id: int
    adding_replicas: list[int]
    removing_replicas: list[int]


@dataclass(slots=True)
class ListReassignments:
    cluster_id: str | None


@dataclass(slots=True)
class ListTopicReassignments:
    cluster_id: str | None
    topic_name: str
