"""The link table: for each kind of resource its path and its relations.

REST derives ``metadata.self``, ``metadata.resource_name`` and the ``related`` members from it; GraphQL's nested fields
are checked against it. Templates are filled from the attributes of the resource. Paths are relative to ``/v3``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import quote, urlencode

from kafka_facade.core.acls.model import Acl
from kafka_facade.core.balancer.model import AnyUnevenLoad, BalancerStatus
from kafka_facade.core.broker_tasks.model import BrokerRemoval, BrokerTask, RemoveBrokerTask
from kafka_facade.core.clusters.model import Broker, Cluster, ClusterCells
from kafka_facade.core.configs.model import BrokerConfig, ClusterConfig, TopicConfig
from kafka_facade.core.exclusions.model import BrokerReplicaExclusion, BrokerReplicaExclusionAlteration
from kafka_facade.core.groups.model import (
    ConsumerAssignment,
    ConsumerGroup,
    ConsumerGroupLagSummary,
    ConsumerLag,
    GroupMember,
)
from kafka_facade.core.reassignments.model import PartitionReassignment
from kafka_facade.core.replica_status.model import ReplicaStatus
from kafka_facade.core.topics.model import LastProducedTime, Partition, PartitionOffsets, Replica, Topic

# Characters that need no encoding in a path segment (RFC 3986, 3.3).
_SEGMENT = "!$&'()*+,;=:@~"


def path_segment(text: str) -> str:
    """Percent-encode a text as one path segment."""
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe=_SEGMENT)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource.

    ``name`` is the API's ``kind``, ``crn`` the resource name after ``crn:///``, ``list_path`` the path of the
    collection, and ``relations`` maps names to paths. A relation is omitted if an attribute in its path is None.
    A resource without a path of its own, such as an ACL, has a search as its link: ``query`` names the attributes to
    search for, and there is no ``crn``.
    """

    name: str
    type: type[Any]
    path: str
    crn: str
    list_path: str
    relations: Mapping[str, str] = field(default_factory=dict)
    query: tuple[str, ...] = ()

    def resource_name(self, resource: object, authority: str = "") -> str:
        """The Confluent resource name, such as ``crn:///kafka=id/topic=name``."""
        return f"crn://{authority}/{self.crn.format_map(_Attributes(resource))}"

    def self_path(self, resource: object) -> str:
        """The resource's path relative to ``/v3``, with its query."""
        path = self.path.format_map(_Segments(resource))
        return f"{path}?{self.query_of(resource)}" if self.query else path

    def query_of(self, values: object) -> str:
        """The form-encoded query with the attributes of a resource or a request; None becomes an empty value."""
        found = ((name, getattr(values, name)) for name in self.query)
        pairs = ((name, value.value if isinstance(value, Enum) else value or "") for name, value in found)
        return urlencode(list(pairs), safe="*").replace("~", "%7E")

    def related_paths(self, resource: object) -> dict[str, str]:
        """The path of each relation, in the order of the table; if its id is empty, the path of the collection."""
        attributes = _Segments(resource)
        found = {}
        for name, template in self.relations.items():
            try:
                found[name] = template.format_map(attributes).rstrip("/")
            except KeyError:
                continue
        return found


class _Attributes(dict[str, Any]):
    """Provides an object's attributes to ``str.format_map``; an attribute that is None counts as missing."""

    def __init__(self, resource: object) -> None:
        super().__init__()
        self._resource = resource

    def __missing__(self, name: str) -> Any:
        value = getattr(self._resource, name)
        if value is None:
            raise KeyError(name)
        return value


class _Segments(_Attributes):
    """The same, encoded as path segments."""

    def __missing__(self, name: str) -> Any:
        value = super().__missing__(name)
        return path_segment(value) if isinstance(value, str) else value


_CLUSTER = "/clusters/{cluster_id}"
_TOPIC = _CLUSTER + "/topics/{topic_name}"
_PARTITION = _TOPIC + "/partitions/{partition_id}"
_BROKER = _CLUSTER + "/brokers/{broker_id}"
_GROUP = _CLUSTER + "/consumer-groups/{consumer_group_id}"
_CONSUMER = _GROUP + "/consumers/{consumer_id}"
_LAG = _GROUP + "/lags/{topic_name}/partitions/{partition_id}"
_BALANCER = _CLUSTER + "/balancer"
_EXCLUSIONS = _CLUSTER + "/broker-replica-exclusions"

CLUSTER = Kind(
    "KafkaCluster",
    Cluster,
    _CLUSTER,
    "kafka={cluster_id}",
    "/clusters",
    {
        "controller": _CLUSTER + "/brokers/{controller_id}",
        "acls": _CLUSTER + "/acls",
        "brokers": _CLUSTER + "/brokers",
        "broker_configs": _CLUSTER + "/broker-configs",
        "consumer_groups": _CLUSTER + "/consumer-groups",
        "topics": _CLUSTER + "/topics",
        "partition_reassignments": _CLUSTER + "/topics/-/partitions/-/reassignment",
    },
)
BROKER = Kind(
    "KafkaBroker",
    Broker,
    _BROKER,
    "kafka={cluster_id}/broker={broker_id}",
    _CLUSTER + "/brokers",
    {"configs": _BROKER + "/configs", "partition_replicas": _BROKER + "/partition-replicas"},
)
CELLS = Kind("KafkaCells", ClusterCells, _CLUSTER + "/cells", "kafka={cluster_id}", _CLUSTER + "/cells")
TOPIC = Kind(
    "KafkaTopic",
    Topic,
    _TOPIC,
    "kafka={cluster_id}/topic={topic_name}",
    _CLUSTER + "/topics",
    {
        "partitions": _TOPIC + "/partitions",
        "configs": _TOPIC + "/configs",
        "partition_reassignments": _TOPIC + "/partitions/-/reassignment",
    },
)
PARTITION = Kind(
    "KafkaPartition",
    Partition,
    _PARTITION,
    "kafka={cluster_id}/topic={topic_name}/partition={partition_id}",
    _TOPIC + "/partitions",
    {
        "leader": _PARTITION + "/replicas/{leader_id}",
        "replicas": _PARTITION + "/replicas",
        "reassignment": _PARTITION + "/reassignment",
    },
)
PARTITION_OFFSETS = Kind(
    "KafkaPartitionWithOffsets",
    PartitionOffsets,
    _PARTITION + "/offset",
    "kafka={cluster_id}/topic={topic_name}/partition={partition_id}/offset_type=earliest_and_latest",
    _PARTITION + "/offset",
)
LAST_PRODUCED_TIME = Kind(
    "KafkaLastProducedTime",
    LastProducedTime,
    _TOPIC + "/last-produced-time",
    "kafka={cluster_id}/topic={topic_name}/last-produced-time",
    _TOPIC + "/last-produced-time",
)
REPLICA = Kind(
    "KafkaReplica",
    Replica,
    _PARTITION + "/replicas/{broker_id}",
    "kafka={cluster_id}/topic={topic_name}/partition={partition_id}/replica={broker_id}",
    _PARTITION + "/replicas",
    {"broker": _BROKER},
)
TOPIC_CONFIG = Kind(
    "KafkaTopicConfig",
    TopicConfig,
    _TOPIC + "/configs/{name}",
    "kafka={cluster_id}/topic={topic_name}/config={name}",
    _TOPIC + "/configs",
)
CONSUMER_GROUP = Kind(
    "KafkaConsumerGroup",
    ConsumerGroup,
    _GROUP,
    "kafka={cluster_id}/consumer-group={consumer_group_id}",
    _CLUSTER + "/consumer-groups",
    {
        "coordinator": _CLUSTER + "/brokers/{coordinator_id}",
        "consumers": _GROUP + "/consumers",
        "lag_summary": _GROUP + "/lag-summary",
    },
)
CONSUMER = Kind(
    "KafkaConsumer",
    GroupMember,
    _CONSUMER,
    "kafka={cluster_id}/consumer-group={consumer_group_id}/consumer={consumer_id}",
    _GROUP + "/consumers",
    {"assignments": _CONSUMER + "/assignments"},
)
CONSUMER_ASSIGNMENT = Kind(
    "KafkaConsumerAssignment",
    ConsumerAssignment,
    _CONSUMER + "/assignments/{topic_name}/partitions/{partition_id}",
    "kafka={cluster_id}/consumer-group={consumer_group_id}/consumer={consumer_id}"
    "/assignment={topic_name}/partition={partition_id}",
    _CONSUMER + "/assignments",
    {"partition": _PARTITION, "lag": _LAG},
)
CONSUMER_LAG = Kind(
    "KafkaConsumerLag",
    ConsumerLag,
    _LAG,
    "kafka={cluster_id}/consumer-group={consumer_group_id}/lag={topic_name}/partition={partition_id}",
    _GROUP + "/lags",
)
CONSUMER_GROUP_LAG_SUMMARY = Kind(
    "KafkaConsumerGroupLagSummary",
    ConsumerGroupLagSummary,
    _GROUP + "/lag-summary",
    "kafka={cluster_id}/consumer-groups={consumer_group_id}/lag-summary",
    _GROUP + "/lag-summary",
    {
        "max_lag_consumer": _GROUP + "/consumers/{max_lag_consumer_id}",
        "max_lag_partition": _CLUSTER + "/topics/{max_lag_topic_name}/partitions/{max_lag_partition_id}",
    },
)
ACL = Kind(
    "KafkaAcl",
    Acl,
    _CLUSTER + "/acls",
    "",
    _CLUSTER + "/acls",
    query=("resource_type", "resource_name", "pattern_type", "principal", "host", "operation", "permission"),
)
REASSIGNMENT = Kind(
    "KafkaReassignment",
    PartitionReassignment,
    _PARTITION + "/reassignment",
    "kafka={cluster_id}/topic={topic_name}/partition={partition_id}/reassignment",
    _CLUSTER + "/topics/-/partitions/-/reassignment",
    {"replicas": _PARTITION + "/replicas"},
)
BROKER_CONFIG = Kind(
    "KafkaBrokerConfig",
    BrokerConfig,
    _BROKER + "/configs/{name}",
    "kafka={cluster_id}/broker={broker_id}/config={name}",
    _BROKER + "/configs",
)
CLUSTER_CONFIG = Kind(
    "KafkaClusterConfig",
    ClusterConfig,
    _CLUSTER + "/broker-configs/{name}",
    "kafka={cluster_id}/broker-config={name}",
    _CLUSTER + "/broker-configs",
)
REPLICA_STATUS = Kind(
    "KafkaReplicaStatus",
    ReplicaStatus,
    _PARTITION + "/brokers/{broker_id}/replica-status",
    "",
    _CLUSTER + "/topics/-/partitions/-/replica-status",
)
BROKER_REPLICA_EXCLUSION = Kind(
    "KafkaBrokerReplicaExclusion",
    BrokerReplicaExclusion,
    _EXCLUSIONS + "/{broker_id}",
    "kafka={cluster_id}/broker-replica-exclusions={broker_id}",
    _EXCLUSIONS,
    {"broker": _BROKER},
)
BROKER_REPLICA_EXCLUSION_ALTERATION = Kind(
    "KafkaAlterBrokerReplicaExclusion",
    BrokerReplicaExclusionAlteration,
    _EXCLUSIONS + "/{broker_id}",
    "kafka={cluster_id}/broker-replica-exclusions={broker_id}",
    _EXCLUSIONS,
    {"broker": _BROKER},
)
BROKER_REMOVAL = Kind(
    "KafkaBrokerRemoval",
    BrokerRemoval,
    _BROKER,
    "kafka={cluster_id}/broker={broker_id}/",
    _CLUSTER + "/brokers",
    {"broker_task": _BROKER + "/tasks/remove-broker", "broker": _BROKER},
)
BROKER_TASK = Kind(
    "KafkaBrokerTask",
    BrokerTask,
    _BROKER + "/tasks/{task_type}",
    "kafka={cluster_id}/broker={broker_id}/task={task_type}",
    _CLUSTER + "/brokers/-/tasks",
    {"broker": _BROKER},
)
REMOVE_BROKER_TASK = Kind(
    "KafkaRemoveBrokerTask",
    RemoveBrokerTask,
    _CLUSTER + "/remove-broker-tasks/{broker_id}",
    "kafka={cluster_id}/remove-broker-task={broker_id}",
    _CLUSTER + "/remove-broker-tasks",
    {"broker": _BROKER},
)
BALANCER_STATUS = Kind(
    "KafkaBalancerStatus",
    BalancerStatus,
    _BALANCER,
    "kafka={cluster_id}/balancer",
    _BALANCER,
    {"any_uneven_load": _BALANCER + "/any-uneven-load", "broker_tasks": _CLUSTER + "/brokers/-/tasks"},
)
ANY_UNEVEN_LOAD = Kind(
    "KafkaAnyUnevenLoad",
    AnyUnevenLoad,
    _BALANCER + "/any-uneven-load",
    "kafka={cluster_id}/any-uneven-load",
    _BALANCER + "/any-uneven-load",
    {"broker_tasks": _CLUSTER + "/brokers/-/tasks"},
)

KINDS: dict[type[Any], Kind] = {
    kind.type: kind
    for kind in (CLUSTER, BROKER, TOPIC, PARTITION, PARTITION_OFFSETS, REPLICA, TOPIC_CONFIG, ACL, REASSIGNMENT)
}
KINDS |= {
    kind.type: kind
    for kind in (
        CONSUMER_GROUP,
        CONSUMER,
        CONSUMER_ASSIGNMENT,
        CONSUMER_LAG,
        CONSUMER_GROUP_LAG_SUMMARY,
        BROKER_CONFIG,
        CLUSTER_CONFIG,
        REPLICA_STATUS,
        LAST_PRODUCED_TIME,
        CELLS,
        BROKER_REPLICA_EXCLUSION,
        BROKER_REPLICA_EXCLUSION_ALTERATION,
        BROKER_REMOVAL,
        BROKER_TASK,
        REMOVE_BROKER_TASK,
        BALANCER_STATUS,
        ANY_UNEVEN_LOAD,
    )
}
