"""The interface to a Kafka client that consumer group operations need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.groups.assigned import AssignedPartitions
from kafka_facade.core.groups.model import ConsumerGroupState, ConsumerGroupType
from kafka_facade.core.topics.positions import TopicPartition


@dataclass(slots=True)
class Assigned:
    """The partitions that a member reads, encoded in about ``size`` bytes. ``decode`` blocks if they are many."""

    size: int
    decode: Callable[[], AssignedPartitions]


@dataclass(slots=True)
class MemberDescription:
    """A member of a group."""

    consumer_id: str
    instance_id: str | None
    client_id: str
    assigned: Assigned


@dataclass(slots=True)
class GroupDescription:
    """A consumer group as its coordinator describes it."""

    consumer_group_id: str
    is_simple: bool
    partition_assignor: str
    state: ConsumerGroupState
    type: ConsumerGroupType
    is_mixed: bool
    coordinator_id: int | None
    members: list[MemberDescription]


class GroupPort(Protocol):
    """Consumer groups of one cluster, and how far they have read."""

    async def list_groups(self, timeout: float) -> list[str]:
        """The ids of all consumer groups, unordered, without other kinds of groups (Connect, share groups)."""

    async def describe_groups(self, group_ids: Sequence[str], timeout: float) -> list[GroupDescription | FacadeError]:
        """Describe groups, in order; one that cannot be described is replaced by its error."""

    async def committed_offsets(
        self, group_ids: Sequence[str], timeout: float
    ) -> list[dict[tuple[str, int], int] | FacadeError]:
        """For each group its committed offsets (the next to read), by topic and partition."""

    async def end_offsets(self, partitions: Sequence[TopicPartition], timeout: float) -> list[int | FacadeError]:
        """The last stable offset of each partition, in order: where a reader of committed transactions ends."""
