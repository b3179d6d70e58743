"""The state topic itself: its creation, and whether it can be used."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Final

from kafka_facade.core.errors import (
    FacadeError,
    InvalidKafkaRequest,
    KafkaTimeout,
    StateUnusable,
    TopicAlreadyExists,
    TopicNotFound,
)
from kafka_facade.core.state.port import StateKafka
from kafka_facade.core.topics.model import ConfigEntry, TopicDescription
from kafka_facade.core.topics.port import TopicSpec
from kafka_facade.core.topics.positions import TopicPartition

logger = logging.getLogger("kafka_facade.core")

PARTITION: Final = 0
_REPLICAS: Final = 3
_COMPACT: Final = "compact"
# Small segments, since Kafka never compacts the one that it writes to.
_SEGMENT_BYTES: Final = 16 * 1024 * 1024


class StateTopic:
    """The topic with this name."""

    def __init__(self, kafka: StateKafka, name: str) -> None:
        self._kafka = kafka
        self.name = name

    async def exists(self, timeout: float) -> bool:
        """Return whether the topic exists and can be used.

        Raises StateUnusable for a topic that loses records, KafkaAuthorizationFailed, and other errors of Kafka.
        """
        deadline = time.monotonic() + timeout
        [found] = await self._kafka.admin.describe_topics([self.name], timeout)
        if isinstance(found, TopicNotFound):
            return False
        if isinstance(found, FacadeError):
            raise found
        await self._check(found, deadline)
        return True

    async def create(self, timeout: float) -> None:
        """Create the topic; another gateway may have done so meanwhile."""
        deadline = time.monotonic() + timeout
        _, brokers = await self._kafka.admin.describe_cluster(timeout)
        replicas = min(_REPLICAS, len(brokers))
        while True:
            spec = TopicSpec(self.name, 1, replicas, configs=_configs(replicas))
            try:
                with contextlib.suppress(TopicAlreadyExists):
                    await self._kafka.admin.create_topic(spec, _left(deadline))
                    logger.info("created the state topic %s with %d replicas", self.name, replicas)
            except InvalidKafkaRequest:
                # Brokers that are excluded already get no replica.
                if replicas <= 1:
                    raise
                replicas -= 1
            else:
                return

    async def end(self, timeout: float) -> int:
        """Return the end of all records that readers can see. Raises TopicNotFound."""
        [found] = await self._kafka.groups.end_offsets([TopicPartition(self.name, PARTITION)], timeout)
        if isinstance(found, FacadeError):
            raise found
        return found

    async def _check(self, found: TopicDescription, deadline: float) -> None:
        if len(found.partitions) != 1:
            raise StateUnusable(
                f"The state topic {self.name} has {len(found.partitions)} partitions, but must have one (state.topic)."
            )
        [configs] = await self._kafka.configs.topic_configs([self.name], _left(deadline))
        if isinstance(configs, FacadeError):
            raise configs
        policy = next((config.value for config in configs if config.name == "cleanup.policy"), None)
        if policy != _COMPACT:
            raise StateUnusable(
                f"The state topic {self.name} would lose records: its cleanup.policy is {policy}, not {_COMPACT}."
            )


def _configs(replicas: int) -> list[ConfigEntry]:
    return [
        ConfigEntry("cleanup.policy", _COMPACT),
        ConfigEntry("min.insync.replicas", "2" if replicas >= _REPLICAS else "1"),
        ConfigEntry("unclean.leader.election.enable", "false"),
        ConfigEntry("segment.bytes", str(_SEGMENT_BYTES)),
    ]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise KafkaTimeout
    return left
