"""Commits for groups without members."""

import asyncio

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

_SECONDS = 20


async def commit(bootstrap_servers: str, groups: list[str], topic: str, offset: int) -> None:
    """Commit for a group without members, as tools do. Retries until the cluster's first coordinators are available."""
    left = set(groups)
    async with asyncio.timeout(_SECONDS * 2):
        while left:
            admin = AdminClient({"bootstrap.servers": bootstrap_servers})
            commits = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, offset)]) for group in left]
            futures = [admin.alter_consumer_group_offsets([one], request_timeout=5)[one.group_id] for one in commits]
            for answer in await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True):
                if not isinstance(answer, BaseException) and answer.topic_partitions[0].error is None:
                    left.remove(answer.group_id)
