"""Metadata and administration through librdkafka's admin client."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

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
from kafka_facade.core.topics.model import TopicDescription
from kafka_facade.core.topics.port import TopicSpec
from kafka_facade.core.topics.positions import TopicPartition
from kafka_facade.kafka.admin import clients
from kafka_facade.kafka.admin.log_offsets import EARLIEST, LATEST, MAX_TIMESTAMP, ClientLogOffsets, LogOffsets
from kafka_facade.kafka.admin.visibility import looks
from kafka_facade.kafka.authentication import Authentication
from kafka_facade.kafka.blocking import Blocking, positive, settled
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.joined import JoinedReads
from kafka_facade.kafka.protocol.client import ProtocolClient

_T = TypeVar("_T")

# librdkafka's maximum.
_MOST_PARTITIONS = 100_000


class Admin:
    """The admin port over one cluster."""

    def __init__(
        self,
        client: AdminClient,
        authentication: Authentication,
        blocking: Blocking,
        protocol: ProtocolClient | None = None,
        metadata: ProtocolClient | None = None,
    ) -> None:
        """``protocol`` is for offsets, ``metadata`` for metadata: see :mod:`kafka_facade.kafka.admin.clients`.

        ``authentication`` gets the errors of the client.
        """
        self.authentication = authentication
        self._client = client
        self._metadata = clients.describing(client, blocking, metadata)
        self._log_offsets = clients.offsets(client, blocking, protocol, metadata)
        self._joined = JoinedReads()
        self.on_change: Callable[[str], None] | None = None
        """Called with each topic whose partitions this object has changed."""
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
        return await self._metadata.describe_cluster(timeout)

    async def list_topics(self, timeout: float) -> list[TopicDescription]:
        """All topics with their partitions, ordered by name."""
        return await self._joined.ask("topics", timeout, self._metadata.list_topics)

    async def describe_topics(
        self, names: Sequence[str], timeout: float, *, authorized_operations: bool = False
    ) -> list[TopicDescription | FacadeError]:
        """Describe topics, in order; one that cannot be described is replaced by its error."""
        return await self._metadata.describe_topics(names, timeout, authorized_operations=authorized_operations)

    async def create_topic(
        self, wanted: TopicSpec, timeout: float, *, validate_only: bool = False
    ) -> TopicDescription | None:
        """Create a topic, wait until metadata shows it, and describe it; None if it is only validated."""
        topic = NewTopic(
            wanted.topic_name,
            num_partitions=-1 if wanted.partitions_count is None else wanted.partitions_count,
            replication_factor=-1 if wanted.replication_factor is None else wanted.replication_factor,
            config={entry.name: entry.value for entry in wanted.configs if entry.value is not None},
        )
        if wanted.replicas_assignments:
            topic = _assigned_topic(wanted, topic)
        elif wanted.partitions_count is not None:
            _check_count(wanted.partitions_count)
        deadline = time.monotonic() + timeout
        try:
            futures = self._client.create_topics(
                [topic],
                operation_timeout=positive(timeout),
                request_timeout=positive(timeout),
                validate_only=validate_only,
            )
        except Exception as error:
            raise from_exception(error) from error
        await settled(futures[wanted.topic_name], timeout, topic_name=wanted.topic_name)
        return None if validate_only else await self._until_described(wanted.topic_name, deadline)

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

    async def last_timestamps(self, partitions: Sequence[TopicPartition], timeout: float) -> list[int | FacadeError]:
        """The largest timestamp (Unix ms) in each partition, in order; -1 if it has no records."""
        if not partitions:
            return []
        places = [(entry.topic, entry.partition) for entry in partitions]
        [found] = await self._log_offsets.of(places, [MAX_TIMESTAMP], timeout)
        return [found[place] for place in places]

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


def _check_count(partitions: int) -> None:
    if partitions < 1:
        reason = "Number of partitions was set to an invalid non-positive value."
        raise InvalidKafkaRequest(reason, field="partitions_count")
    if partitions > _MOST_PARTITIONS:
        raise InvalidKafkaRequest(f"A topic can have {_MOST_PARTITIONS} partitions at most.", field="partitions_count")


def _led(description: TopicDescription) -> bool:
    return all(partition.leader_id is not None for partition in description.partitions)


def _assigned_topic(wanted: TopicSpec, topic: NewTopic) -> NewTopic:
    assignments = wanted.replicas_assignments
    if wanted.partitions_count is not None or wanted.replication_factor is not None:
        raise InvalidKafkaRequest("partitions_count and replication_factor cannot be used with replicas_assignments.")
    if sorted(assignments) != list(range(len(assignments))):
        raise InvalidKafkaRequest("replicas_assignments must name the partitions 0 to n without a gap.")
    if not all(assignments.values()):
        raise InvalidKafkaRequest("replicas_assignments must name a broker for each partition.")
    return NewTopic(
        wanted.topic_name,
        num_partitions=len(assignments),
        replica_assignment=[assignments[partition] for partition in range(len(assignments))],
        config=topic.config,
    )
