"""The resources of the API: slotted, typed values, never changed once made.

Field names are those of the REST API; faces add only their links (see :mod:`kafka_facade.core.links`). They are not
frozen because a Strawberry type can inherit a plain slotted dataclass and no frozen one. Those that are held by the
hundred thousand are structs, which the garbage collector doesn't visit: that would stop the event loop.
Offsets are record counts from 0, sizes are bytes, timestamps are milliseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from msgspec import Struct

from kafka_facade.core.errors import FacadeError


class Format(str, Enum):
    """How a key or a value is embedded (reference: "Content Types" and the ``type`` of v3 records)."""

    BINARY = "BINARY"
    JSON = "JSON"
    STRING = "STRING"
    AVRO = "AVRO"
    JSONSCHEMA = "JSONSCHEMA"
    PROTOBUF = "PROTOBUF"


class SubjectNameStrategy(str, Enum):
    """How the name of a subject follows from the topic and the schema's own name."""

    TOPIC_NAME = "TOPIC_NAME"
    RECORD_NAME = "RECORD_NAME"
    TOPIC_RECORD_NAME = "TOPIC_RECORD_NAME"


class AlterOperation(str, Enum):
    """What an entry of a ``configs:alter`` does (KIP-339)."""

    SET = "SET"
    DELETE = "DELETE"


@dataclass(slots=True)
class Cluster:
    """A Kafka cluster. ``controller_id`` is the broker that metadata names as controller, None while there is none."""

    cluster_id: str
    controller_id: int | None


@dataclass(slots=True)
class Broker:
    """A broker; ``rack`` is None where none is set."""

    cluster_id: str
    broker_id: int
    host: str
    port: int
    rack: str | None


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
class ConfigSynonym:
    """A place that gives a config its value, in order of precedence (KIP-226)."""

    name: str
    value: str | None
    source: str


@dataclass(slots=True, kw_only=True)
class Config:
    """A config; ``value`` is None where it is sensitive; ``source`` is Kafka's ConfigSource name."""

    cluster_id: str
    name: str
    value: str | None
    is_read_only: bool
    is_sensitive: bool
    source: str
    synonyms: list[ConfigSynonym]
    is_default: bool


@dataclass(slots=True, kw_only=True)
class TopicConfig(Config):
    """A config of a topic."""

    topic_name: str


@dataclass(slots=True, kw_only=True)
class BrokerConfig(Config):
    """A config of one broker."""

    broker_id: int


@dataclass(slots=True, kw_only=True)
class ClusterConfig(Config):
    """A dynamic config that all brokers of a cluster share."""

    config_type: str = "BROKER"


class Header(Struct, gc=False):
    """A record header; a name may repeat (KIP-82)."""

    name: str
    value: bytes | None


class Record(Struct, gc=False):
    """A record as Kafka holds it. ``timestamp`` is None where the record has none."""

    topic_name: str
    partition_id: int
    offset: int
    timestamp: int | None
    headers: list[Header]
    key: bytes | None
    value: bytes | None


class DataInfo(Struct, gc=False):
    """What is known of a key or value that was read: its format, and its schema if it has one.

    ``error`` says why its bytes could not be decoded; there is no data then. ``weight`` is what the data have become in
    memory.
    """

    format: Format
    schema_id: int | None = None
    subject: str | None = None
    error: str | None = None
    weight: int = 0


class FetchedRecord(Struct, gc=False):
    """A record with key and value decoded; of those that have a format of their own, the infos say more.

    ``weight`` is what its data have become in memory (see ``DecodingBudget``).
    """

    record: Record
    key: object
    value: object
    key_info: DataInfo | None = None
    value_info: DataInfo | None = None
    weight: int = 0


@dataclass(slots=True)
class DataReport:
    """What became of a key or value: its format and its size in bytes once serialized, -1 for null.

    The subject, the schema's id and its version in the subject are there for formats with schemas.
    """

    type: Format
    size: int
    subject: str | None = None
    schema_id: int | None = None
    schema_version: int | None = None


@dataclass(slots=True)
class RecordReport:
    """The delivery report of one record; ``offset`` is None where brokers don't acknowledge records (``acks=0``)."""

    cluster_id: str
    topic_name: str
    partition_id: int
    offset: int | None
    timestamp: int | None
    key: DataReport | None
    value: DataReport | None


@dataclass(slots=True)
class TopicPartition:
    """A partition by name."""

    topic: str
    partition: int


@dataclass(slots=True)
class PartitionPosition:
    """An offset in a partition: a position to seek to, or the last record to commit and a text to keep with it."""

    topic: str
    partition: int
    offset: int
    metadata: str = ""


@dataclass(slots=True)
class PartitionTime:
    """A time in a partition, in milliseconds since 1970."""

    topic: str
    partition: int
    timestamp: int


@dataclass(slots=True)
class CommittedOffset:
    """The next offset that the group will read, as committed."""

    topic: str
    partition: int
    offset: int
    metadata: str


@dataclass(slots=True)
class ConsumerInstance:
    """A consumer instance of a group, living in this gateway. Times are milliseconds."""

    group: str
    instance_id: str
    format: Format
    auto_offset_reset: str
    auto_commit: bool
    fetch_min_bytes: int
    request_timeout_ms: int


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


@dataclass(slots=True)
class GroupMember:
    """A consumer of a group, which may run anywhere; ``instance_id`` (KIP-345) is None where it is no static member.

    ``assignments`` are ordered by topic and partition.
    """

    cluster_id: str
    consumer_group_id: str
    consumer_id: str
    instance_id: str | None
    client_id: str
    assignments: list[ConsumerAssignment]


@dataclass(slots=True)
class ConsumerGroup:
    """A consumer group; ``coordinator_id`` is the broker that keeps it, ``consumers`` are ordered by id.

    ``is_simple`` groups only keep offsets. ``partition_assignor`` is empty while a classic group isn't stable.
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


@dataclass(slots=True)
class ConsumerLag:
    """How far a group is behind in a partition, in records, never negative.

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
    """The largest lag of a group, where it is, and the sum of all; ids as in :class:`ConsumerLag`."""

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
class ServerInfo:
    """The gateway itself."""

    name: str
    version: str


class AclResourceType(str, Enum):
    """What an ACL protects (org.apache.kafka.common.resource.ResourceType); ANY stands in filters only."""

    UNKNOWN = "UNKNOWN"
    ANY = "ANY"
    TOPIC = "TOPIC"
    GROUP = "GROUP"
    CLUSTER = "CLUSTER"
    TRANSACTIONAL_ID = "TRANSACTIONAL_ID"
    DELEGATION_TOKEN = "DELEGATION_TOKEN"
    USER = "USER"


class AclPatternType(str, Enum):
    """How an ACL's resource name is matched (KIP-290); ANY and MATCH stand in filters only."""

    UNKNOWN = "UNKNOWN"
    ANY = "ANY"
    MATCH = "MATCH"
    LITERAL = "LITERAL"
    PREFIXED = "PREFIXED"


class AclOperation(str, Enum):
    """What an ACL speaks of (org.apache.kafka.common.acl.AclOperation); ANY stands in filters only."""

    UNKNOWN = "UNKNOWN"
    ANY = "ANY"
    ALL = "ALL"
    READ = "READ"
    WRITE = "WRITE"
    CREATE = "CREATE"
    DELETE = "DELETE"
    ALTER = "ALTER"
    DESCRIBE = "DESCRIBE"
    CLUSTER_ACTION = "CLUSTER_ACTION"
    DESCRIBE_CONFIGS = "DESCRIBE_CONFIGS"
    ALTER_CONFIGS = "ALTER_CONFIGS"
    IDEMPOTENT_WRITE = "IDEMPOTENT_WRITE"
    CREATE_TOKENS = "CREATE_TOKENS"
    DESCRIBE_TOKENS = "DESCRIBE_TOKENS"
    TWO_PHASE_COMMIT = "TWO_PHASE_COMMIT"


class AclPermission(str, Enum):
    """What an ACL says (org.apache.kafka.common.acl.AclPermissionType); ANY stands in filters only."""

    UNKNOWN = "UNKNOWN"
    ANY = "ANY"
    DENY = "DENY"
    ALLOW = "ALLOW"


@dataclass(slots=True)
class Acl:
    """An entry of the access control lists; an UNKNOWN is a value that Kafka has and this version hasn't."""

    cluster_id: str
    resource_type: AclResourceType
    resource_name: str
    pattern_type: AclPatternType
    principal: str
    host: str
    operation: AclOperation
    permission: AclPermission


@dataclass(slots=True)
class PartitionReassignment:
    """A partition on its way to other brokers (KIP-455)."""

    cluster_id: str
    topic_name: str
    partition_id: int
    adding_replicas: list[int]
    removing_replicas: list[int]


@dataclass(slots=True)
class TopicConfigFailure:
    """A topic whose configs were not altered, where those of others were."""

    topic_name: str
    error: FacadeError


@dataclass(slots=True)
class SchemaIds:
    """The ids of the schemas that the keys and the values of some records have; None where no schema was given."""

    key_schema_id: int | None
    value_schema_id: int | None
