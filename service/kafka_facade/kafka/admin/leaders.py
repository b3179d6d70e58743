"""Lookup of partition leaders in the metadata of any broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import FacadeError, LeaderNotAvailable, PartitionNotFound
from kafka_facade.kafka.admin.metadata import metadata_request
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

        answer = await self._client.ask_any(lambda _: metadata_request(names), timeout)
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
