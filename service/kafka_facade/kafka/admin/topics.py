"""Metadata and administration through librdkafka's admin client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from kafka_facade.core.clusters.model import Broker, Cluster
from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest, KafkaTimeout, LeaderNotAvailable, TopicNotFound
from kafka_facade.core.time_slices import in_slices, time_slice
from kafka_facade.core.topics.model import CreateTopic, Partition, Replica, Topic, TopicDescription
from kafka_facade.core.topics.positions import TopicPartition
from kafka_facade.kafka.admin.leaders import Leaders
from kafka_facade.kafka.admin.log_offsets import EARLIEST, LATEST, ClientLogOffsets, LogOffsets
from kafka_facade.kafka.admin.visibility import looks
from kafka_facade.kafka.authentication import Authentication
from kafka_facade.kafka.blocking import Blocking, positive, settled, settled_topics
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.protocol.client import ProtocolClient

_T = TypeVar("_T")

# org.apache.kafka.common.internals.Topic: the topics that brokers call internal.
_INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})

# First timeout (s) for an answer, after which the request is retried with a longer one: the broker may hang.
_ANSWER_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
# librdkafka's maximum.
_MOST_PARTITIONS = 100_000
# Maximum number of topics per call, because the client blocks in proportion to it.
_TOPICS_A_CALL = 500


class Admin:
    """The admin port over one cluster."""

    def __init__(
        self,
        client: AdminClient,
        authentication: Authentication,
        blocking: Blocking,
        protocol: ProtocolClient | None = None,
    ) -> None:
        """Offsets are queried through ``protocol`` if it can connect, otherwise through librdkafka.

        ``authentication`` gets the errors of the client.
        """
        self.authentication = authentication
        self._client = client
        self._blocking = blocking
        self._log_offsets: LogOffsets | ClientLogOffsets = (
            LogOffsets(protocol, Leaders(protocol).find)
            if protocol is not None and protocol.usable
            else ClientLogOffsets(self._client, blocking)
        )
        self.on_change: Callable[[str], None] | None = None
        """Called with each topic whose partitions were changed by this object."""
        self._known_cluster_id: str | None = None
        # auto.create.topics.enable; cached, because brokers read it only at startup.
        self._creates_topics: bool | None = None

    @property
    def log_offsets(self) -> LogOffsets | ClientLogOffsets:
        """The source of offsets, shared with other ports."""
        return self._log_offsets

    @property
    def client(self) -> AdminClient:
        """The admin client, shared with other ports."""
        return self._client

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
        cluster_id = await self.cluster_id(timeout)
        found = await _in_parts(
            timeout, lambda left: self._blocking.run(left, self._client.list_topics, timeout=positive(left))
        )
        described = []
        for name, topic in sorted(found.topics.items()):
            if topic.error is not None:
                continue
            partitions = await in_slices(partial(_listed, cluster_id, name), topic.partitions.values())
            described.append(_description(cluster_id, name, name in _INTERNAL_TOPICS, partitions))
        return described

    async def describe_topics(
        self, names: Sequence[str], timeout: float, *, authorized_operations: bool = False
    ) -> list[TopicDescription | FacadeError]:
        """Describe topics, in order; one that cannot be described is replaced by its error."""
        if not names:
            return []
        unique = list(dict.fromkeys(names))
        cluster_id = await self.cluster_id(timeout)
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

    async def create_topic(self, request: CreateTopic, timeout: float) -> TopicDescription | None:
        """Create a topic, wait until metadata shows it, and describe it; None if it is only validated."""
        topic = NewTopic(
            request.topic_name,
            num_partitions=-1 if request.partitions_count is None else request.partitions_count,
            replication_factor=-1 if request.replication_factor is None else request.replication_factor,
            config={entry.name: entry.value for entry in request.configs if entry.value is not None},
        )
        if request.replicas_assignments:
            topic = _assigned_topic(request, topic)
        elif request.partitions_count is not None:
            _check_count(request.partitions_count)
        deadline = time.monotonic() + timeout
        try:
            futures = self._client.create_topics(
                [topic],
                operation_timeout=positive(timeout),
                request_timeout=positive(timeout),
                validate_only=request.validate_only,
            )
        except Exception as error:
            raise from_exception(error) from error
        await settled(futures[request.topic_name], timeout, topic_name=request.topic_name)
        return None if request.validate_only else await self._until_described(request.topic_name, deadline)

    async def delete_topic(self, name: str, timeout: float) -> None:
        """Delete a topic and wait until metadata no longer shows it."""
        deadline = time.monotonic() + timeout
        futures = self._client.delete_topics(
            [name], operation_timeout=positive(timeout), request_timeout=positive(timeout)
        )
        await settled(futures[name], timeout, topic_name=name)
        self._changed(name)
        await self._until_gone(name, deadline)

    async def topic_defaults(self, timeout: float) -> tuple[int, int]:
        """The brokers' default number of partitions and replication factor."""
        configs = await self._broker_configs(timeout)
        return int(configs["num.partitions"].value or 1), int(configs["default.replication.factor"].value or 1)

    async def refresh(self, topic: str, timeout: float) -> None:
        """Refresh the metadata of a topic; the client caches for a while that a topic does not exist."""
        await self._blocking.run(timeout, self._client.list_topics, topic, timeout=positive(timeout))

    async def creates_topics(self, timeout: float) -> bool:
        """Whether brokers auto-create topics (``auto.create.topics.enable``)."""
        if self._creates_topics is None:
            configs = await self._broker_configs(timeout)
            self._creates_topics = str(configs["auto.create.topics.enable"].value) == "true"
        return self._creates_topics

    async def _broker_configs(self, timeout: float) -> Mapping[str, ConfigEntry]:
        cluster, brokers = await self.describe_cluster(timeout)
        if not brokers:
            raise KafkaTimeout
        broker = cluster.controller_id if cluster.controller_id is not None else brokers[0].broker_id
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        futures = self._client.describe_configs([resource], request_timeout=positive(timeout))
        configs: Mapping[str, ConfigEntry] = await settled(futures[resource], timeout)
        return configs

    async def create_partitions(self, topic: str, count: int, timeout: float) -> TopicDescription:
        """Raise the number of a topic's partitions to ``count``, wait until metadata shows it, and describe it."""
        _check_count(count)
        deadline = time.monotonic() + timeout
        try:
            futures = self._client.create_partitions(
                [NewPartitions(topic, count)], operation_timeout=positive(timeout), request_timeout=positive(timeout)
            )
        except Exception as error:
            raise from_exception(error) from error
        await settled(futures[topic], timeout, topic_name=topic)
        described = await self._until_described(topic, deadline, partitions=count)
        self._changed(topic)
        return described

    async def offsets(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[tuple[int, int] | FacadeError]:
        """The earliest and the latest offset of each partition, in order."""
        if not partitions:
            return []
        places = [(entry.topic, entry.partition) for entry in partitions]
        earliest, latest = await self._log_offsets.of(places, (EARLIEST, LATEST), timeout)
        found: list[tuple[int, int] | FacadeError] = []
        for place in places:
            first, last = earliest[place], latest[place]
            if isinstance(first, FacadeError):
                found.append(first)
            elif isinstance(last, FacadeError):
                found.append(last)
            else:
                found.append((first, last))
        return found

    async def cluster_id(self, timeout: float) -> str:
        """The id of the cluster, which never changes."""
        if self._known_cluster_id is None:
            cluster, _ = await self.describe_cluster(timeout)
            self._known_cluster_id = cluster.cluster_id
        return self._known_cluster_id

    def _changed(self, topic: str) -> None:
        if self.on_change is not None:
            self.on_change(topic)

    async def _until_described(self, name: str, deadline: float, *, partitions: int = 1) -> TopicDescription:
        """Wait until metadata shows the topic, shortly after the controller's answer, and describe it."""
        async for left in looks(deadline):
            [found] = await self.describe_topics([name], left)
            if not isinstance(found, FacadeError):
                if len(found.partitions) >= partitions and _led(found):
                    return found
            elif not isinstance(found, (TopicNotFound, LeaderNotAvailable)):
                raise found
        raise KafkaTimeout

    async def _until_gone(self, name: str, deadline: float) -> None:
        async for left in looks(deadline):
            [found] = await self.describe_topics([name], left)
            if isinstance(found, TopicNotFound):
                return
        raise KafkaTimeout


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


def _check_count(partitions: int) -> None:
    if partitions < 1:
        reason = "Number of partitions was set to an invalid non-positive value."
        raise InvalidKafkaRequest(reason, field="partitions_count")
    if partitions > _MOST_PARTITIONS:
        raise InvalidKafkaRequest(f"A topic can have {_MOST_PARTITIONS} partitions at most.", field="partitions_count")


def _led(description: TopicDescription) -> bool:
    return all(partition.leader_id is not None for partition in description.partitions)


def _assigned_topic(request: CreateTopic, topic: NewTopic) -> NewTopic:
    assignments = request.replicas_assignments
    if request.partitions_count is not None or request.replication_factor is not None:
        raise InvalidKafkaRequest("partitions_count and replication_factor cannot be used with replicas_assignments.")
    if sorted(assignments) != list(range(len(assignments))):
        raise InvalidKafkaRequest("replicas_assignments must name the partitions 0 to n without a gap.")
    if not all(assignments.values()):
        raise InvalidKafkaRequest("replicas_assignments must name a broker for each partition.")
    return NewTopic(
        request.topic_name,
        num_partitions=len(assignments),
        replica_assignment=[assignments[partition] for partition in range(len(assignments))],
        config=topic.config,
    )


def _partition(
    cluster_id: str, topic: str, partition: int, leader: int, replicas: Sequence[int], in_sync: Sequence[int]
) -> Partition:
    return Partition(
        cluster_id,
        topic,
        partition,
        leader if leader >= 0 else None,
        [Replica(cluster_id, topic, partition, broker, broker == leader, broker in in_sync) for broker in replicas],
    )


def _listed(cluster_id: str, topic: str, entry: Any) -> Partition:
    return _partition(cluster_id, topic, entry.id, entry.leader, entry.replicas, entry.isrs)


def _description(
    cluster_id: str, name: str, internal: bool, partitions: list[Partition], operations: list[str] | None = None
) -> TopicDescription:
    partitions.sort(key=lambda partition: partition.partition_id)
    replication_factor = len(partitions[0].replicas) if partitions else 0
    topic = Topic(cluster_id, name, internal, replication_factor, len(partitions), operations or [])
    return TopicDescription(topic, partitions)


async def _described(cluster_id: str, name: str, answer: Any) -> TopicDescription | FacadeError:
    if isinstance(answer, BaseException):
        return from_exception(answer)

    def read(entry: Any) -> Partition:
        leader = -1 if entry.leader is None else entry.leader.id
        replicas, in_sync = [node.id for node in entry.replicas], [node.id for node in entry.isr]
        return _partition(cluster_id, name, entry.id, leader, replicas, in_sync)

    partitions = await in_slices(read, answer.partitions)
    operations = [operation.name for operation in answer.authorized_operations or ()]
    return _description(cluster_id, name, answer.is_internal, partitions, operations)
