"""DataLoaders, which batch and cache the reads of one GraphQL operation.

Each field passes admission under the identifier of its own operation, so that access lists apply however a field is
reached. Reads of the same kind are batched into one request to Kafka and cached for the GraphQL operation. A loaded
list also serves reads of its items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from kafka_facade.core.acls.model import Acl, ListAcls
from kafka_facade.core.balancer.model import AnyUnevenLoad, BalancerStatus, GetAnyUnevenLoad, GetBalancerStatus
from kafka_facade.core.balancer.steps import TaskType
from kafka_facade.core.broker_tasks.model import (
    BrokerTask,
    ListAllBrokerTasks,
    ListAllBrokerTasksByType,
    ListRemoveBrokerTasks,
    RemoveBrokerTask,
)
from kafka_facade.core.call import Caller
from kafka_facade.core.clusters.model import Broker, Cluster, ClusterCells, DescribeCluster, ListCells
from kafka_facade.core.configs.changes import find
from kafka_facade.core.configs.model import (
    BrokerConfig,
    ClusterConfig,
    ListClusterConfigs,
    ListTopicConfigs,
    ReadBrokerConfigs,
    ReadTopicConfigs,
    ReadTopicDefaultConfigs,
    TopicConfig,
)
from kafka_facade.core.core import Core
from kafka_facade.core.errors import ClusterNotFound, FacadeError, NotFound, PartitionNotFound
from kafka_facade.core.exclusions.model import BrokerReplicaExclusion, ListBrokerReplicaExclusions
from kafka_facade.core.groups.model import ConsumerGroup, ConsumerLag, DescribeGroups, ListConsumerGroups, ReadLags
from kafka_facade.core.ordered import find_in_order
from kafka_facade.core.reassignments.model import ListReassignments, PartitionReassignment
from kafka_facade.core.replica_status.model import ListAllReplicaStatuses, ReadReplicaStatuses, ReplicaStatus
from kafka_facade.core.request import Answer, Many, Request
from kafka_facade.core.time_slices import in_slices, time_slice
from kafka_facade.core.topics.model import (
    DescribeTopics,
    LastProducedTime,
    ListTopicDescriptions,
    Partition,
    PartitionOffsets,
    ReadAuthorizedOperations,
    ReadBrokerReplicas,
    ReadLastProducedTimes,
    ReadOffsets,
    Replica,
    Topic,
    TopicDescription,
)

# The caller of each field; each field is a call of its own.
CALLER = Caller("graphql")

_Key = TypeVar("_Key")
_One = TypeVar("_One")

# Send a batch after this many rounds of time slices without a new key.
_QUIET_ROUNDS = 3


class Loaders:
    """The loaders of one GraphQL operation."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._loaders: dict[type[Any], _Loader] = {}
        self._admitted: dict[str, FacadeError | None] = {}
        self._primed: set[tuple[str, str | None]] = set()
        # The lags of each group by partition.
        self._lag_places: dict[tuple[str, str], dict[tuple[str, int], ConsumerLag]] = {}
        self._indexing = asyncio.Lock()

    def admit(self, identifier: str) -> None:
        """Admit a field's operation, once per identifier. Raises OperationBlocked.

        The field's data may be cached already, or be loaded under the identifier of another field.
        """
        if identifier not in self._admitted:
            self._admitted[identifier] = None
            try:
                with self._core.admitted(identifier, CALLER):
                    pass
            except FacadeError as error:
                self._admitted[identifier] = error.with_traceback(None)
        refusal = self._admitted[identifier]
        if refusal is not None:
            raise refusal

    async def clusters(self, identifier: str) -> list[Cluster]:
        """All clusters."""
        found = await self._once(identifier, DescribeCluster(None))
        own = DescribeCluster(found.cluster.cluster_id)
        if self._primes("clusters", None):
            self._loader(DescribeCluster, partial(_run_each, self._core, identifier)).prime(own, found)
        return [found.cluster]

    async def cluster(self, identifier: str, cluster_id: str) -> Cluster:
        """A cluster; NotFound."""
        try:
            return (await self._once(identifier, DescribeCluster(cluster_id))).cluster
        except ClusterNotFound:
            raise NotFound(cluster_id=cluster_id) from None

    async def cells(self, cluster_id: str) -> ClusterCells:
        """The cells of a cluster."""
        return await self._once("api.v3.cells.list", ListCells(cluster_id))

    async def brokers(self, identifier: str, cluster_id: str | None) -> list[Broker]:
        """The live brokers of a cluster."""
        return (await self._once(identifier, DescribeCluster(cluster_id))).brokers

    async def broker(self, cluster_id: str | None, broker_id: int | None) -> Broker | None:
        """A broker referred to by another resource; None if it is not alive."""
        for broker in await self.brokers("api.v3.brokers.get", cluster_id):
            if broker.broker_id == broker_id:
                return broker
        return None

    async def topics(self, identifier: str, cluster_id: str | None) -> list[Topic]:
        """All topics of a cluster."""
        found = await self._once(identifier, ListTopicDescriptions(cluster_id))
        if self._primes("topics", cluster_id):
            load = partial(_run_batch, self._core, "api.v3.topics.get", DescribeTopics)
            described = self._loader(DescribeTopics, load)
            for entry in found:
                await time_slice()
                described.prime((entry.topic.cluster_id, entry.topic.topic_name), entry)
        return [entry.topic for entry in found]

    async def topic(self, cluster_id: str | None, name: str) -> Topic:
        """A topic by name; TopicNotFound, InvalidTopicName."""
        return (await self.described("api.v3.topics.get", cluster_id, name)).topic

    async def described(self, identifier: str, cluster_id: str | None, topic: str) -> TopicDescription:
        """A topic with its partitions; TopicNotFound."""
        return await self._many(identifier, DescribeTopics, cluster_id, topic)

    async def partition(self, identifier: str, cluster_id: str | None, topic: str, partition_id: int) -> Partition:
        """A partition; TopicNotFound, PartitionNotFound."""
        partitions = (await self.described(identifier, cluster_id, topic)).partitions
        found = find_in_order(partitions, partition_id, attrgetter("partition_id"))
        if found is None:
            raise PartitionNotFound(topic_name=topic, partition_id=str(partition_id))
        return found

    async def configs(self, identifier: str, cluster_id: str | None, topic: str) -> Sequence[TopicConfig]:
        """The configs of a topic; TopicNotFound."""
        return await self._many(identifier, ReadTopicConfigs, cluster_id, topic)

    async def default_configs(self, cluster_id: str, topic: str) -> Sequence[TopicConfig]:
        """The configs that a new topic of this name would have."""
        return await self._many("api.v3.topic-default-configs.list", ReadTopicDefaultConfigs, cluster_id, topic)

    async def all_configs(self, cluster_id: str | None) -> Sequence[TopicConfig]:
        """The configs of all topics."""
        return await self._once("api.v3.topic-configs.list", ListTopicConfigs(cluster_id, None))

    async def config(self, cluster_id: str | None, topic: str, name: str) -> TopicConfig:
        """One config of a topic; TopicNotFound, NotFound."""
        return find(await self.configs("api.v3.topic-configs.get", cluster_id, topic), name)

    async def broker_configs(self, identifier: str, cluster_id: str | None, broker_id: int) -> Sequence[BrokerConfig]:
        """The configs of a broker; NotFound, RetriableKafkaError while it is down."""
        return await self._many(identifier, ReadBrokerConfigs, cluster_id, broker_id)

    async def broker_config(self, cluster_id: str | None, broker_id: int, name: str) -> BrokerConfig:
        """One config of a broker; NotFound."""
        return find(await self.broker_configs("api.v3.broker-configs.get", cluster_id, broker_id), name)

    async def cluster_configs(self, identifier: str, cluster_id: str) -> Sequence[ClusterConfig]:
        """The dynamic configs that are set for all brokers."""
        return await self._once(identifier, ListClusterConfigs(cluster_id))

    async def cluster_config(self, cluster_id: str, name: str) -> ClusterConfig:
        """One dynamic config of all brokers; NotFound if it is not set."""
        return find(await self.cluster_configs("api.v3.cluster-configs.get", cluster_id), name)

    async def authorized_operations(self, topic: Topic) -> list[str]:
        """What the caller may do with a topic (KIP-430)."""
        return await self._many("api.v3.topics.get", ReadAuthorizedOperations, topic.cluster_id, topic.topic_name)

    async def offsets(self, partition: Partition) -> PartitionOffsets:
        """The earliest and the latest offset of a partition."""
        return await self._many("api.v3.partitions.list.offsets", ReadOffsets, partition.cluster_id, partition)

    async def last_produced_time(self, cluster_id: str, topic: str) -> LastProducedTime:
        """The largest timestamp of a topic's records; TopicNotFound."""
        return await self._many("api.v3.topics.last-produced-time", ReadLastProducedTimes, cluster_id, topic)

    async def broker_replicas(self, broker: Broker) -> Sequence[Replica]:
        """The replicas that a broker holds, ordered by topic and partition."""
        identifier = "api.v3.replicas.search-by-broker"
        return await self._many(identifier, ReadBrokerReplicas, broker.cluster_id, broker.broker_id)

    async def all_replica_statuses(self, cluster_id: str) -> Sequence[ReplicaStatus]:
        """The status of all replicas of a cluster."""
        return await self._once("api.v3.topics.replica-statuses.list-all", ListAllReplicaStatuses(cluster_id))

    async def replica_statuses(self, identifier: str, cluster_id: str, topic: str) -> Sequence[ReplicaStatus]:
        """The status of the replicas of a topic, ordered by partition and broker; TopicNotFound."""
        return await self._many(identifier, ReadReplicaStatuses, cluster_id, topic)

    async def groups(self, identifier: str, cluster_id: str | None) -> list[ConsumerGroup]:
        """All consumer groups of a cluster."""
        found = await self._once(identifier, ListConsumerGroups(cluster_id))
        if self._primes("groups", cluster_id):
            load = partial(_run_batch, self._core, "api.v3.consumer-groups.get", DescribeGroups)
            described = self._loader(DescribeGroups, load)
            for group in found:
                await time_slice()
                described.prime((group.cluster_id, group.consumer_group_id), group)
        return found

    async def group(self, identifier: str, cluster_id: str | None, group_id: str) -> ConsumerGroup:
        """A consumer group with its members; ConsumerGroupNotFound."""
        return await self._many(identifier, DescribeGroups, cluster_id, group_id)

    async def lags(self, identifier: str, group: ConsumerGroup) -> Sequence[ConsumerLag]:
        """The lags of a group, largest first; empty if it has committed nothing."""
        return await self._many(identifier, ReadLags, group.cluster_id, group)

    async def lag(self, identifier: str, group: ConsumerGroup, topic: str, partition_id: int) -> ConsumerLag | None:
        """The lag of a group in a partition; None without a commit."""
        lags = await self.lags(identifier, group)
        key = (group.cluster_id, group.consumer_group_id)
        async with self._indexing:
            places = self._lag_places.get(key)
            if places is None:
                pairs = await in_slices(lambda lag: ((lag.topic_name, lag.partition_id), lag), lags)
                places = self._lag_places[key] = dict(pairs)
        return places.get((topic, partition_id))

    async def acls(self, request: ListAcls) -> list[Acl]:
        """The ACLs that match."""
        return await self._once("api.v3.acls.list", request)

    async def reassignments(self, identifier: str, cluster_id: str) -> list[PartitionReassignment]:
        """All reassignments of a cluster, ordered by topic and partition, from one request."""
        return await self._once(identifier, ListReassignments(cluster_id))

    async def reassignment(self, identifier: str, partition: Partition) -> PartitionReassignment | None:
        """The reassignment of a partition; None if it has none."""
        everything = await self.reassignments(identifier, partition.cluster_id)
        place = (partition.topic_name, partition.partition_id)
        return find_in_order(everything, place, lambda entry: (entry.topic_name, entry.partition_id))

    async def exclusions(self, identifier: str, cluster_id: str) -> Sequence[BrokerReplicaExclusion]:
        """All exclusions of brokers from new replicas, ordered by broker."""
        return await self._once(identifier, ListBrokerReplicaExclusions(cluster_id))

    async def broker_tasks(self, identifier: str, cluster_id: str) -> Sequence[BrokerTask]:
        """All tasks, ordered by broker and type."""
        return await self._once(identifier, ListAllBrokerTasks(cluster_id))

    async def broker_tasks_by_type(self, identifier: str, cluster_id: str, task_type: TaskType) -> Sequence[BrokerTask]:
        """Those of one type, ordered by broker; InvalidRequest."""
        return await self._once(identifier, ListAllBrokerTasksByType(cluster_id, task_type))

    async def remove_broker_tasks(self, identifier: str, cluster_id: str) -> Sequence[RemoveBrokerTask]:
        """The tasks that remove brokers, ordered by broker."""
        return await self._once(identifier, ListRemoveBrokerTasks(cluster_id))

    async def balancer(self, cluster_id: str) -> BalancerStatus:
        """Whether the balancer runs."""
        return await self._once("api.v3.balancer.get", GetBalancerStatus(cluster_id))

    async def any_uneven_load(self, cluster_id: str) -> AnyUnevenLoad:
        """Whether the load is even; BalancerOffline."""
        return await self._once("api.v3.balancer.any-uneven-load.get", GetAnyUnevenLoad(cluster_id))

    async def _once(self, identifier: str, request: Request[Answer]) -> Answer:
        """Run an operation once per distinct request, and return its answer."""
        self.admit(identifier)
        load = partial(_run_each, self._core, identifier)
        answer: Answer = await self._loader(type(request), load).load(request)
        return answer

    async def _many(self, identifier: str, kind: type[Many[_Key, _One]], cluster_id: str | None, key: _Key) -> _One:
        """Return the answer for one key, batched with other keys of the same cluster."""
        self.admit(identifier)
        load = partial(_run_batch, self._core, identifier, kind)
        answer: _One = await self._loader(kind, load).load((cluster_id, key))
        return answer

    def _loader(self, kind: type[Any], load: Callable[[list[Any]], Awaitable[list[Any]]]) -> _Loader:
        """Return the loader of a kind, created with ``load`` at the first use."""
        loader = self._loaders.get(kind)
        if loader is None:
            loader = self._loaders[kind] = _Loader(load)
        return loader

    def _primes(self, what: str, cluster_id: str | None) -> bool:
        """Return whether a list was loaded for the first time, so that its items should be cached."""
        if (what, cluster_id) in self._primed:
            return False
        self._primed.add((what, cluster_id))
        return True


class _Loader:
    """A DataLoader that works in time slices and tolerates cancelled callers.

    Strawberry's wakes all callers in one iteration of the loop. This one also batches keys that are requested in
    different iterations, and wakes callers in time slices.
    """

    def __init__(self, load: Callable[[list[Any]], Awaitable[list[Any]]]) -> None:
        self._load = load
        self._found: dict[Any, Any] = {}
        self._asked: dict[Any, Any] = {}
        self._waiting: dict[Any, list[asyncio.Future[None]]] = {}
        self._loading: set[asyncio.Task[None]] = set()

    async def load(self, key: Any) -> Any:
        """Return the value for a key, loading it once. Raises if the value is an error."""
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

    def prime(self, key: Any, value: Any) -> None:
        """Cache a value, unless the key was requested before."""
        identity = _identity(key)
        if identity not in self._waiting:
            self._found.setdefault(identity, value)

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


# Functions, not methods: a reference to the loader would make a reference cycle with all loaded data.
async def _run_each(core: Core, identifier: str, requests: list[Any]) -> list[Any]:
    runs = (core.run(identifier, request, CALLER) for request in requests)
    return await asyncio.gather(*runs, return_exceptions=True)


async def _run_batch(
    core: Core, identifier: str, kind: type[Many[Any, Any]], keys: list[tuple[str | None, Any]]
) -> list[Any]:
    answers: list[Any] = [None] * len(keys)
    for cluster_id in dict.fromkeys(cluster_id for cluster_id, _ in keys):
        places = [place for place, (of, _) in enumerate(keys) if of == cluster_id]
        request = kind(cluster_id, [keys[place][1] for place in places])
        try:
            found: Sequence[Any] = await core.run(identifier, request, CALLER)
        except FacadeError as error:
            found = [error] * len(places)
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer
    return answers


def _identity(key: Any) -> Any:
    """Return the identity of a key: a request's value, a partition's topic and number, or a group's id."""
    if isinstance(key, tuple):
        return tuple(_identity(part) for part in key)
    if isinstance(key, Partition):
        return (key.topic_name, key.partition_id)
    if isinstance(key, ConsumerGroup):
        return key.consumer_group_id
    return astuple(key) if hasattr(key, "__dataclass_fields__") else key
