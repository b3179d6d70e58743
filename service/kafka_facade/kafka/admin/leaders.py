"""Lookup of partition leaders in the metadata of any broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import FacadeError, LeaderNotAvailable, PartitionNotFound
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient

Place = tuple[str, int]
Leader = int | FacadeError


class Leaders:
    """Finds the leaders of partitions, with one request for all topics."""

    def __init__(self, client: ProtocolClient) -> None:
        self._client = client

    async def find(self, places: Sequence[Place], timeout: float) -> dict[Place, Leader]:
        """The leader of each partition, or the error if there is none."""
        names = list(dict.fromkeys(topic for topic, _ in places))

        def build(_admin: Any) -> Any:
            from kafka.protocol.metadata import MetadataRequest

            topics = [MetadataRequest.MetadataRequestTopic(name=name) for name in names]
            return MetadataRequest(
                topics=topics,
                allow_auto_topic_creation=False,
                include_cluster_authorized_operations=False,
                include_topic_authorized_operations=False,
                min_version=4,
            )

        answer = await self._client.send(build, timeout)
        topics: dict[str, FacadeError | dict[int, Leader]] = {topic.name: _leaders(topic) for topic in answer.topics}
        found: dict[Place, Leader] = {}
        for name, partition in places:
            leaders = topics.get(name, {})
            if isinstance(leaders, FacadeError):
                found[name, partition] = leaders
            else:
                found[name, partition] = leaders.get(partition, PartitionNotFound(topic_name=name))
        return found


def _leaders(topic: Any) -> FacadeError | dict[int, Leader]:
    if topic.error_code:
        return from_code(topic.error_code, None, topic_name=topic.name)
    return {
        partition.partition_index: LeaderNotAvailable(topic_name=topic.name)
        if partition.leader_id < 0 or partition.error_code == ClientError.LEADER_NOT_AVAILABLE
        else partition.leader_id
        for partition in topic.partitions
    }
