"""Topics, partitions and replicas (reference: "Topic (v3)", "Partition (v3)", "Replica (v3)", v2 "Topics")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from kafka_facade.core import limits
from kafka_facade.core.call import Call
from kafka_facade.core.errors import (
    FacadeError,
    InvalidPayload,
    InvalidTopicName,
    LeaderNotAvailable,
    NotFound,
    PartitionNotFound,
    RetriableKafkaError,
    TopicNotFound,
)
from kafka_facade.core.kafka_text import check_text
from kafka_facade.core.registry import also_answers, implements
from kafka_facade.core.request import Many
from kafka_facade.core.time_slices import in_slices, time_slice
from kafka_facade.core.topics.model import (
    CreateTopic,
    DeleteTopic,
    DescribeTopics,
    GetLastProducedTime,
    GetPartition,
    GetPartitionOffsets,
    GetReplica,
    GetTopic,
    LastProducedTime,
    ListBrokerReplicas,
    ListPartitions,
    ListReplicas,
    ListTopicDescriptions,
    ListTopics,
    Partition,
    PartitionOffsets,
    ReadAuthorizedOperations,
    ReadBrokerReplicas,
    ReadLastProducedTimes,
    ReadOffsets,
    Replica,
    Topic,
    TopicDescription,
    UpdatePartitionCount,
)
from kafka_facade.core.topics.port import TopicSpec
from kafka_facade.core.topics.positions import NO_TIMESTAMP, TopicPartition

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}\Z")


def is_legal_topic_name(name: str) -> bool:
    """Return whether Kafka accepts the name (org.apache.kafka.common.internals.Topic)."""
    return bool(_LEGAL_NAME.match(name)) and name not in (".", "..")


class Topics:
    """Operations on topics, partitions and replicas."""

    @implements("api.v3.topics.list", "api.v2.topics.list")
    async def list_topics(self, call: Call, request: ListTopics) -> list[Topic]:
        """All topics but Kafka's internal ones, ordered by name."""
        await call.kafka.cluster.check(request.cluster_id, call)
        topics = [
            entry.topic for entry in await call.kafka.admin.list_topics(call.remaining) if not entry.topic.is_internal
        ]
        if not request.include_authorized_operations:
            return topics
        names = [topic.topic_name for topic in topics]
        found = await call.kafka.admin.describe_topics(names, call.remaining, authorized_operations=True)
        # Skip topics that were deleted since the listing.
        return [description.topic for description in found if not isinstance(description, FacadeError)]

    @implements("api.v3.topics.get", "api.v2.topics.get")
    async def get_topic(self, call: Call, request: GetTopic) -> Topic:
        """One topic; TopicNotFound, InvalidTopicName."""
        description = await self._describe(
            call, request.cluster_id, request.topic_name, authorized_operations=request.include_authorized_operations
        )
        return description.topic

    @also_answers("api.v3.topics.list")
    async def list_descriptions(self, call: Call, request: ListTopicDescriptions) -> list[TopicDescription]:
        """All topics but internal ones with their partitions, ordered by name; Kafka returns both in one response."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return [entry for entry in await call.kafka.admin.list_topics(call.remaining) if not entry.topic.is_internal]

    @also_answers("api.v3.topics.get", "api.v3.partitions.list", "api.v3.partitions.get", "api.v3.replicas.list")
    async def describe_topics(self, call: Call, request: DescribeTopics) -> Sequence[TopicDescription | FacadeError]:
        """Many topics with their partitions, or their errors, from one request to Kafka."""
        return await self._describe_many(call, request)

    @also_answers("api.v3.topics.get")
    async def read_authorized_operations(
        self, call: Call, request: ReadAuthorizedOperations
    ) -> Sequence[list[str] | FacadeError]:
        """What the caller may do with many topics, from one request to Kafka."""
        found = await self._describe_many(call, request, authorized_operations=True)
        return [entry if isinstance(entry, FacadeError) else entry.topic.authorized_operations for entry in found]

    @implements("api.v3.topics.create")
    async def create_topic(self, call: Call, request: CreateTopic) -> Topic:
        """Create a topic, or only validate it; TopicAlreadyExists, InvalidPayload, InvalidKafkaRequest."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        if not is_legal_topic_name(request.topic_name):
            message = "Payload error. Invalid topic name."
            raise InvalidPayload(message, topic_name=request.topic_name, field="topic_name")
        limits.check_length(request.configs, limits.CONFIGS, "configs")
        limits.check_length(request.replicas_assignments, limits.CREATED_PARTITIONS, "replicas_assignments")
        for partition, replicas in request.replicas_assignments.items():
            limits.check_length(replicas, limits.REPLICAS, f"replicas_assignments[{partition}]")
        for index, config in enumerate(request.configs):
            check_text(config.name, f"configs[{index}].name")
            check_text(config.value, f"configs[{index}].value")
        created = await call.kafka.admin.create_topic(
            TopicSpec(
                request.topic_name,
                request.partitions_count,
                request.replication_factor,
                request.replicas_assignments,
                request.configs,
            ),
            call.remaining,
            validate_only=request.validate_only,
        )
        return created.topic if created is not None else await self._validated(call, cluster_id, request)

    @implements("api.v3.topics.delete")
    async def delete_topic(self, call: Call, request: DeleteTopic) -> None:
        """Delete a topic; TopicNotFound."""
        await call.kafka.cluster.check(request.cluster_id, call)
        _require_possible(request.topic_name)
        await call.kafka.admin.delete_topic(request.topic_name, call.remaining)

    @implements("api.v3.topics.partitions")
    async def update_partition_count(self, call: Call, request: UpdatePartitionCount) -> Topic:
        """Raise the number of partitions; InvalidKafkaRequest if that is not an increase."""
        await call.kafka.cluster.check(request.cluster_id, call)
        _require_possible(request.topic_name)
        described = await call.kafka.admin.create_partitions(
            request.topic_name, request.partitions_count, call.remaining
        )
        return described.topic

    @implements("api.v3.partitions.list", "api.v2.partitions.list")
    @also_answers("api.v2.topics.get")
    async def list_partitions(self, call: Call, request: ListPartitions) -> Sequence[Partition]:
        """The partitions of a topic, ordered by id; TopicNotFound."""
        return (await self._describe(call, request.cluster_id, request.topic_name)).partitions

    @implements("api.v3.partitions.get", "api.v2.partitions.get")
    async def get_partition(self, call: Call, request: GetPartition) -> Partition:
        """One partition; TopicNotFound, PartitionNotFound."""
        for partition in await self.list_partitions(call, ListPartitions(request.cluster_id, request.topic_name)):
            if partition.partition_id == request.partition_id:
                return partition
        raise PartitionNotFound(topic_name=request.topic_name, partition_id=str(request.partition_id))

    @implements("api.v3.partitions.list.offsets", "api.v2.partitions.get-offsets")
    async def get_offsets(self, call: Call, request: GetPartitionOffsets) -> PartitionOffsets:
        """The earliest and the latest offset of a partition; TopicNotFound, PartitionNotFound."""
        where = GetPartition(request.cluster_id, request.topic_name, request.partition_id)
        partition = await self.get_partition(call, where)
        [found] = await self.read_offsets(call, ReadOffsets(request.cluster_id, [partition]))
        if isinstance(found, FacadeError):
            raise found
        return found

    @also_answers("api.v3.partitions.list.offsets")
    async def read_offsets(self, call: Call, request: ReadOffsets) -> Sequence[PartitionOffsets | FacadeError]:
        """The offsets of many partitions in one go; a partition whose offsets cannot be had is its error."""
        wanted = [TopicPartition(partition.topic_name, partition.partition_id) for partition in request.keys]
        found = await call.kafka.admin.offsets(wanted, call.remaining)
        return await in_slices(_offsets, zip(request.keys, found, strict=True))

    @implements("api.v3.topics.last-produced-time")
    async def get_last_produced_time(self, call: Call, request: GetLastProducedTime) -> LastProducedTime:
        """The largest timestamp of a topic's records; TopicNotFound, RetriableKafkaError if no leader answers."""
        [found] = await self.read_last_produced_times(
            call, ReadLastProducedTimes(request.cluster_id, [request.topic_name])
        )
        if isinstance(found, FacadeError):
            raise found
        return found

    @also_answers("api.v3.topics.last-produced-time")
    async def read_last_produced_times(
        self, call: Call, request: ReadLastProducedTimes
    ) -> Sequence[LastProducedTime | FacadeError]:
        """The largest timestamps of many topics, from one request to each leader."""
        described = await self._describe_many(call, request)
        places = [
            TopicPartition(partition.topic_name, partition.partition_id)
            for entry in described
            if not isinstance(entry, FacadeError)
            for partition in entry.partitions
        ]
        times = iter(await call.kafka.admin.last_timestamps(places, call.remaining))

        def newest(entry: TopicDescription | FacadeError) -> LastProducedTime | FacadeError:
            return entry if isinstance(entry, FacadeError) else _newest(entry, islice(times, len(entry.partitions)))

        return await in_slices(newest, described)

    @implements("api.v3.replicas.list")
    async def list_replicas(self, call: Call, request: ListReplicas) -> Sequence[Replica]:
        """The replicas of a partition, in order of preference."""
        where = GetPartition(request.cluster_id, request.topic_name, request.partition_id)
        return (await self.get_partition(call, where)).replicas

    @implements("api.v3.replicas.get")
    async def get_replica(self, call: Call, request: GetReplica) -> Replica:
        """One replica; NotFound where the broker has none of the partition."""
        where = ListReplicas(request.cluster_id, request.topic_name, request.partition_id)
        for replica in await self.list_replicas(call, where):
            if replica.broker_id == request.broker_id:
                return replica
        raise NotFound(broker_id=str(request.broker_id))

    @implements("api.v3.replicas.search-by-broker")
    async def list_broker_replicas(self, call: Call, request: ListBrokerReplicas) -> Sequence[Replica]:
        """The replicas that a broker holds, ordered by topic and partition; NotFound for an unknown broker."""
        [found] = await self.read_broker_replicas(call, ReadBrokerReplicas(request.cluster_id, [request.broker_id]))
        if isinstance(found, FacadeError):
            raise found
        return found

    @also_answers("api.v3.replicas.search-by-broker")
    async def read_broker_replicas(
        self, call: Call, request: ReadBrokerReplicas
    ) -> Sequence[Sequence[Replica] | FacadeError]:
        """The replicas that each broker holds, from one metadata answer, internal topics among them."""
        await call.kafka.cluster.check(request.cluster_id, call)
        _, brokers = await call.kafka.admin.describe_cluster(call.remaining)
        held: dict[int, list[Replica]] = {broker.broker_id: [] for broker in brokers}
        for description in await call.kafka.admin.list_topics(call.remaining):
            await time_slice()
            for partition in description.partitions:
                for replica in partition.replicas:
                    if replica.broker_id in held:
                        held[replica.broker_id].append(replica)
        return [
            held[broker_id]
            if broker_id in held
            else NotFound(f"Broker {broker_id} cannot be found.", broker_id=str(broker_id))
            for broker_id in request.keys
        ]

    async def _validated(self, call: Call, cluster_id: str, request: CreateTopic) -> Topic:
        """The topic that Kafka would have created."""
        partitions, factor = request.partitions_count, request.replication_factor
        if request.replicas_assignments:
            partitions = len(request.replicas_assignments)
            factor = len(request.replicas_assignments[0])
        elif partitions is None or factor is None:
            default_partitions, default_factor = await call.kafka.admin.topic_defaults(call.remaining)
            partitions = default_partitions if partitions is None else partitions
            factor = default_factor if factor is None else factor
        return Topic(cluster_id, request.topic_name, False, factor, partitions)

    async def _describe_many(
        self, call: Call, request: Many[str, Any], *, authorized_operations: bool = False
    ) -> Sequence[TopicDescription | FacadeError]:
        await call.kafka.cluster.check(request.cluster_id, call)
        legal = [name for name in request.keys if is_legal_topic_name(name)]
        found = iter(
            await call.kafka.admin.describe_topics(legal, call.remaining, authorized_operations=authorized_operations)
            if legal
            else ()
        )
        # Names that no topic can have are not sent: not all of them could be.
        return [
            next(found) if is_legal_topic_name(name) else InvalidTopicName(topic_name=name, field="topic_name")
            for name in request.keys
        ]

    async def _describe(
        self, call: Call, cluster_id: str | None, name: str, *, authorized_operations: bool = False
    ) -> TopicDescription:
        await call.kafka.cluster.check(cluster_id, call)
        if not is_legal_topic_name(name):
            raise InvalidTopicName(topic_name=name, field="topic_name")
        [found] = await call.kafka.admin.describe_topics(
            [name], call.remaining, authorized_operations=authorized_operations
        )
        if isinstance(found, FacadeError):
            raise found
        return found


def _require_possible(name: str) -> None:
    """TopicNotFound, as Kafka answers for names that no topic can have: some cannot be sent to it."""
    if not is_legal_topic_name(name):
        raise TopicNotFound(topic_name=name)


def _newest(description: TopicDescription, times: Iterable[int | FacadeError]) -> LastProducedTime | FacadeError:
    """The largest of all partitions' times, or the error of one: never the largest of some."""
    topic = description.topic
    newest = NO_TIMESTAMP
    for found in times:
        if isinstance(found, LeaderNotAvailable):
            return RetriableKafkaError("A partition has no leader at the moment.", topic_name=topic.topic_name)
        if isinstance(found, FacadeError):
            return found
        newest = max(newest, found)
    return LastProducedTime(topic.cluster_id, topic.topic_name, None if newest == NO_TIMESTAMP else newest)


def _offsets(entry: tuple[Partition, tuple[int, int] | FacadeError]) -> PartitionOffsets | FacadeError:
    partition, found = entry
    if isinstance(found, FacadeError):
        return found
    return PartitionOffsets(partition.cluster_id, partition.topic_name, partition.partition_id, *found)
