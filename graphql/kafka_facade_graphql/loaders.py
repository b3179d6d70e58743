"""DataLoaders: what one GraphQL operation reads, each thing once and in as few requests to Kafka as there are kinds.

Fields ask under the identifier of their own operation, so that access lists hold for a field however it is reached;
loads are batched and kept for each identifier, for the life of the GraphQL operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple
from functools import partial
from typing import Any, TypeVar

from kafka_facade.core.acls.model import Acl, ListAcls
from kafka_facade.core.clusters.model import Broker, Cluster, GetCluster, ListBrokers
from kafka_facade.core.configs.changes import find
from kafka_facade.core.configs.model import (
    BrokerConfig,
    ClusterConfig,
    ListClusterConfigs,
    ListTopicConfigs,
    TopicConfig,
)
from kafka_facade.core.errors import FacadeError, PartitionNotFound
from kafka_facade.core.facade import Facade
from kafka_facade.core.groups.model import ConsumerGroup, ConsumerLag, ListConsumerGroups
from kafka_facade.core.pipeline import Call, Pipeline
from kafka_facade.core.reassignments.model import ListReassignments, PartitionReassignment
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.model import GetTopic, ListTopics, Partition, PartitionOffsets, Replica, Topic
from kafka_facade.core.topics.operations import Topics
from kafka_facade.core.topics.port import TopicDescription

FACE = "graphql"

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

# A cluster's id (None where the caller named none) and the name or id of something in it.
_Key = tuple[str | None, Any]

# After so many rounds of time slices in which nobody else has asked, what is asked for is loaded.
_QUIET_ROUNDS = 3


class Loaders:
    """The loaders of one GraphQL operation."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._loaders: dict[tuple[str, str], _Loader] = {}

    async def admit(self, identifier: str) -> None:
        """Pass the pipeline for a field whose value is at hand already; once an operation."""
        await self._once("admit", identifier, _nothing, ())

    async def clusters(self, identifier: str) -> list[Cluster]:
        """All clusters."""
        return await self._once("clusters", identifier, self._facade.clusters.list_clusters, None)

    async def cluster(self, identifier: str, cluster_id: str) -> Cluster:
        """A cluster; NotFound."""
        return await self._once("cluster", identifier, self._facade.clusters.get_cluster, GetCluster(cluster_id))

    async def brokers(self, identifier: str, cluster_id: str | None) -> list[Broker]:
        """The live brokers of a cluster."""
        return await self._once("brokers", identifier, self._facade.clusters.list_brokers, ListBrokers(cluster_id))

    async def broker(self, cluster_id: str | None, broker_id: int | None) -> Broker | None:
        """A broker that something refers to; None where it isn't alive."""
        for broker in await self.brokers("api.v3.brokers.get", cluster_id):
            if broker.broker_id == broker_id:
                return broker
        return None

    async def topics(self, identifier: str, cluster_id: str | None) -> list[Topic]:
        """All topics of a cluster."""
        return await self._once("topics", identifier, self._facade.topics.list_topics, ListTopics(cluster_id))

    async def topic(self, cluster_id: str | None, name: str) -> Topic:
        """A topic by name; TopicNotFound, InvalidTopicName."""
        return await self._once("topic", "api.v3.topics.get", self._facade.topics.get_topic, GetTopic(cluster_id, name))

    async def described(self, identifier: str, cluster_id: str | None, topic: str) -> TopicDescription:
        """A topic with its partitions; TopicNotFound."""
        return await self._many("described", identifier, self._facade.topics.describe_many, (cluster_id, topic))

    async def partition(self, identifier: str, cluster_id: str | None, topic: str, partition_id: int) -> Partition:
        """A partition; TopicNotFound, PartitionNotFound."""
        for partition in (await self.described(identifier, cluster_id, topic)).partitions:
            if partition.partition_id == partition_id:
                return partition
        raise PartitionNotFound(topic_name=topic, partition_id=str(partition_id))

    async def configs(self, identifier: str, cluster_id: str | None, topic: str) -> Sequence[TopicConfig]:
        """The configs of a topic; TopicNotFound."""
        return await self._many("configs", identifier, self._facade.topic_configs.list_many, (cluster_id, topic))

    async def all_configs(self, cluster_id: str | None) -> Sequence[TopicConfig]:
        """The configs of all topics."""
        list_configs = self._facade.topic_configs.list_configs
        request = ListTopicConfigs(cluster_id, None)
        return await self._once("all configs", "api.v3.topic-configs.list", list_configs, request)

    async def config(self, cluster_id: str | None, topic: str, name: str) -> TopicConfig:
        """One config of a topic; TopicNotFound, NotFound."""
        return find(await self.configs("api.v3.topic-configs.get", cluster_id, topic), name)

    async def broker_configs(self, identifier: str, cluster_id: str | None, broker_id: int) -> Sequence[BrokerConfig]:
        """The configs of a broker; NotFound, RetriableKafkaError while it is down."""
        key = (cluster_id, broker_id)
        return await self._many("broker configs", identifier, self._facade.broker_configs.list_many, key)

    async def broker_config(self, cluster_id: str | None, broker_id: int, name: str) -> BrokerConfig:
        """One config of a broker; NotFound."""
        return find(await self.broker_configs("api.v3.broker-configs.get", cluster_id, broker_id), name)

    async def cluster_configs(self, identifier: str, cluster_id: str) -> Sequence[ClusterConfig]:
        """The dynamic configs that are set for all brokers."""
        list_configs = self._facade.cluster_configs.list_configs
        return await self._once("cluster configs", identifier, list_configs, ListClusterConfigs(cluster_id))

    async def cluster_config(self, cluster_id: str, name: str) -> ClusterConfig:
        """One dynamic config of all brokers; NotFound where it isn't set."""
        return find(await self.cluster_configs("api.v3.cluster-configs.get", cluster_id), name)

    async def authorized_operations(self, topic: Topic) -> list[str]:
        """What the caller may do with a topic (KIP-430)."""
        key = (topic.cluster_id, topic.topic_name)
        method = partial(_read_authorized_operations, self._facade.topics)
        return await self._many("authorized", "api.v3.topics.get", method, key)

    async def offsets(self, partition: Partition) -> PartitionOffsets:
        """The earliest and the latest offset of a partition."""
        key = (partition.cluster_id, partition)
        method = partial(_read_offsets, self._facade.topics)
        return await self._many("offsets", "api.v3.partitions.list.offsets", method, key)

    async def broker_replicas(self, broker: Broker) -> Sequence[Replica]:
        """The replicas that a broker holds, ordered by topic and partition."""
        key = (broker.cluster_id, broker.broker_id)
        method = self._facade.topics.list_broker_replicas_many
        return await self._many("replicas", "api.v3.replicas.search-by-broker", method, key)

    async def groups(self, identifier: str, cluster_id: str | None) -> list[ConsumerGroup]:
        """All consumer groups of a cluster."""
        return await self._once("groups", identifier, self._facade.groups.list_groups, ListConsumerGroups(cluster_id))

    async def group(self, identifier: str, cluster_id: str | None, group_id: str) -> ConsumerGroup:
        """A consumer group with its members; ConsumerGroupNotFound."""
        return await self._many("group", identifier, self._facade.groups.describe_many, (cluster_id, group_id))

    async def lags(self, identifier: str, group: ConsumerGroup) -> Sequence[ConsumerLag]:
        """How far a group is behind, the largest lag first; empty where it has committed nothing."""
        return await self._many("lags", identifier, self._facade.groups.lags_many, (group.cluster_id, group))

    async def acls(self, request: ListAcls) -> list[Acl]:
        """The ACLs that match."""
        return await self._once("acls", "api.v3.acls.list", self._facade.acls.list_acls, request)

    async def reassignments(self, identifier: str, cluster_id: str) -> list[PartitionReassignment]:
        """The reassignments of a cluster, ordered by topic and partition: Kafka tells them all at once."""
        method = self._facade.reassignments.list_reassignments
        return await self._once("reassignments", identifier, method, ListReassignments(cluster_id))

    async def _once(
        self, kind: str, identifier: str, method: Callable[[Call, _Request], Awaitable[_Response]], request: _Request
    ) -> _Response:
        """What the operation answers to this request, asked once."""
        load = partial(_run_each, self._facade.pipeline, identifier, method)
        answer: _Response = await self._loader(kind, identifier, load).load(request)
        return answer

    async def _many(
        self,
        kind: str,
        identifier: str,
        method: Callable[[Call, str | None, Sequence[Any]], Awaitable[Sequence[_Response | FacadeError]]],
        key: _Key,
    ) -> _Response:
        """The answer for one key, asked together with the others of its cluster that are wanted at the same time."""
        load = partial(_run_batch, self._facade.pipeline, identifier, method)
        answer: _Response = await self._loader(kind, identifier, load).load(key)
        return answer

    def _loader(self, kind: str, identifier: str, load: Callable[[list[Any]], Awaitable[list[Any]]]) -> _Loader:
        """The loader of what is loaded under an identifier; ``load`` is that of the first who asks."""
        loader = self._loaders.get((kind, identifier))
        if loader is None:
            loader = self._loaders[kind, identifier] = _Loader(load)
        return loader


class _Loader:
    """A DataLoader that shares the event loop, however many ask and whatever becomes of some of them.

    Strawberry's wakes all who wait in one pass of the loop. This one loads together what is asked for in different
    passes, as long as those who ask share the loop, and lets those who have waited go on in time slices.
    """

    def __init__(self, load: Callable[[list[Any]], Awaitable[list[Any]]]) -> None:
        self._load = load
        self._found: dict[Any, Any] = {}
        self._asked: dict[Any, Any] = {}
        self._waiting: dict[Any, list[asyncio.Future[None]]] = {}
        self._loading: set[asyncio.Task[None]] = set()

    async def load(self, key: Any) -> Any:
        """What there is for a key, asked for once; the error where that is one."""
        identity = _identity(key)
        if identity not in self._found:
            waiter = asyncio.get_running_loop().create_future()
            if identity in self._waiting:
                self._waiting[identity].append(waiter)
            else:
                self._waiting[identity] = [waiter]
                if not self._asked:
                    loading = asyncio.create_task(self._run(), name="loader")
                    self._loading.add(loading)
                    loading.add_done_callback(self._loading.discard)
                self._asked[identity] = key
            await waiter
        await time_slice()
        found = self._found[identity]
        if isinstance(found, Exception):
            raise found
        return found

    async def _run(self) -> None:
        quiet = 0
        while quiet < _QUIET_ROUNDS:
            before = len(self._asked)
            await asyncio.sleep(0)
            await time_slice()
            quiet = quiet + 1 if len(self._asked) == before else 0
        asked, self._asked = self._asked, {}
        try:
            found: Sequence[Any] = await self._load(list(asked.values()))
        except Exception as error:
            found = [error] * len(asked)
        for identity, outcome in zip(asked, found, strict=True):
            self._found[identity] = outcome
            for waiter in self._waiting.pop(identity):
                await time_slice()
                if not waiter.done():
                    waiter.set_result(None)


# What loads refers to no loader: that would be a reference cycle around all that was loaded.
async def _run_each(
    pipeline: Pipeline, identifier: str, method: Callable[[Call, Any], Awaitable[Any]], requests: list[Any]
) -> list[Any]:
    runs = (pipeline.run(pipeline.call(identifier, FACE), method, request) for request in requests)
    return await asyncio.gather(*runs, return_exceptions=True)


async def _run_batch(
    pipeline: Pipeline,
    identifier: str,
    method: Callable[[Call, str | None, Sequence[Any]], Awaitable[Sequence[Any]]],
    keys: list[_Key],
) -> list[Any]:
    answers: list[Any] = [None] * len(keys)
    for cluster_id in dict.fromkeys(cluster_id for cluster_id, _ in keys):
        places = [place for place, (of, _) in enumerate(keys) if of == cluster_id]
        wanted = [keys[place][1] for place in places]
        try:
            call = pipeline.call(identifier, FACE)
            found: Sequence[Any] = await pipeline.run(call, partial(_in_cluster, method, cluster_id), wanted)
        except FacadeError as error:
            found = [error] * len(places)
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer
    return answers


async def _read_offsets(
    topics: Topics, call: Call, _cluster_id: str | None, partitions: Sequence[Partition]
) -> Sequence[PartitionOffsets | FacadeError]:
    return await topics.get_offsets_many(call, partitions)


async def _read_authorized_operations(
    topics: Topics, call: Call, cluster_id: str | None, names: Sequence[str]
) -> Sequence[list[str] | FacadeError]:
    found = await topics.describe_many(call, cluster_id, names, authorized_operations=True)
    return [entry if isinstance(entry, FacadeError) else entry.topic.authorized_operations for entry in found]


async def _in_cluster(
    method: Callable[[Call, str | None, Sequence[Any]], Awaitable[Sequence[Any]]],
    cluster_id: str | None,
    call: Call,
    names: Sequence[Any],
) -> Sequence[Any]:
    return await method(call, cluster_id, names)


async def _nothing(_call: Call, _request: tuple[()]) -> None:
    return None


def _identity(key: Any) -> Any:
    """What makes two keys the same: requests are values, a partition is known by its place, a group by its id."""
    if isinstance(key, tuple):
        return tuple(_identity(part) for part in key)
    if isinstance(key, Partition):
        return (key.topic_name, key.partition_id)
    if isinstance(key, ConsumerGroup):
        return key.consumer_group_id
    return astuple(key) if hasattr(key, "__dataclass_fields__") else key
