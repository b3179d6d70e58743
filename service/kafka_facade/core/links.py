"""The link table: each kind of resource, its path, and its relations.

REST draws ``metadata.self``, ``metadata.resource_name`` and the ``related`` members from it, GraphQL its nested fields.
Templates are filled from the attributes of the resource. Paths are below ``/v3``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka_facade.core import resources


@dataclass(frozen=True, slots=True)
class Kind:
    """``name`` is the API's ``kind``, ``crn`` the resource name after ``crn:///``, ``relations`` name to path.

    A relation whose path needs an attribute that is None is left out. ``list_path`` is the collection's own path.
    """

    name: str
    type: type[Any]
    path: str
    crn: str
    list_path: str
    relations: Mapping[str, str] = field(default_factory=dict)

    def resource_name(self, resource: object, authority: str = "") -> str:
        """The Confluent resource name, e.g. ``crn:///kafka=id/topic=name``."""
        return f"crn://{authority}/{self.crn.format_map(_Attributes(resource))}"

    def self_path(self, resource: object) -> str:
        """The resource's path below ``/v3``."""
        return self.path.format_map(_Attributes(resource))

    def related_paths(self, resource: object) -> dict[str, str]:
        """Each relation's path below ``/v3``, in the order of the table."""
        attributes = _Attributes(resource)
        found = {}
        for name, template in self.relations.items():
            try:
                found[name] = template.format_map(attributes)
            except KeyError:
                continue
        return found


class _Attributes(dict[str, Any]):
    """Gives attributes to ``str.format_map``; one that is None counts as missing."""

    def __init__(self, resource: object) -> None:
        super().__init__()
        self._resource = resource

    def __missing__(self, name: str) -> Any:
        value = getattr(self._resource, name)
        if value is None:
            raise KeyError(name)
        return value


_CLUSTER = "/clusters/{cluster_id}"
_TOPIC = _CLUSTER + "/topics/{topic_name}"
_PARTITION = _TOPIC + "/partitions/{partition_id}"
_BROKER = _CLUSTER + "/brokers/{broker_id}"

CLUSTER = Kind(
    "KafkaCluster",
    resources.Cluster,
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
    resources.Broker,
    _BROKER,
    "kafka={cluster_id}/broker={broker_id}",
    _CLUSTER + "/brokers",
    {"configs": _BROKER + "/configs", "partition_replicas": _BROKER + "/partition-replicas"},
)
TOPIC = Kind(
    "KafkaTopic",
    resources.Topic,
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
    resources.Partition,
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
    resources.PartitionOffsets,
    _PARTITION + "/offset",
    "kafka={cluster_id}/topic={topic_name}/partition={partition_id}/offset_type=earliest_and_latest",
    _PARTITION + "/offset",
)
REPLICA = Kind(
    "KafkaReplica",
    resources.Replica,
    _PARTITION + "/replicas/{broker_id}",
    "kafka={cluster_id}/topic={topic_name}/partition={partition_id}/replica={broker_id}",
    _PARTITION + "/replicas",
    {"broker": _BROKER},
)
TOPIC_CONFIG = Kind(
    "KafkaTopicConfig",
    resources.TopicConfig,
    _TOPIC + "/configs/{name}",
    "kafka={cluster_id}/topic={topic_name}/config={name}",
    _TOPIC + "/configs",
)
BROKER_CONFIG = Kind(
    "KafkaBrokerConfig",
    resources.BrokerConfig,
    _BROKER + "/configs/{name}",
    "kafka={cluster_id}/broker={broker_id}/config={name}",
    _BROKER + "/configs",
)
CLUSTER_CONFIG = Kind(
    "KafkaClusterConfig",
    resources.ClusterConfig,
    _CLUSTER + "/broker-configs/{name}",
    "kafka={cluster_id}/broker-config={name}",
    _CLUSTER + "/broker-configs",
)

KINDS: dict[type[Any], Kind] = {
    kind.type: kind
    for kind in (
        CLUSTER,
        BROKER,
        TOPIC,
        PARTITION,
        PARTITION_OFFSETS,
        REPLICA,
        TOPIC_CONFIG,
        BROKER_CONFIG,
        CLUSTER_CONFIG,
    )
}
