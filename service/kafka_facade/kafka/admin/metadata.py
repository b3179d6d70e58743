"""Descriptions of the cluster and of topics through kafka-python, from the metadata of any broker that answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kafka_facade.core.acls.model import AclOperation
from kafka_facade.core.clusters.model import Broker, Cluster
from kafka_facade.core.errors import FacadeError, TopicNotFound
from kafka_facade.core.time_slices import in_slices, sorted_in_slices
from kafka_facade.core.topics.model import Partition, Replica, Topic, TopicDescription
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient

# The first version whose caller decides whether topics are created, and the first with authorized operations (KIP-430).
_VERSION: Final = 4
_OPERATIONS_VERSION: Final = 8
# The core's enum is in the order of Kafka's codes.
_OPERATIONS: Final = [operation.value for operation in AclOperation]


def metadata_request(
    names: Sequence[str] | None, *, authorized_operations: bool = False, min_version: int = _VERSION
) -> Any:
    """Return kafka-python's request for these topics, or for all; loads kafka-python."""
    from kafka.protocol.metadata import MetadataRequest

    return MetadataRequest(
        topics=None if names is None else [MetadataRequest.MetadataRequestTopic(name=name) for name in names],
        allow_auto_topic_creation=False,
        include_cluster_authorized_operations=False,
        include_topic_authorized_operations=authorized_operations,
        min_version=_OPERATIONS_VERSION if authorized_operations else min_version,
    )


class Metadata:
    """Describes the cluster and its topics, each with one request to whichever broker answers."""

    def __init__(self, client: ProtocolClient) -> None:
        self._client = client

    async def describe_cluster(self, timeout: float) -> tuple[Cluster, list[Broker]]:
        """The cluster and its live brokers, ordered by id."""
        answer = await self._client.ask_any(lambda _: metadata_request([]), timeout)
        cluster_id = answer.cluster_id
        cluster = Cluster(cluster_id, answer.controller_id if answer.controller_id >= 0 else None)
        brokers = [Broker(cluster_id, node.node_id, node.host, node.port, node.rack) for node in answer.brokers]
        return cluster, sorted(brokers, key=lambda broker: broker.broker_id)

    async def list_topics(self, timeout: float) -> list[TopicDescription]:
        """All topics with their partitions, ordered by name."""
        answer = await self._client.ask_any(lambda _: metadata_request(None), timeout)
        topics = [topic for topic in answer.topics if not topic.error_code]
        topics = await sorted_in_slices(topics, lambda topic: str(topic.name))
        return [await _described(answer.cluster_id, topic) for topic in topics]

    async def describe_topics(
        self, names: Sequence[str], timeout: float, *, authorized_operations: bool = False
    ) -> list[TopicDescription | FacadeError]:
        """Describe topics, in order; one that cannot be described is replaced by its error."""
        if not names:
            return []
        unique = list(dict.fromkeys(names))
        answer = await self._client.ask_any(
            lambda _: metadata_request(unique, authorized_operations=authorized_operations), timeout
        )
        found: dict[str, TopicDescription | FacadeError] = {}
        for topic in answer.topics:
            found[topic.name] = (
                from_code(topic.error_code, None, topic_name=topic.name)
                if topic.error_code
                else await _described(answer.cluster_id, topic)
            )
        return [found[name] if name in found else TopicNotFound(topic_name=name) for name in names]


async def _described(cluster_id: str, topic: Any) -> TopicDescription:
    name = topic.name

    def read(entry: Any) -> Partition:
        return partition(cluster_id, name, entry.partition_index, entry.leader_id, entry.replica_nodes, entry.isr_nodes)

    partitions = await in_slices(read, topic.partitions)
    codes = sorted(topic.authorized_operations or ())
    operations = [_OPERATIONS[code] for code in codes if code < len(_OPERATIONS)]
    return description(cluster_id, name, topic.is_internal, partitions, operations)


def partition(
    cluster_id: str, topic: str, index: int, leader: int, replicas: Sequence[int], in_sync: Sequence[int]
) -> Partition:
    """Return a partition; a negative ``leader`` means that it has none."""
    return Partition(
        cluster_id,
        topic,
        index,
        leader if leader >= 0 else None,
        [Replica(cluster_id, topic, index, broker, broker == leader, broker in in_sync) for broker in replicas],
    )


def description(
    cluster_id: str, name: str, internal: bool, partitions: list[Partition], operations: list[str]
) -> TopicDescription:
    """Return the description of a topic, with its partitions ordered by id."""
    partitions.sort(key=lambda partition: partition.partition_id)
    replication_factor = len(partitions[0].replicas) if partitions else 0
    topic = Topic(cluster_id, name, internal, replication_factor, len(partitions), operations)
    return TopicDescription(topic, partitions)
