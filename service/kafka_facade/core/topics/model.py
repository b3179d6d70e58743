"""Topics, partitions and replicas, and the requests for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kafka_facade.core.request import Int64, Many, Request


@dataclass(slots=True)
class Topic:
    """A topic. ``authorized_operations`` (ACL operation names) is filled only when it is asked for (KIP-430)."""

    cluster_id: str
    topic_name: str
    is_internal: bool
    replication_factor: int
    partitions_count: int
    authorized_operations: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Replica:
    """One replica of a partition."""

    cluster_id: str
    topic_name: str
    partition_id: int
    broker_id: int
    is_leader: bool
    is_in_sync: bool


@dataclass(slots=True)
class Partition:
    """A partition; ``leader_id`` is None while it has no leader. ``replicas`` are in order of preference."""

    cluster_id: str
    topic_name: str
    partition_id: int
    leader_id: int | None
    replicas: list[Replica]


@dataclass(slots=True)
class PartitionOffsets:
    """The first offset that can be read, and the next offset to be written."""

    cluster_id: str
    topic_name: str
    partition_id: int
    earliest_offset: int
    latest_offset: int


@dataclass(slots=True)
class LastProducedTime:
    """The largest timestamp of a topic's records, in milliseconds since 1970; None if it has none."""

    cluster_id: str
    topic_name: str
    last_produced_time: Int64 | None


@dataclass(slots=True)
class ListTopics(Request[list[Topic]]):
    cluster_id: str | None
    include_authorized_operations: bool = False


@dataclass(slots=True)
class GetTopic(Request[Topic]):
    cluster_id: str | None
    topic_name: str
    include_authorized_operations: bool = False


@dataclass(slots=True)
class ConfigEntry:
    name: str
    value: str | None


@dataclass(slots=True)
class CreateTopic(Request[Topic]):
    """``replicas_assignments`` maps each partition to its brokers and excludes counts (reference: Topic, Create)."""

    cluster_id: str | None
    topic_name: str
    partitions_count: int | None = None
    replication_factor: int | None = None
    replicas_assignments: dict[int, list[int]] = field(default_factory=dict)
    configs: list[ConfigEntry] = field(default_factory=list)
    validate_only: bool = False


@dataclass(slots=True)
class DeleteTopic(Request[None]):
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class UpdatePartitionCount(Request[Topic]):
    cluster_id: str | None
    topic_name: str
    partitions_count: int


@dataclass(slots=True)
class ListPartitions(Request[Sequence[Partition]]):
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class PartitionRef:
    cluster_id: str | None
    topic_name: str
    partition_id: int


class GetPartition(PartitionRef, Request[Partition]):
    __slots__ = ()


class GetPartitionOffsets(PartitionRef, Request[PartitionOffsets]):
    __slots__ = ()


class ListReplicas(PartitionRef, Request[Sequence[Replica]]):
    __slots__ = ()


@dataclass(slots=True)
class GetLastProducedTime(Request[LastProducedTime]):
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class GetReplica(Request[Replica]):
    cluster_id: str | None
    topic_name: str
    partition_id: int
    broker_id: int


@dataclass(slots=True)
class ListBrokerReplicas(Request[Sequence[Replica]]):
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class TopicDescription:
    """A topic with its partitions, from one metadata answer."""

    topic: Topic
    partitions: list[Partition]


@dataclass(slots=True)
class ListTopicDescriptions(Request[list[TopicDescription]]):
    """All topics but internal ones, ordered by name."""

    cluster_id: str | None


class DescribeTopics(Many[str, TopicDescription]):
    """Topics, by name, with their partitions."""


class ReadAuthorizedOperations(Many[str, list[str]]):
    """What the caller may do with topics, by name (KIP-430)."""


class ReadOffsets(Many[Partition, PartitionOffsets]):
    """The earliest and the latest offsets of partitions."""


class ReadLastProducedTimes(Many[str, LastProducedTime]):
    """The largest timestamps of topics, by name."""


class ReadBrokerReplicas(Many[int, Sequence[Replica]]):
    """The replicas that brokers hold, by id."""
