"""The family's operations."""

from __future__ import annotations

from typing import cast

from faces.added_operation.model import GetTopicSize, ListTopicSizes, TopicSize, TrimTopic
from faces.added_operation.port import SizePort
from kafka_facade.core.call import Call
from kafka_facade.core.errors import FacadeError, InvalidRequest
from kafka_facade.core.registry import implements
from kafka_facade.core.topics.model import TopicDescription
from kafka_facade.core.topics.positions import TopicPartition


class TopicSizes:
    """Operations on the sizes of topics."""

    @implements("api.v3.topic-sizes.list")
    async def list_sizes(self, call: Call, request: ListTopicSizes) -> list[TopicSize]:
        await call.kafka.cluster.check(request.cluster_id, call)
        return [await _size(call, described) for described in await call.kafka.admin.list_topics(call.remaining)]

    @implements("api.v3.topic-sizes.get")
    async def get_size(self, call: Call, request: GetTopicSize) -> TopicSize:
        await call.kafka.cluster.check(request.cluster_id, call)
        [described] = await call.kafka.admin.describe_topics([request.topic_name], call.remaining)
        if isinstance(described, FacadeError):
            raise described
        return await _size(call, described)

    @implements("api.v3.topic-sizes.trim")
    async def trim(self, call: Call, request: TrimTopic) -> TopicSize:
        found = await self.get_size(call, GetTopicSize(request.cluster_id, request.topic_name))
        for index, entry in enumerate(request.partitions):
            if entry.before_offset < 0:
                raise InvalidRequest("An offset is never negative.", field=f"partitions[{index}].before_offset")
        if request.validate_only:
            return found
        await cast(SizePort, call.kafka.admin).trim(request.topic_name, request.partitions, call.remaining)
        return await self.get_size(call, GetTopicSize(request.cluster_id, request.topic_name))


async def _size(call: Call, described: TopicDescription) -> TopicSize:
    topic = described.topic
    places = [TopicPartition(topic.topic_name, entry.partition_id) for entry in described.partitions]
    count = 0
    for offsets in await call.kafka.admin.offsets(places, call.remaining):
        if isinstance(offsets, FacadeError):
            raise offsets
        count += offsets[1] - offsets[0]
    return TopicSize(topic.cluster_id, topic.topic_name, count)
