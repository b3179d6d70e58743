"""Descriptions of the cluster and of topics through librdkafka."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from kafka_facade.core.clusters.model import Broker, Cluster
from kafka_facade.core.errors import FacadeError, KafkaTimeout
from kafka_facade.core.time_slices import in_slices, time_slice
from kafka_facade.core.topics.model import Partition, TopicDescription
from kafka_facade.kafka.admin.metadata import description, partition
from kafka_facade.kafka.blocking import Blocking, positive, settled, settled_topics
from kafka_facade.kafka.errors import from_exception

_T = TypeVar("_T")

# org.apache.kafka.common.internals.Topic: the topics that brokers call internal.
_INTERNAL_TOPICS: Final = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
# First timeout (s) for an answer, after which the request is retried with a longer one: the broker may hang.
_ANSWER_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.1
# Maximum number of topics per call, because the client blocks in proportion to it.
_TOPICS_A_CALL: Final = 500


class ClientMetadata:
    """The interface of :class:`Metadata`, over librdkafka."""

    def __init__(self, client: AdminClient, blocking: Blocking) -> None:
        self._client = client
        self._blocking = blocking
        self._cluster_id: str | None = None

    async def describe_cluster(self, timeout: float) -> tuple[Cluster, list[Broker]]:
        """The cluster and its live brokers, ordered by id."""
        found = await _in_parts(
            timeout, lambda left: settled(self._client.describe_cluster(request_timeout=positive(left)), left)
        )
        controller = found.controller
        cluster = Cluster(found.cluster_id, controller.id if controller is not None and controller.id >= 0 else None)
        brokers = [Broker(found.cluster_id, node.id, node.host, node.port, node.rack) for node in found.nodes]
        return cluster, sorted(brokers, key=lambda broker: broker.broker_id)

    async def list_topics(self, timeout: float) -> list[TopicDescription]:
        """All topics with their partitions, ordered by name, from one metadata request."""
        cluster_id = await self._own_id(timeout)
        found = await _in_parts(
            timeout, lambda left: self._blocking.run(left, self._client.list_topics, timeout=positive(left))
        )
        topics = sorted((name, topic) for name, topic in found.topics.items() if topic.error is None)
        return [await _listed(cluster_id, name, topic) for name, topic in topics]

    async def describe_topics(
        self, names: Sequence[str], timeout: float, *, authorized_operations: bool = False
    ) -> list[TopicDescription | FacadeError]:
        """Describe topics, in order; one that cannot be described is replaced by its error."""
        if not names:
            return []
        unique = list(dict.fromkeys(names))
        cluster_id = await self._own_id(timeout)
        answers: dict[str, Any] = {}

        async def ask(left: float) -> None:
            wanted = [name for name in unique if isinstance(answers.get(name, KafkaTimeout()), KafkaTimeout)]
            futures: dict[str, Future[Any]] = {}
            for start in range(0, len(wanted), _TOPICS_A_CALL):
                await time_slice()
                futures |= self._client.describe_topics(
                    TopicCollection(wanted[start : start + _TOPICS_A_CALL]),
                    include_authorized_operations=authorized_operations,
                    request_timeout=positive(left),
                )
            answers.update(await settled_topics(futures, left))
            if any(isinstance(answer, KafkaTimeout) for answer in answers.values()):
                raise KafkaTimeout

        with contextlib.suppress(KafkaTimeout):
            await _in_parts(timeout, ask)
        return [await _described(cluster_id, name, answers[name]) for name in names]

    async def _own_id(self, timeout: float) -> str:
        """The id of the cluster, which never changes; descriptions of topics lack it."""
        if self._cluster_id is None:
            cluster, _ = await self.describe_cluster(timeout)
            self._cluster_id = cluster.cluster_id
        return self._cluster_id


async def _in_parts(timeout: float, ask: Callable[[float], Awaitable[_T]]) -> _T:
    """Retry a request that any broker can answer, with increasing timeouts; a retry may go to another broker."""
    deadline = time.monotonic() + timeout
    part = _ANSWER_SECONDS
    while True:
        try:
            return await ask(min(part, max(0.0, deadline - time.monotonic())))
        except KafkaTimeout:
            if deadline - time.monotonic() <= _PAUSE_SECONDS:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
        part *= 2


async def _listed(cluster_id: str, name: str, topic: Any) -> TopicDescription:
    def read(entry: Any) -> Partition:
        return partition(cluster_id, name, entry.id, entry.leader, entry.replicas, entry.isrs)

    partitions = await in_slices(read, topic.partitions.values())
    return description(cluster_id, name, name in _INTERNAL_TOPICS, partitions, [])


async def _described(cluster_id: str, name: str, answer: Any) -> TopicDescription | FacadeError:
    if isinstance(answer, BaseException):
        return from_exception(answer)

    def read(entry: Any) -> Partition:
        leader = -1 if entry.leader is None else entry.leader.id
        replicas, in_sync = [node.id for node in entry.replicas], [node.id for node in entry.isr]
        return partition(cluster_id, name, entry.id, leader, replicas, in_sync)

    partitions = await in_slices(read, answer.partitions)
    operations = [operation.name for operation in answer.authorized_operations or ()]
    return description(cluster_id, name, answer.is_internal, partitions, operations)
