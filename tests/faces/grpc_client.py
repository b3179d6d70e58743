"""The operations through gRPC."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from faces.clients import ACL_MEMBERS, Data, FaceError, Lag, LagSummary, Moving, Produced, Reader
from kafka_facade.core.errors import FacadeError, NotFound
from kafka_facade.rpc.gen.v1 import acl_pb2 as acls
from kafka_facade.rpc.gen.v1 import broker_config_pb2 as broker_configs
from kafka_facade.rpc.gen.v1 import broker_pb2 as brokers
from kafka_facade.rpc.gen.v1 import cluster_config_pb2 as cluster_configs
from kafka_facade.rpc.gen.v1 import cluster_link_pb2 as links
from kafka_facade.rpc.gen.v1 import cluster_pb2 as clusters
from kafka_facade.rpc.gen.v1 import config_pb2 as config
from kafka_facade.rpc.gen.v1 import consumer_group_pb2 as groups
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2 as consumers
from kafka_facade.rpc.gen.v1 import partition_pb2 as partitions
from kafka_facade.rpc.gen.v1 import partition_reassignment_pb2 as reassignments
from kafka_facade.rpc.gen.v1 import record_pb2 as records
from kafka_facade.rpc.gen.v1 import topic_config_pb2 as topic_configs
from kafka_facade.rpc.gen.v1 import topic_pb2
from kafka_facade.rpc.gen.v1 import topic_pb2 as topics
from kafka_facade.rpc.gen.v1.acl_pb2_grpc import AclServiceStub
from kafka_facade.rpc.gen.v1.broker_config_pb2_grpc import BrokerConfigServiceStub
from kafka_facade.rpc.gen.v1.broker_pb2_grpc import BrokerServiceStub
from kafka_facade.rpc.gen.v1.cluster_config_pb2_grpc import ClusterConfigServiceStub
from kafka_facade.rpc.gen.v1.cluster_link_pb2_grpc import ClusterLinkServiceStub
from kafka_facade.rpc.gen.v1.cluster_pb2_grpc import ClusterServiceStub
from kafka_facade.rpc.gen.v1.consumer_group_pb2_grpc import ConsumerGroupServiceStub
from kafka_facade.rpc.gen.v1.consumer_instance_pb2_grpc import ConsumerInstanceServiceStub
from kafka_facade.rpc.gen.v1.partition_pb2_grpc import PartitionServiceStub
from kafka_facade.rpc.gen.v1.partition_reassignment_pb2_grpc import PartitionReassignmentServiceStub
from kafka_facade.rpc.gen.v1.record_pb2_grpc import RecordServiceStub
from kafka_facade.rpc.gen.v1.topic_config_pb2_grpc import TopicConfigServiceStub
from kafka_facade.rpc.gen.v1.topic_pb2_grpc import TopicServiceStub

_T = TypeVar("_T")


def _error(status: Status) -> FaceError:
    info = ErrorInfo()
    [detail] = [detail for detail in status.details if detail.Is(ErrorInfo.DESCRIPTOR)]
    detail.Unpack(info)
    return FaceError((status.code, info.reason, int(info.metadata["error_code"])), status.message)


async def _call(call: Awaitable[_T]) -> _T:
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        details = dict(failure.trailing_metadata() or ())["grpc-status-details-bin"]
        assert isinstance(details, bytes)
        raise _error(Status.FromString(details)) from failure


class GrpcClient:
    """The gRPC face."""

    shows_undecodable = True

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._clusters = ClusterServiceStub(self._channel)
        self._brokers = BrokerServiceStub(self._channel)
        self._topics = TopicServiceStub(self._channel)
        self._partitions = PartitionServiceStub(self._channel)
        self._configs = TopicConfigServiceStub(self._channel)
        self._records = RecordServiceStub(self._channel)
        self._consumers = ConsumerInstanceServiceStub(self._channel)
        self._links = ClusterLinkServiceStub(self._channel)
        self._groups = ConsumerGroupServiceStub(self._channel)
        self._acls = AclServiceStub(self._channel)
        self._reassignments = PartitionReassignmentServiceStub(self._channel)
        self._broker_configs = BrokerConfigServiceStub(self._channel)
        self._cluster_configs = ClusterConfigServiceStub(self._channel)

    def codes(self, kind: type[FacadeError], *, v2: bool = False) -> tuple[Any, ...]:
        return (getattr(grpc.StatusCode, kind.codes.grpc).value[0], kind.reason, kind.codes.v3)

    async def clusters(self) -> list[str]:
        answer = await _call(self._clusters.ListClusters(clusters.ListClustersRequest()))
        return [cluster.cluster_id for cluster in answer.clusters]

    async def cluster(self, cluster: str) -> str:
        return (await _call(self._clusters.GetCluster(clusters.GetClusterRequest(cluster_id=cluster)))).cluster_id

    async def brokers(self, cluster: str) -> list[tuple[int, str, int]]:
        answer = await _call(self._brokers.ListBrokers(brokers.ListBrokersRequest(cluster_id=cluster)))
        return [(broker.broker_id, broker.host, broker.port) for broker in answer.brokers]

    async def broker(self, cluster: str, broker: int) -> tuple[int, str, int]:
        request = brokers.GetBrokerRequest(cluster_id=cluster, broker_id=broker)
        found = await _call(self._brokers.GetBroker(request))
        return (found.broker_id, found.host, found.port)

    async def topics(self, cluster: str) -> list[str]:
        names: list[str] = []
        token = ""
        while True:
            request = topics.ListTopicsRequest(cluster_id=cluster, page_token=token)
            answer = await _call(self._topics.ListTopics(request))
            names += [topic.topic_name for topic in answer.topics]
            token = answer.next_page_token
            if not token:
                return names

    def _topic(self, found: topic_pb2.Topic) -> dict[str, Any]:
        return {
            "topic_name": found.topic_name,
            "partitions_count": found.partitions_count,
            "replication_factor": found.replication_factor,
            "is_internal": found.is_internal,
        }

    async def topic(self, cluster: str, topic: str) -> dict[str, Any]:
        request = topics.GetTopicRequest(cluster_id=cluster, topic_name=topic)
        return self._topic(await _call(self._topics.GetTopic(request)))

    async def create_topic(self, cluster: str, topic: str, **settings: Any) -> dict[str, Any]:
        entries = [config.ConfigEntry(**entry) for entry in settings.pop("configs", [])]
        request = topics.CreateTopicRequest(cluster_id=cluster, topic_name=topic, configs=entries, **settings)
        return self._topic(await _call(self._topics.CreateTopic(request)))

    async def delete_topic(self, cluster: str, topic: str) -> None:
        await _call(self._topics.DeleteTopic(topics.DeleteTopicRequest(cluster_id=cluster, topic_name=topic)))

    async def update_partitions(self, cluster: str, topic: str, count: int) -> dict[str, Any]:
        request = topics.UpdatePartitionCountRequest(cluster_id=cluster, topic_name=topic, partitions_count=count)
        return self._topic(await _call(self._topics.UpdatePartitionCount(request)))

    async def partitions(self, cluster: str, topic: str) -> list[tuple[int, int]]:
        request = partitions.ListPartitionsRequest(cluster_id=cluster, topic_name=topic)
        answer = await _call(self._partitions.ListPartitions(request))
        return [(found.partition_id, found.leader_id) for found in answer.partitions]

    async def partition(self, cluster: str, topic: str, partition: int) -> tuple[int, int]:
        request = partitions.GetPartitionRequest(cluster_id=cluster, topic_name=topic, partition_id=partition)
        found = await _call(self._partitions.GetPartition(request))
        return (found.partition_id, found.leader_id)

    async def configs(self, cluster: str, topic: str) -> dict[str, str]:
        request = topic_configs.ListTopicConfigsRequest(cluster_id=cluster, topic_name=topic)
        answer = await _call(self._configs.ListTopicConfigs(request))
        return {found.name: found.value for found in answer.topic_configs}

    async def config(self, cluster: str, topic: str, name: str) -> tuple[str, bool]:
        request = topic_configs.GetTopicConfigRequest(cluster_id=cluster, topic_name=topic, name=name)
        found = await _call(self._configs.GetTopicConfig(request))
        return (found.value, found.is_default)

    async def update_config(self, cluster: str, topic: str, name: str, value: str) -> None:
        request = topic_configs.UpdateTopicConfigRequest(cluster_id=cluster, topic_name=topic, name=name, value=value)
        await _call(self._configs.UpdateTopicConfig(request))

    async def reset_config(self, cluster: str, topic: str, name: str) -> None:
        request = topic_configs.ResetTopicConfigRequest(cluster_id=cluster, topic_name=topic, name=name)
        await _call(self._configs.ResetTopicConfig(request))

    async def alter_configs(self, cluster: str, topic: str, changes: list[dict[str, str]]) -> None:
        data = self._changes(changes)
        request = topic_configs.AlterTopicConfigsRequest(cluster_id=cluster, topic_name=topic, data=data)
        await _call(self._configs.AlterTopicConfigs(request))

    def _changes(self, changes: list[dict[str, str]]) -> list[Any]:
        return [
            config.ConfigAlteration(
                name=change["name"],
                value=change.get("value"),
                operation=config.AlterOperation.Value(f"ALTER_OPERATION_{change.get('operation', 'SET')}"),
            )
            for change in changes
        ]

    def _data(self, data: Data | None) -> records.RecordData | None:
        if data is None:
            return None
        match data.format:
            case format if data.data is None:
                return records.RecordData(format=records.Format.Value(f"FORMAT_{format}"))
            case "BINARY" if isinstance(data.data, bytes):
                return records.RecordData(binary=data.data)
            case "STRING" if isinstance(data.data, str):
                return records.RecordData(text=data.data)
        # JSON, data with a schema, or data that isn't of its format.
        return records.RecordData(
            json=json.dumps(data.data),
            format=records.Format.Value(f"FORMAT_{data.format}"),
            schema=None if data.schema is None else records.SchemaSelector(schema=data.schema),
        )

    async def produce(self, cluster: str, topic: str, record: Produced) -> tuple[int, int]:
        entry = self._record(record)
        request = records.ProduceRecordsRequest(cluster_id=cluster, topic_name=topic, records=[entry])
        [result] = (await _call(self._records.ProduceRecords(request))).results
        if result.HasField("error"):
            raise _error(result.error)
        return (result.report.partition_id, result.report.offset)

    async def create_consumer(self, group: str, name: str, **settings: str) -> str:
        request = consumers.CreateConsumerInstanceRequest(consumer_group_id=group, instance_id=name)
        if "format" in settings:
            request.format = records.Format.Value(f"FORMAT_{settings['format']}")
        if "auto_offset_reset" in settings:
            request.auto_offset_reset = settings["auto_offset_reset"]
        if "auto_commit" in settings:
            request.auto_commit = settings["auto_commit"] == "true"
        if "request_timeout_ms" in settings:
            request.request_timeout_ms = int(settings["request_timeout_ms"])
        return (await _call(self._consumers.CreateConsumerInstance(request))).instance_id

    async def subscribe(self, group: str, name: str, topics: list[str]) -> None:
        await _call(
            self._consumers.Subscribe(
                consumers.SubscribeRequest(consumer_group_id=group, instance_id=name, topic_names=topics)
            )
        )

    async def assign(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        wanted = [consumers.TopicPartition(topic_name=topic, partition_id=number) for topic, number in partitions]
        await _call(
            self._consumers.AssignPartitions(
                consumers.AssignPartitionsRequest(consumer_group_id=group, instance_id=name, partitions=wanted)
            )
        )

    async def fetch(self, group: str, name: str, format: str, timeout_ms: int) -> list[tuple[int, Any, Any]]:
        request = consumers.FetchRecordsRequest(
            consumer_group_id=group,
            instance_id=name,
            format=records.Format.Value(f"FORMAT_{format}"),
            timeout_ms=timeout_ms,
        )
        answer = await _call(self._consumers.FetchRecords(request))
        return [(found.offset, self._decoded(found.key), self._decoded(found.value)) for found in answer.records]

    def _decoded(self, data: records.RecordData) -> Any:
        match data.WhichOneof("data"):
            case "binary":
                return data.binary
            case "json":
                return json.loads(data.json)
            case "text":
                return data.text
        return None

    def _positions(self, offsets: list[tuple[str, int, int]]) -> list[consumers.PartitionPosition]:
        return [consumers.PartitionPosition(topic_name=t, partition_id=p, offset=o) for t, p, o in offsets]

    async def commit(self, group: str, name: str, offsets: list[tuple[str, int, int]] | None = None) -> None:
        request = consumers.CommitOffsetsRequest(
            consumer_group_id=group, instance_id=name, offsets=self._positions(offsets or [])
        )
        await _call(self._consumers.CommitOffsets(request))

    async def seek(self, group: str, name: str, offsets: list[tuple[str, int, int]]) -> None:
        request = consumers.SeekToOffsetsRequest(
            consumer_group_id=group, instance_id=name, offsets=self._positions(offsets)
        )
        await _call(self._consumers.SeekToOffsets(request))

    def _named(self, partitions: list[tuple[str, int]]) -> list[consumers.TopicPartition]:
        return [consumers.TopicPartition(topic_name=topic, partition_id=partition) for topic, partition in partitions]

    async def seek_to_beginning(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        request = consumers.SeekToBeginningRequest(
            consumer_group_id=group, instance_id=name, partitions=self._named(partitions)
        )
        await _call(self._consumers.SeekToBeginning(request))

    async def seek_to_end(self, group: str, name: str, partitions: list[tuple[str, int]]) -> None:
        request = consumers.SeekToEndRequest(
            consumer_group_id=group, instance_id=name, partitions=self._named(partitions)
        )
        await _call(self._consumers.SeekToEnd(request))

    async def delete_consumer(self, group: str, name: str) -> None:
        request = consumers.DeleteConsumerInstanceRequest(consumer_group_id=group, instance_id=name)
        await _call(self._consumers.DeleteConsumerInstance(request))

    async def consumer_groups(self, cluster: str) -> dict[str, str]:
        request = groups.ListConsumerGroupsRequest(cluster_id=cluster, page_size=1000)
        found = (await _call(self._groups.ListConsumerGroups(request))).consumer_groups
        return {entry.consumer_group_id: self._state(entry) for entry in found}

    def _state(self, found: groups.ConsumerGroup) -> str:
        return groups.ConsumerGroupState.Name(found.state).removeprefix("CONSUMER_GROUP_STATE_")

    async def consumer_group(self, cluster: str, group: str) -> dict[str, Any]:
        request = groups.GetConsumerGroupRequest(cluster_id=cluster, consumer_group_id=group)
        found = await _call(self._groups.GetConsumerGroup(request))
        return {
            "is_simple": found.is_simple,
            "partition_assignor": found.partition_assignor,
            "state": self._state(found),
            "type": groups.ConsumerGroupType.Name(found.type).removeprefix("CONSUMER_GROUP_TYPE_"),
            "is_mixed_consumer_group": found.is_mixed_consumer_group,
            "coordinator_id": found.coordinator_id,
        }

    def _reader(self, found: groups.Consumer | groups.ConsumerLag) -> Reader:
        instance = found.instance_id if found.HasField("instance_id") else None
        return Reader(found.consumer_id, instance, found.client_id)

    async def consumers(self, cluster: str, group: str) -> list[Reader]:
        request = groups.ListConsumersRequest(cluster_id=cluster, consumer_group_id=group)
        return [self._reader(entry) for entry in (await _call(self._groups.ListConsumers(request))).consumers]

    async def consumer(self, cluster: str, group: str, consumer: str) -> Reader:
        request = groups.GetConsumerRequest(cluster_id=cluster, consumer_group_id=group, consumer_id=consumer)
        return self._reader(await _call(self._groups.GetConsumer(request)))

    async def consumer_assignments(self, cluster: str, group: str, consumer: str) -> list[tuple[str, int]]:
        request = groups.ListConsumerAssignmentsRequest(
            cluster_id=cluster, consumer_group_id=group, consumer_id=consumer
        )
        found = await _call(self._groups.ListConsumerAssignments(request))
        return [(entry.topic_name, entry.partition_id) for entry in found.consumer_assignments]

    async def consumer_assignment(
        self, cluster: str, group: str, consumer: str, topic: str, partition: int
    ) -> tuple[str, int]:
        request = groups.GetConsumerAssignmentRequest(
            cluster_id=cluster,
            consumer_group_id=group,
            consumer_id=consumer,
            topic_name=topic,
            partition_id=partition,
        )
        found = await _call(self._groups.GetConsumerAssignment(request))
        return (found.topic_name, found.partition_id)

    async def lag_summary(self, cluster: str, group: str) -> LagSummary:
        request = groups.GetConsumerGroupLagSummaryRequest(cluster_id=cluster, consumer_group_id=group)
        found = await _call(self._groups.GetConsumerGroupLagSummary(request))
        instance = found.max_lag_instance_id if found.HasField("max_lag_instance_id") else None
        reader = Reader(found.max_lag_consumer_id, instance, found.max_lag_client_id)
        return LagSummary(found.max_lag_topic_name, found.max_lag_partition_id, reader, found.max_lag, found.total_lag)

    def _lag(self, found: groups.ConsumerLag) -> Lag:
        numbers = (found.current_offset, found.log_end_offset, found.lag)
        return Lag(found.topic_name, found.partition_id, self._reader(found), *numbers)

    async def lags(self, cluster: str, group: str) -> list[Lag]:
        request = groups.ListConsumerLagsRequest(cluster_id=cluster, consumer_group_id=group)
        return [self._lag(entry) for entry in (await _call(self._groups.ListConsumerLags(request))).consumer_lags]

    async def lag(self, cluster: str, group: str, topic: str, partition: int) -> Lag:
        request = groups.GetConsumerLagRequest(
            cluster_id=cluster, consumer_group_id=group, topic_name=topic, partition_id=partition
        )
        return self._lag(await _call(self._groups.GetConsumerLag(request)))

    async def alter_many_configs(
        self, cluster: str, changes: dict[str, list[dict[str, str]]], validate_only: bool = False
    ) -> list[tuple[str, tuple[Any, ...], str]]:
        data = [
            topic_configs.TopicConfigAlterations(topic_name=topic, configs=self._changes(configs))
            for topic, configs in changes.items()
        ]
        request = topic_configs.AlterMultipleTopicConfigsRequest(
            cluster_id=cluster, data=data, validate_only=validate_only
        )
        answer = await _call(self._configs.AlterMultipleTopicConfigs(request))
        errors = [(failure.topic_name, _error(failure.error)) for failure in answer.failures]
        return [(topic, error.codes[1:], error.message) for topic, error in errors]

    def _config(self, found: broker_configs.BrokerConfig | cluster_configs.ClusterConfig) -> dict[str, Any]:
        def source(number: config.ConfigSource.ValueType) -> str:
            return config.ConfigSource.Name(number).removeprefix("CONFIG_SOURCE_")

        return {
            "name": found.name,
            "value": found.value if found.HasField("value") else None,
            "source": source(found.source),
            "is_default": found.is_default,
            "is_read_only": found.is_read_only,
            "is_sensitive": found.is_sensitive,
            "synonyms": [
                (entry.value if entry.HasField("value") else None, source(entry.source)) for entry in found.synonyms
            ],
        }

    async def broker_configs(self, cluster: str, broker: int) -> dict[str, str | None]:
        request = broker_configs.ListBrokerConfigsRequest(cluster_id=cluster, broker_id=broker, page_size=1000)
        answer = await _call(self._broker_configs.ListBrokerConfigs(request))
        return {found.name: found.value if found.HasField("value") else None for found in answer.broker_configs}

    async def all_broker_configs(self, cluster: str) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        token = ""
        while token or not found:
            request = broker_configs.ListAllBrokerConfigsRequest(cluster_id=cluster, page_size=100, page_token=token)
            answer = await _call(self._broker_configs.ListAllBrokerConfigs(request))
            found += [(entry.broker_id, entry.name) for entry in answer.broker_configs]
            token = answer.next_page_token
            if not token:
                assert answer.total_size == len(found)
        return found

    async def broker_config(self, cluster: str, broker: int, name: str) -> dict[str, Any]:
        request = broker_configs.GetBrokerConfigRequest(cluster_id=cluster, broker_id=broker, name=name)
        return self._config(await _call(self._broker_configs.GetBrokerConfig(request)))

    async def update_broker_config(self, cluster: str, broker: int, name: str, value: str) -> None:
        request = broker_configs.UpdateBrokerConfigRequest(cluster_id=cluster, broker_id=broker, name=name, value=value)
        await _call(self._broker_configs.UpdateBrokerConfig(request))

    async def reset_broker_config(self, cluster: str, broker: int, name: str) -> None:
        request = broker_configs.ResetBrokerConfigRequest(cluster_id=cluster, broker_id=broker, name=name)
        await _call(self._broker_configs.ResetBrokerConfig(request))

    async def alter_broker_configs(
        self, cluster: str, broker: int, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None:
        request = broker_configs.AlterBrokerConfigsRequest(
            cluster_id=cluster, broker_id=broker, data=self._changes(changes), validate_only=validate_only
        )
        await _call(self._broker_configs.AlterBrokerConfigs(request))

    async def cluster_configs(self, cluster: str) -> dict[str, str | None]:
        request = cluster_configs.ListClusterConfigsRequest(cluster_id=cluster)
        answer = await _call(self._cluster_configs.ListClusterConfigs(request))
        return {found.name: found.value if found.HasField("value") else None for found in answer.cluster_configs}

    async def cluster_config(self, cluster: str, name: str) -> dict[str, Any]:
        request = cluster_configs.GetClusterConfigRequest(cluster_id=cluster, name=name)
        return self._config(await _call(self._cluster_configs.GetClusterConfig(request)))

    async def update_cluster_config(self, cluster: str, name: str, value: str) -> None:
        request = cluster_configs.UpdateClusterConfigRequest(cluster_id=cluster, name=name, value=value)
        await _call(self._cluster_configs.UpdateClusterConfig(request))

    async def reset_cluster_config(self, cluster: str, name: str) -> None:
        request = cluster_configs.ResetClusterConfigRequest(cluster_id=cluster, name=name)
        await _call(self._cluster_configs.ResetClusterConfig(request))

    async def alter_cluster_configs(
        self, cluster: str, changes: list[dict[str, str]], validate_only: bool = False
    ) -> None:
        request = cluster_configs.AlterClusterConfigsRequest(
            cluster_id=cluster, data=self._changes(changes), validate_only=validate_only
        )
        await _call(self._cluster_configs.AlterClusterConfigs(request))

    async def not_served_yet(self, cluster: str) -> None:
        await _call(self._links.ListLinks(links.ListLinksRequest(cluster_id=cluster)))

    async def close(self) -> None:
        await self._channel.close()

    def _record(self, record: Produced) -> records.RecordToProduce:
        headers = [records.Header(name=name, value=value) for name, value in record.headers]
        return records.RecordToProduce(
            key=self._data(record.key), value=self._data(record.value), partition_id=record.partition, headers=headers
        )

    def _acl_values(self, given: dict[str, str]) -> dict[str, Any]:
        kinds: dict[str, Any] = {
            "resource_type": acls.AclResourceType,
            "pattern_type": acls.AclPatternType,
            "operation": acls.AclOperation,
            "permission": acls.AclPermission,
        }
        return {
            name: kinds[name].Value(f"ACL_{name.upper()}_{value}") if name in kinds else value
            for name, value in given.items()
        }

    def _acl_dicts(self, found: Any) -> list[dict[str, str]]:
        plain = []
        for entry in found:
            values = {name: getattr(entry, name) for name in ACL_MEMBERS}
            fields = entry.DESCRIPTOR.fields_by_name
            for name, value in values.items():
                if fields[name].enum_type is not None:
                    known = fields[name].enum_type.values_by_number[value].name
                    values[name] = known.removeprefix(f"ACL_{name.upper()}_")
            plain.append(values)
        return plain

    async def acls(self, cluster: str, **filters: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        token = ""
        while True:
            request = acls.ListAclsRequest(
                cluster_id=cluster, page_size=2, page_token=token, **self._acl_values(filters)
            )
            answer = await _call(self._acls.ListAcls(request))
            found += self._acl_dicts(answer.acls)
            token = answer.next_page_token
            if not token:
                return found

    async def create_acl(self, cluster: str, acl: dict[str, str]) -> None:
        await _call(self._acls.CreateAcl(acls.CreateAclRequest(cluster_id=cluster, **self._acl_values(acl))))

    async def create_acls(self, cluster: str, given: list[dict[str, str]]) -> None:
        data = [acls.AclBinding(**self._acl_values(entry)) for entry in given]
        await _call(self._acls.BatchCreateAcls(acls.BatchCreateAclsRequest(cluster_id=cluster, data=data)))

    async def delete_acls(self, cluster: str, **filters: str) -> list[dict[str, str]]:
        request = acls.DeleteAclsRequest(cluster_id=cluster, **self._acl_values(filters))
        return self._acl_dicts((await _call(self._acls.DeleteAcls(request))).acls)

    async def produce_batch(
        self, cluster: str, topic: str, entries: list[tuple[str, Produced]]
    ) -> tuple[list[tuple[str, int, int]], list[tuple[str, tuple[Any, ...]]]]:
        given = [records.BatchProduceEntry(id=id, record=self._record(record)) for id, record in entries]
        request = records.BatchProduceRecordsRequest(cluster_id=cluster, topic_name=topic, entries=given)
        answer = await _call(self._records.BatchProduceRecords(request))
        successes = [(found.id, found.report.partition_id, found.report.offset) for found in answer.successes]
        return successes, [(found.id, _error(found.error).codes) for found in answer.failures]

    def _moving(self, found: reassignments.PartitionReassignment) -> Moving:
        return (found.topic_name, found.partition_id, list(found.adding_replicas), list(found.removing_replicas))

    async def reassignments(self, cluster: str, topic: str | None = None) -> list[Moving]:
        if topic is None:
            everything = reassignments.ListPartitionReassignmentsRequest(cluster_id=cluster)
            found = (await _call(self._reassignments.ListPartitionReassignments(everything))).reassignments
        else:
            request = reassignments.ListTopicPartitionReassignmentsRequest(cluster_id=cluster, topic_name=topic)
            found = (await _call(self._reassignments.ListTopicPartitionReassignments(request))).reassignments
        return [self._moving(entry) for entry in found]

    async def reassignment(self, cluster: str, topic: str, partition: int) -> Moving | None:
        request = reassignments.GetPartitionReassignmentRequest(
            cluster_id=cluster, topic_name=topic, partition_id=partition
        )
        try:
            return self._moving(await _call(self._reassignments.GetPartitionReassignment(request)))
        except FaceError as error:
            if error.codes != self.codes(NotFound):
                raise
            return None

    async def produce_with_schema(self, cluster: str, topic: str, value: dict[str, Any]) -> dict[str, Any]:
        selector = records.SchemaSelector()
        for name in ("schema_id", "schema_version", "schema", "subject"):
            if name in value:
                setattr(selector, name, value[name])
        if "subject_name_strategy" in value:
            name = f"SUBJECT_NAME_STRATEGY_{value['subject_name_strategy']}"
            selector.subject_name_strategy = records.SubjectNameStrategy.Value(name)
        data = records.RecordData(json=json.dumps(value["data"]), schema=selector)
        if "type" in value:
            data.format = records.Format.Value(f"FORMAT_{value['type']}")
        request = records.ProduceRecordsRequest(
            cluster_id=cluster, topic_name=topic, records=[records.RecordToProduce(value=data)]
        )
        [result] = (await _call(self._records.ProduceRecords(request))).results
        if result.HasField("error"):
            raise _error(result.error)
        found = result.report.value
        return {
            "type": records.Format.Name(found.type).removeprefix("FORMAT_"),
            "subject": found.subject,
            "schema_id": found.schema_id,
            "schema_version": found.schema_version,
            "size": found.size,
        }
