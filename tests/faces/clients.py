"""Clients with the same operations for each face, for scenarios that run on all faces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from faces.generic import Operations
from kafka_facade.core.acls.model import (
    AclBinding,
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
    BatchCreateAcls,
    CreateAcl,
    DeleteAcls,
    ListAcls,
)
from kafka_facade.core.clusters.model import GetBroker, GetCluster, ListBrokers, ListClusters
from kafka_facade.core.configs.model import (
    AlterBrokerConfigs,
    AlterClusterConfigs,
    AlterOperation,
    AlterTopicConfigs,
    ConfigAlteration,
    GetBrokerConfig,
    GetClusterConfig,
    GetTopicConfig,
    ListBrokerConfigs,
    ListClusterConfigs,
    ListTopicConfigs,
    ResetBrokerConfig,
    ResetClusterConfig,
    ResetTopicConfig,
    UpdateBrokerConfig,
    UpdateClusterConfig,
    UpdateTopicConfig,
)
from kafka_facade.core.groups.model import (
    GetConsumer,
    GetConsumerAssignment,
    GetConsumerLag,
    GetLagSummary,
    ListConsumerAssignments,
    ListConsumerGroups,
    ListConsumerLags,
    ListConsumers,
)
from kafka_facade.core.instances.model import (
    AssignConsumer,
    DeleteConsumer,
    SeekToBeginning,
    SeekToEnd,
    SubscribeConsumer,
)
from kafka_facade.core.topics.model import (
    ConfigEntry,
    CreateTopic,
    DeleteTopic,
    GetTopic,
    ListTopics,
    UpdatePartitionCount,
)
from kafka_facade.core.topics.positions import TopicPartition


@dataclass
class Data:
    """A key or value: text for STRING, bytes (or an invalid value in their place) for BINARY, else a JSON value."""

    format: str
    data: Any
    schema: str | None = None


@dataclass
class Produced:
    """A record to produce."""

    value: Data | None = None
    key: Data | None = None
    partition: int | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    timestamp: str | None = None


class Reader(NamedTuple):
    """A member of a group."""

    consumer_id: str
    instance_id: str | None
    client_id: str


class Lag(NamedTuple):
    """The lag of a group in a partition, and the member that reads it."""

    topic: str
    partition: int
    reader: Reader
    current: int
    end: int
    lag: int


class LagSummary(NamedTuple):
    """The largest and the total lag."""

    topic: str
    partition: int
    reader: Reader
    largest: int
    total: int


Moving = tuple[str, int, list[int], list[int]]
"""A reassignment: topic, partition, the brokers that are added and those that are removed."""

TOPIC_MEMBERS = ("topic_name", "partitions_count", "replication_factor", "is_internal")
ACL_TYPES = {
    "resource_type": AclResourceType,
    "pattern_type": AclPatternType,
    "operation": AclOperation,
    "permission": AclPermission,
}
ACL_MEMBERS = ("resource_type", "resource_name", "pattern_type", "principal", "host", "operation", "permission")


class FaceClient(Operations, Protocol):
    """What the scenarios ask of a face. Positions and offsets are ``(topic, partition, offset)``.

    Most of it is the same on each face, through :meth:`run`.
    """

    shows_undecodable: bool
    """Whether a fetch has the bytes of what is not of the format; else it fails, as the reference says."""

    async def partitions(self, cluster: str, topic: str) -> list[tuple[int, int]]: ...
    async def partition(self, cluster: str, topic: str, partition: int) -> tuple[int, int]: ...
    async def produce(self, cluster: str, topic: str, record: Produced) -> tuple[int, int]: ...
    async def create_consumer(self, group: str, name: str, **settings: str) -> str: ...
    async def fetch(self, group: str, name: str, format: str, timeout_ms: int) -> list[tuple[int, Any, Any]]: ...
    async def commit(self, group: str, name: str, offsets: list[tuple[str, int, int]] | None = None) -> None: ...
    async def seek(self, group: str, name: str, offsets: list[tuple[str, int, int]]) -> None: ...
    async def consumer_group(self, cluster: str, group: str) -> dict[str, Any]: ...
    async def alter_many_configs(
        self, cluster: str, changes: dict[str, list[dict[str, str]]], validate_only: bool = False
    ) -> list[tuple[str, tuple[Any, ...], str]]:
        """The rejected topics: name, code of the error besides its status, message."""

    async def all_broker_configs(self, cluster: str) -> list[tuple[int, str]]:
        """Broker and name of each config of all brokers."""

    async def not_served_yet(self, cluster: str) -> None:
        """Call an operation that is not implemented."""

    async def produce_batch(
        self, cluster: str, topic: str, entries: list[tuple[str, Produced]]
    ) -> tuple[list[tuple[str, int, int]], list[tuple[str, tuple[Any, ...]]]]:
        """The successes (id, partition, offset) and the failures (id, codes)."""

    async def reassignments(self, cluster: str, topic: str | None = None) -> list[Moving]: ...
    async def reassignment(self, cluster: str, topic: str, partition: int) -> Moving | None:
        """The reassignment of a partition; None if there is none (NotFound in REST and gRPC)."""

    async def produce_with_schema(self, cluster: str, topic: str, value: dict[str, Any]) -> dict[str, Any]:
        """Produce a value as REST writes it, with ``type``, ``schema``, ``schema_id`` and so on; its report."""

    async def clusters(self) -> list[str]:
        return [entry["cluster_id"] for entry in await self.run("api.v3.clusters.list", ListClusters())]

    async def cluster(self, cluster: str) -> str:
        return str((await self.run("api.v3.clusters.get", GetCluster(cluster)))["cluster_id"])

    async def brokers(self, cluster: str) -> list[tuple[int, str, int]]:
        found = await self.run("api.v3.brokers.list", ListBrokers(cluster))
        return [(entry["broker_id"], entry["host"], entry["port"]) for entry in found]

    async def broker(self, cluster: str, broker: int) -> tuple[int, str, int]:
        found = await self.run("api.v3.brokers.get", GetBroker(cluster, broker))
        return (found["broker_id"], found["host"], found["port"])

    async def topics(self, cluster: str) -> list[str]:
        return [entry["topic_name"] for entry in await self.run("api.v3.topics.list", ListTopics(cluster))]

    async def topic(self, cluster: str, topic: str) -> dict[str, Any]:
        return _only(TOPIC_MEMBERS, await self.run("api.v3.topics.get", GetTopic(cluster, topic)))

    async def create_topic(self, cluster: str, topic: str, **settings: Any) -> dict[str, Any]:
        configs = [ConfigEntry(**entry) for entry in settings.pop("configs", ())]
        request = CreateTopic(cluster, topic, configs=configs, **settings)
        return _only(TOPIC_MEMBERS, await self.run("api.v3.topics.create", request))

    async def delete_topic(self, cluster: str, topic: str) -> None:
        await self.run("api.v3.topics.delete", DeleteTopic(cluster, topic))

    async def update_partitions(self, cluster: str, topic: str, count: int) -> dict[str, Any]:
        request = UpdatePartitionCount(cluster, topic, count)
        return _only(TOPIC_MEMBERS, await self.run("api.v3.topics.partitions", request))

    async def configs(self, cluster: str, topic: str) -> dict[str, str | None]:
        return _by_name(await self.run("api.v3.topic-configs.list", ListTopicConfigs(cluster, topic)))

    async def config(self, cluster: str, topic: str, name: str) -> tuple[str, bool]:
        found = await self.run("api.v3.topic-configs.get", GetTopicConfig(cluster, topic, name))
        return (found["value"], found["is_default"])

    async def update_config(self, cluster: str, topic: str, name: str, value: str) -> None:
        await self.run("api.v3.topic-configs.update", UpdateTopicConfig(cluster, topic, name, value))

    async def reset_config(self, cluster: str, topic: str, name: str) -> None:
        await self.run("api.v3.topic-configs.delete", ResetTopicConfig(cluster, topic, name))

    async def alter_configs(self, cluster: str, topic: str, changes: list[dict[str, str]]) -> None:
        await self.run("api.v3.topic-configs.alter", AlterTopicConfigs(cluster, topic, _alterations(changes)))

    async def broker_configs(self, cluster: str, broker: int) -> dict[str, str | None]:
        return _by_name(await self.run("api.v3.broker-configs.list", ListBrokerConfigs(cluster, broker)))

    async def broker_config(self, cluster: str, broker: int, name: str) -> dict[str, Any]:
        """A config, with synonyms as ``(value, source)``."""
        return _config(await self.run("api.v3.broker-configs.get", GetBrokerConfig(cluster, broker, name)))

    async def update_broker_config(self, cluster: str, broker: int, name: str, value: str) -> None:
        await self.run("api.v3.broker-configs.update", UpdateBrokerConfig(cluster, broker, name, value))

    async def reset_broker_config(self, cluster: str, broker: int, name: str) -> None:
        await self.run("api.v3.broker-configs.delete", ResetBrokerConfig(cluster, broker, name))

    async def alter_broker_configs(
        self, cluster: str, broker: int, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None:
        request = AlterBrokerConfigs(cluster, broker, _alterations(changes), validate_only)
        await self.run("api.v3.broker-configs.alter", request)

    async def cluster_configs(self, cluster: str) -> dict[str, str | None]:
        return _by_name(await self.run("api.v3.cluster-configs.list", ListClusterConfigs(cluster)))

    async def cluster_config(self, cluster: str, name: str) -> dict[str, Any]:
        """As broker_config."""
        return _config(await self.run("api.v3.cluster-configs.get", GetClusterConfig(cluster, name)))

    async def update_cluster_config(self, cluster: str, name: str, value: str) -> None:
        await self.run("api.v3.cluster-configs.update", UpdateClusterConfig(cluster, name, value))

    async def reset_cluster_config(self, cluster: str, name: str) -> None:
        await self.run("api.v3.cluster-configs.delete", ResetClusterConfig(cluster, name))

    async def alter_cluster_configs(
        self, cluster: str, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None:
        request = AlterClusterConfigs(cluster, _alterations(changes), validate_only)
        await self.run("api.v3.cluster-configs.alter", request)

    async def consumer_groups(self, cluster: str) -> dict[str, str]:
        found = await self.run("api.v3.consumer-groups.list", ListConsumerGroups(cluster))
        return {entry["consumer_group_id"]: entry["state"] for entry in found}

    async def consumers(self, cluster: str, group: str) -> list[Reader]:
        return [_reader(entry) for entry in await self.run("api.v3.consumers.list", ListConsumers(cluster, group))]

    async def consumer(self, cluster: str, group: str, consumer: str) -> Reader:
        return _reader(await self.run("api.v3.consumers.get", GetConsumer(cluster, group, consumer)))

    async def consumer_assignments(self, cluster: str, group: str, consumer: str) -> list[tuple[str, int]]:
        found = await self.run("api.v3.consumer-assignments.list", ListConsumerAssignments(cluster, group, consumer))
        return [(entry["topic_name"], entry["partition_id"]) for entry in found]

    async def consumer_assignment(
        self, cluster: str, group: str, consumer: str, topic: str, partition: int
    ) -> tuple[str, int]:
        request = GetConsumerAssignment(cluster, group, consumer, topic, partition)
        found = await self.run("api.v3.consumer-assignments.get", request)
        return (found["topic_name"], found["partition_id"])

    async def lag_summary(self, cluster: str, group: str) -> LagSummary:
        found = await self.run("api.v3.consumer-group-lag-summary.get", GetLagSummary(cluster, group))
        reader = _reader({name.removeprefix("max_lag_"): value for name, value in found.items()})
        place = (found["max_lag_topic_name"], found["max_lag_partition_id"])
        return LagSummary(*place, reader, found["max_lag"], found["total_lag"])

    async def lags(self, cluster: str, group: str) -> list[Lag]:
        return [_lag(entry) for entry in await self.run("api.v3.consumer-lags.list", ListConsumerLags(cluster, group))]

    async def lag(self, cluster: str, group: str, topic: str, partition: int) -> Lag:
        return _lag(await self.run("api.v3.consumer-lags.get", GetConsumerLag(cluster, group, topic, partition)))

    async def acls(self, cluster: str, **filters: str) -> list[dict[str, str]]:
        found = await self.run("api.v3.acls.list", ListAcls(cluster, **_known(filters)))
        return [_only(ACL_MEMBERS, entry) for entry in found]

    async def create_acl(self, cluster: str, acl: dict[str, str]) -> None:
        created = await self.run("api.v3.acls.create", CreateAcl(cluster_id=cluster, **_known(acl)))
        assert created is None or _only(ACL_MEMBERS, created) == acl

    async def create_acls(self, cluster: str, acls: list[dict[str, str]]) -> None:
        bindings = [AclBinding(**_known(acl)) for acl in acls]
        created = await self.run("api.v3.acls.batch-create", BatchCreateAcls(cluster, bindings))
        assert created is None or [_only(ACL_MEMBERS, entry) for entry in created] == acls

    async def delete_acls(self, cluster: str, **filters: str) -> list[dict[str, str]]:
        found = await self.run("api.v3.acls.delete", DeleteAcls(cluster, **_known(filters)))
        return [_only(ACL_MEMBERS, entry) for entry in found]

    async def subscribe(self, group: str, name: str, topics: list[str]) -> None:
        await self.run("api.v2.consumers.subscribe", SubscribeConsumer(group, name, topics))

    async def assign(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        places = [TopicPartition(*place) for place in partitions]
        await self.run("api.v2.consumers.assign", AssignConsumer(group, name, places))

    async def seek_to_beginning(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        places = [TopicPartition(*place) for place in partitions]
        await self.run("api.v2.consumers.seek-to-beginning", SeekToBeginning(group, name, places))

    async def seek_to_end(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        places = [TopicPartition(*place) for place in partitions]
        await self.run("api.v2.consumers.seek-to-end", SeekToEnd(group, name, places))

    async def delete_consumer(self, group: str, name: str) -> None:
        await self.run("api.v2.consumers.delete", DeleteConsumer(group, name))


def _only(names: tuple[str, ...], found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in names}


def _by_name(found: list[dict[str, Any]]) -> dict[str, str | None]:
    return {entry["name"]: entry["value"] for entry in found}


def _config(found: dict[str, Any]) -> dict[str, Any]:
    synonyms = [(entry["value"], entry["source"]) for entry in found["synonyms"]]
    return _only(("name", "value", "source", "is_default", "is_read_only", "is_sensitive"), found) | {
        "synonyms": synonyms
    }


def _alterations(changes: list[dict[str, str]]) -> list[ConfigAlteration]:
    return [
        ConfigAlteration(entry["name"], entry.get("value"), AlterOperation(entry.get("operation", "SET")))
        for entry in changes
    ]


def _reader(found: dict[str, Any]) -> Reader:
    return Reader(found["consumer_id"], found["instance_id"], found["client_id"])


def _lag(found: dict[str, Any]) -> Lag:
    numbers = (found["current_offset"], found["log_end_offset"], found["lag"])
    return Lag(found["topic_name"], found["partition_id"], _reader(found), *numbers)


def _known(given: dict[str, str]) -> dict[str, Any]:
    """The members of an ACL or a filter, as the core has them."""
    return {name: ACL_TYPES[name](value) if name in ACL_TYPES else value for name, value in given.items()}
