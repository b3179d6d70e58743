"""Sort keys of paginated lists: a page starts after the key of the last item of the previous page."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from kafka_facade.core.acls.order import order as acl_order
from kafka_facade.core.catalogue import Operation

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "ClusterService/ListClusters": ("cluster_id",),
    "BrokerService/ListBrokers": ("broker_id",),
    "TopicService/ListTopics": ("topic_name",),
    "PartitionService/ListPartitions": ("partition_id",),
    "ReplicaService/ListBrokerReplicas": ("topic_name", "partition_id"),
    "TopicConfigService/ListTopicConfigs": ("name",),
    "TopicConfigService/ListAllTopicConfigs": ("topic_name", "name"),
    "BrokerConfigService/ListBrokerConfigs": ("name",),
    "BrokerConfigService/ListAllBrokerConfigs": ("broker_id", "name"),
    "ClusterConfigService/ListClusterConfigs": ("name",),
    "ConsumerGroupService/ListConsumerGroups": ("consumer_group_id",),
    "ConsumerGroupService/ListConsumers": ("consumer_id",),
    "ConsumerGroupService/ListConsumerAssignments": ("topic_name", "partition_id"),
    "PartitionReassignmentService/ListPartitionReassignments": ("topic_name", "partition_id"),
    "PartitionReassignmentService/ListTopicPartitionReassignments": ("partition_id",),
}
"""The fields of each list's sort key; lists without an entry are paginated by position."""


def sort_key(operation: Operation) -> Callable[[Any], Any] | None:
    """Return a function for an item's sort key (a JSON value); None for a list paginated by position."""
    method = f"{operation.grpc_service}/{operation.grpc_method}"
    if method == "AclService/ListAcls":
        return acl_order
    fields = FIELDS.get(method)
    if fields is None:
        return None
    if len(fields) == 1:
        return attrgetter(fields[0])
    # A list, because decoding a page token also yields a list.
    return lambda item: [getattr(item, field) for field in fields]
