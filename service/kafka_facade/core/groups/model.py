"""Consumer groups, their members and their lag, and the requests for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import overload

from kafka_facade.core.groups.assigned import AssignedPartitions
from kafka_facade.core.ordered import find_in_order
from kafka_facade.core.request import Many, Request


class ConsumerGroupState(str, Enum):
    """The state of a group, as Kafka calls it (KIP-518, KIP-848)."""

    UNKNOWN = "UNKNOWN"
    PREPARING_REBALANCE = "PREPARING_REBALANCE"
    COMPLETING_REBALANCE = "COMPLETING_REBALANCE"
    STABLE = "STABLE"
    DEAD = "DEAD"
    EMPTY = "EMPTY"
    ASSIGNING = "ASSIGNING"
    RECONCILING = "RECONCILING"


class ConsumerGroupType(str, Enum):
    """The protocol that a group speaks: the classic one, or that of KIP-848."""

    UNKNOWN = "UNKNOWN"
    CLASSIC = "CLASSIC"
    CONSUMER = "CONSUMER"


@dataclass(slots=True)
class ConsumerAssignment:
    """A partition that a member of a group reads."""

    cluster_id: str
    consumer_group_id: str
    consumer_id: str
    topic_name: str
    partition_id: int


class ConsumerAssignments(Sequence[ConsumerAssignment]):
    """The partitions that a member reads, ordered by topic and partition. Entries are made when they are needed."""

    __slots__ = ("_ids", "partitions")

    def __init__(self, ids: tuple[str, str, str], partitions: AssignedPartitions) -> None:
        self._ids = ids
        self.partitions = partitions

    def __len__(self) -> int:
        return len(self.partitions)

    @overload
    def __getitem__(self, place: int) -> ConsumerAssignment: ...

    @overload
    def __getitem__(self, place: slice) -> list[ConsumerAssignment]: ...

    def __getitem__(self, place: int | slice) -> ConsumerAssignment | list[ConsumerAssignment]:
        """Return an entry, or some."""
        places = range(len(self.partitions))[place]
        return self._make(places) if isinstance(places, int) else [self._make(one) for one in places]

    def __iter__(self) -> Iterator[ConsumerAssignment]:
        for entry in self.partitions:
            yield ConsumerAssignment(*self._ids, entry.topic, entry.partition)

    def find(self, topic: str, partition: int) -> ConsumerAssignment | None:
        """Return the entry of a partition; None if the member does not read it."""
        place = self.partitions.place_of(topic, partition)
        return None if place is None else self._make(place)

    def _make(self, place: int) -> ConsumerAssignment:
        entry = self.partitions[place]
        return ConsumerAssignment(*self._ids, entry.topic, entry.partition)


@dataclass(slots=True)
class GroupMember:
    """A consumer of a group, which may run anywhere; ``instance_id`` (KIP-345) is None unless it is a static member.

    ``assignments`` returns the partitions that it reads, ordered by topic and partition. The first call decodes them,
    since there may be many. Raises Unavailable if too many calls decode large ones.
    """

    cluster_id: str
    consumer_group_id: str
    consumer_id: str
    instance_id: str | None
    client_id: str
    assignments: Callable[[], Awaitable[ConsumerAssignments]]


@dataclass(slots=True)
class ConsumerGroup:
    """A consumer group; ``coordinator_id`` is the broker that keeps it, ``consumers`` are ordered by id.

    ``is_simple`` groups only keep offsets. ``partition_assignor`` is empty while a classic group is not stable.
    """

    cluster_id: str
    consumer_group_id: str
    is_simple: bool
    partition_assignor: str
    state: ConsumerGroupState
    type: ConsumerGroupType
    is_mixed_consumer_group: bool
    coordinator_id: int | None
    consumers: list[GroupMember]


def member_of(group: ConsumerGroup, consumer_id: str) -> GroupMember | None:
    """Return the member of a group with an id; None if there is none."""
    return find_in_order(group.consumers, consumer_id, attrgetter("consumer_id"))


@dataclass(slots=True)
class ConsumerLag:
    """The lag of a group in a partition, in records, never negative.

    ``log_end_offset`` is what a reader of committed transactions can reach. The ids of the consumer are empty, and
    ``instance_id`` None, where no member reads the partition.
    """

    cluster_id: str
    consumer_group_id: str
    topic_name: str
    partition_id: int
    consumer_id: str
    instance_id: str | None
    client_id: str
    current_offset: int
    log_end_offset: int
    lag: int


@dataclass(slots=True)
class ConsumerGroupLagSummary:
    """The largest lag of a group with its location, and the total lag; ids as in :class:`ConsumerLag`."""

    cluster_id: str
    consumer_group_id: str
    max_lag_consumer_id: str
    max_lag_instance_id: str | None
    max_lag_client_id: str
    max_lag_topic_name: str
    max_lag_partition_id: int
    max_lag: int
    total_lag: int


@dataclass(slots=True)
class ListConsumerGroups(Request[list[ConsumerGroup]]):
    cluster_id: str | None


@dataclass(slots=True)
class GroupRef:
    cluster_id: str | None
    consumer_group_id: str


class GetConsumerGroup(GroupRef, Request[ConsumerGroup]):
    __slots__ = ()


class ListConsumers(GroupRef, Request[Sequence[GroupMember]]):
    __slots__ = ()


class ListConsumerLags(GroupRef, Request[Sequence[ConsumerLag]]):
    __slots__ = ()


class GetLagSummary(GroupRef, Request[ConsumerGroupLagSummary]):
    __slots__ = ()


@dataclass(slots=True)
class MemberRef:
    cluster_id: str | None
    consumer_group_id: str
    consumer_id: str


class GetConsumer(MemberRef, Request[GroupMember]):
    __slots__ = ()


class ListConsumerAssignments(MemberRef, Request[Sequence[ConsumerAssignment]]):
    __slots__ = ()


@dataclass(slots=True)
class GetConsumerAssignment(Request[ConsumerAssignment]):
    cluster_id: str | None
    consumer_group_id: str
    consumer_id: str
    topic_name: str
    partition_id: int


@dataclass(slots=True)
class GetConsumerLag(Request[ConsumerLag]):
    cluster_id: str | None
    consumer_group_id: str
    topic_name: str
    partition_id: int


class DescribeGroups(Many[str, ConsumerGroup]):
    """Consumer groups, by id, with their members."""


class ReadLags(Many[ConsumerGroup, Sequence[ConsumerLag]]):
    """The lags of groups; empty for a group without a commit."""
