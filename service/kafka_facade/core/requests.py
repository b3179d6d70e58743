"""What callers ask of the core: one type an operation, decoded by a face.

``timeout`` and ``*_ms`` are milliseconds unless a name says otherwise; None means that the caller left it out, and of
``cluster_id`` the cluster behind the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.resources import (
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
    AlterOperation,
    Format,
    Header,
    PartitionPosition,
    PartitionTime,
    SubjectNameStrategy,
    TopicPartition,
)


@dataclass(slots=True)
class GetCluster:
    cluster_id: str | None


@dataclass(slots=True)
class ListBrokers:
    cluster_id: str | None


@dataclass(slots=True)
class GetBroker:
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class ListTopics:
    cluster_id: str | None
    include_authorized_operations: bool = False


@dataclass(slots=True)
class GetTopic:
    cluster_id: str | None
    topic_name: str
    include_authorized_operations: bool = False


@dataclass(slots=True)
class ConfigEntry:
    name: str
    value: str | None


@dataclass(slots=True)
class CreateTopic:
    """``replicas_assignments`` maps each partition to its brokers and excludes counts (reference: Topic, Create)."""

    cluster_id: str | None
    topic_name: str
    partitions_count: int | None = None
    replication_factor: int | None = None
    replicas_assignments: dict[int, list[int]] = field(default_factory=dict)
    configs: list[ConfigEntry] = field(default_factory=list)
    validate_only: bool = False


@dataclass(slots=True)
class DeleteTopic:
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class UpdatePartitionCount:
    cluster_id: str | None
    topic_name: str
    partitions_count: int


@dataclass(slots=True)
class ListPartitions:
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class GetPartition:
    cluster_id: str | None
    topic_name: str
    partition_id: int


@dataclass(slots=True)
class GetReplica:
    cluster_id: str | None
    topic_name: str
    partition_id: int
    broker_id: int


@dataclass(slots=True)
class ListBrokerReplicas:
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class ListTopicConfigs:
    """``topic_name`` None lists the configs of all topics."""

    cluster_id: str | None
    topic_name: str | None = None


@dataclass(slots=True)
class GetTopicConfig:
    cluster_id: str | None
    topic_name: str
    name: str


@dataclass(slots=True)
class UpdateTopicConfig:
    cluster_id: str | None
    topic_name: str
    name: str
    value: str | None


@dataclass(slots=True)
class ResetTopicConfig:
    cluster_id: str | None
    topic_name: str
    name: str


@dataclass(slots=True)
class ConfigAlteration:
    name: str
    value: str | None = None
    operation: AlterOperation = AlterOperation.SET


@dataclass(slots=True)
class AlterTopicConfigs:
    cluster_id: str | None
    topic_name: str
    data: list[ConfigAlteration]
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class SchemaSelector:
    """Which schema: at most one of ``schema_id``, ``schema_version`` and ``schema`` (its text), or else the latest.

    The subject is that of a strategy (TOPIC_NAME, RECORD_NAME, TOPIC_RECORD_NAME; by default TOPIC_NAME) unless it is
    given.
    """

    schema_id: int | None = None
    schema_version: int | None = None
    schema: str | None = None
    subject: str | None = None
    subject_name_strategy: SubjectNameStrategy | None = None


class RecordData(Struct, gc=False):
    """A key or value to embed.

    ``data`` is bytes or base64 text for BINARY, text for STRING, any JSON value (None, bool, int, float, str, list,
    dict) for JSON and the formats with schemas; None is a null, which a schema encodes or refuses. Without a
    ``format`` it is that of the schema. Formats with schemas need a ``schema``, others have none.
    """

    format: Format | None
    data: object
    schema: SchemaSelector | None = None


class RecordToProduce(Struct, gc=False):
    """One record; ``timestamp`` None lets the producer set it, ``partition_id`` None lets the partitioner choose."""

    key: RecordData | None = None
    value: RecordData | None = None
    partition_id: int | None = None
    headers: Sequence[Header] = ()
    timestamp: int | None = None


class RecordOrder:
    """What the requests of one stream have in common: in each partition their records keep the requests' order."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last: Any = None
        """The producer's own: what it got last."""


class ProduceRecords(Struct):
    """``all_or_nothing`` (the v2 API) lets the first bad record fail the request before any is sent."""

    cluster_id: str | None
    topic_name: str
    records: list[RecordToProduce]
    all_or_nothing: bool = False
    order: RecordOrder | None = None


@dataclass(slots=True)
class ConsumeRecords:
    """Read a topic from a start, then follow it.

    ``start`` is ``earliest``, ``latest``, ``offset`` (``offset``; a partition that doesn't reach it starts at its end)
    or ``timestamp`` (``timestamp``; past the end is the end). ``partitions`` empty means all. ``follow`` False ends
    the stream at the offsets that were the end when it began. ``max_records`` and ``max_bytes`` (as
    :mod:`kafka_facade.core.sizes` counts them) bound what is handed over at once.
    """

    cluster_id: str | None
    topic_name: str
    partitions: list[int] = field(default_factory=list)
    start: str = "latest"
    offset: int = 0
    timestamp: int = 0
    follow: bool = True
    max_records: int = 500
    max_bytes: int = 1024 * 1024


@dataclass(slots=True)
class CreateConsumer:
    """``name`` None generates one; texts are as the caller gave them and are checked by the core (42204)."""

    group: str
    name: str | None = None
    format: str | None = None
    auto_offset_reset: str | None = None
    auto_commit_enable: str | None = None
    fetch_min_bytes: str | None = None
    request_timeout_ms: str | None = None

    @property
    def instance(self) -> str:
        """The name, under what other requests call it."""
        return self.name or ""


@dataclass(slots=True)
class ConsumerRef:
    group: str
    instance: str


@dataclass(slots=True)
class SubscribeConsumer:
    group: str
    instance: str
    topics: list[str] = field(default_factory=list)
    topic_pattern: str | None = None


@dataclass(slots=True)
class AssignConsumer:
    group: str
    instance: str
    partitions: list[TopicPartition]


@dataclass(slots=True)
class ReadFormats:
    """How keys and values are decoded; None is by the schema whose id they begin with."""

    key: Format | None
    value: Format | None


@dataclass(slots=True)
class FetchRecords:
    """``format`` is what the caller accepts, None where it takes any; timeout and max_bytes only lower the defaults.

    ``max_bytes`` counts keys and values, ``max_answer_bytes`` whole records as :mod:`kafka_facade.core.sizes` does.
    A record that is larger is returned alone, unless it is more than ``max_record_bytes`` too, counted the same way.
    With ``at_once`` the read ends as soon as it has what is there, unless the instance wants a least number of bytes.
    ``formats`` decodes keys and values otherwise than the instance says, and records that can't be decoded are returned
    as such; without it they fail the read.
    """

    group: str
    instance: str
    format: Format | None = None
    timeout_ms: int | None = None
    max_bytes: int | None = None
    max_answer_bytes: int | None = None
    max_record_bytes: int | None = None
    at_once: bool = False
    formats: ReadFormats | None = None


@dataclass(slots=True)
class CommitOffsets:
    """``offsets`` None commits the current position of each partition; offset n commits n + 1, the next to read."""

    group: str
    instance: str
    offsets: list[PartitionPosition] | None = None


@dataclass(slots=True)
class ConsumerPartitions:
    group: str
    instance: str
    partitions: list[TopicPartition]


@dataclass(slots=True)
class SeekConsumer:
    """``times`` lead to the first record at or after them, or to the end where there is none."""

    group: str
    instance: str
    offsets: list[PartitionPosition]
    times: list[PartitionTime] = field(default_factory=list)


@dataclass(slots=True)
class GetServerInfo:
    pass


@dataclass(slots=True)
class ListConsumerGroups:
    cluster_id: str | None


@dataclass(slots=True)
class GetConsumerGroup:
    cluster_id: str | None
    consumer_group_id: str


@dataclass(slots=True)
class GetConsumer:
    cluster_id: str | None
    consumer_group_id: str
    consumer_id: str


@dataclass(slots=True)
class GetConsumerAssignment:
    cluster_id: str | None
    consumer_group_id: str
    consumer_id: str
    topic_name: str
    partition_id: int


@dataclass(slots=True)
class GetConsumerLag:
    cluster_id: str | None
    consumer_group_id: str
    topic_name: str
    partition_id: int


@dataclass(slots=True)
class AclBinding:
    """An ACL without its cluster; UNKNOWN is a type that wasn't given, or that this version hasn't."""

    resource_type: AclResourceType = AclResourceType.UNKNOWN
    resource_name: str = ""
    pattern_type: AclPatternType = AclPatternType.UNKNOWN
    principal: str = ""
    host: str = ""
    operation: AclOperation = AclOperation.UNKNOWN
    permission: AclPermission = AclPermission.UNKNOWN


@dataclass(slots=True)
class ListAcls:
    """A filter; a text that is None or empty matches everything, as ANY does."""

    cluster_id: str | None
    resource_type: AclResourceType = AclResourceType.ANY
    resource_name: str | None = None
    pattern_type: AclPatternType = AclPatternType.ANY
    principal: str | None = None
    host: str | None = None
    operation: AclOperation = AclOperation.ANY
    permission: AclPermission = AclPermission.ANY


@dataclass(slots=True)
class DeleteAcls:
    """The same filter, whose types must be given: UNKNOWN is one that wasn't."""

    cluster_id: str | None
    resource_type: AclResourceType = AclResourceType.UNKNOWN
    resource_name: str | None = None
    pattern_type: AclPatternType = AclPatternType.UNKNOWN
    principal: str | None = None
    host: str | None = None
    operation: AclOperation = AclOperation.UNKNOWN
    permission: AclPermission = AclPermission.UNKNOWN


@dataclass(slots=True)
class CreateAcl:
    """An ACL to create; UNKNOWN is a type that wasn't given."""

    cluster_id: str | None
    resource_type: AclResourceType = AclResourceType.UNKNOWN
    resource_name: str = ""
    pattern_type: AclPatternType = AclPatternType.UNKNOWN
    principal: str = ""
    host: str = ""
    operation: AclOperation = AclOperation.UNKNOWN
    permission: AclPermission = AclPermission.UNKNOWN


@dataclass(slots=True)
class BatchCreateAcls:
    """ACLs to create together."""

    cluster_id: str | None
    data: list[AclBinding]


@dataclass(slots=True)
class BatchEntry:
    """A record with an id of the caller's; a record that couldn't be read is its error."""

    id: str
    record: RecordToProduce | FacadeError


@dataclass(slots=True)
class BatchProduceRecords:
    """Records whose outcomes are told by their ids."""

    cluster_id: str | None
    topic_name: str
    entries: list[BatchEntry]


@dataclass(slots=True)
class ListReassignments:
    cluster_id: str | None


@dataclass(slots=True)
class ListTopicReassignments:
    cluster_id: str | None
    topic_name: str


@dataclass(slots=True)
class TopicConfigAlterations:
    topic_name: str
    configs: list[ConfigAlteration]


@dataclass(slots=True)
class AlterMultipleTopicConfigs:
    """Of entries for the same topic the last one counts."""

    cluster_id: str | None
    data: list[TopicConfigAlterations]
    validate_only: bool = False


@dataclass(slots=True)
class ListBrokerConfigs:
    cluster_id: str | None
    broker_id: int


@dataclass(slots=True)
class ListAllBrokerConfigs:
    cluster_id: str | None


@dataclass(slots=True)
class GetBrokerConfig:
    cluster_id: str | None
    broker_id: int
    name: str


@dataclass(slots=True)
class UpdateBrokerConfig:
    cluster_id: str | None
    broker_id: int
    name: str
    value: str | None


@dataclass(slots=True)
class ResetBrokerConfig:
    cluster_id: str | None
    broker_id: int
    name: str


@dataclass(slots=True)
class AlterBrokerConfigs:
    cluster_id: str | None
    broker_id: int
    data: list[ConfigAlteration]
    validate_only: bool = False


@dataclass(slots=True)
class ListClusterConfigs:
    cluster_id: str | None


@dataclass(slots=True)
class GetClusterConfig:
    cluster_id: str | None
    name: str


@dataclass(slots=True)
class UpdateClusterConfig:
    cluster_id: str | None
    name: str
    value: str | None


@dataclass(slots=True)
class ResetClusterConfig:
    cluster_id: str | None
    name: str


@dataclass(slots=True)
class AlterClusterConfigs:
    cluster_id: str | None
    data: list[ConfigAlteration]
    validate_only: bool = False


@dataclass(slots=True)
class ProduceWithSchemas:
    """Records (the v2 API) whose keys have one schema and whose values have one; their ``RecordData`` have none.

    A selector is None where the caller gave no schema; it names one by id or by its text.
    """

    topic_name: str
    format: Format
    records: list[RecordToProduce]
    key_schema: SchemaSelector | None = None
    value_schema: SchemaSelector | None = None
