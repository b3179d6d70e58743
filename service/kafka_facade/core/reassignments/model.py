"""Reassignments of partitions, and the requests for them."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.core.request import Request
from kafka_facade.core.topics.model import PartitionRef


@dataclass(slots=True)
class PartitionReassignment:
    """An ongoing reassignment of a partition to other brokers (KIP-455)."""

    cluster_id: str
    topic_name: str
    partition_id: int
    adding_replicas: list[int]
    removing_replicas: list[int]


@dataclass(slots=True)
class ListReassignments(Request[list[PartitionReassignment]]):
    cluster_id: str | None


@dataclass(slots=True)
class ListTopicReassignments(Request[list[PartitionReassignment]]):
    cluster_id: str | None
    topic_name: str


class GetReassignment(PartitionRef, Request[PartitionReassignment]):
    __slots__ = ()
