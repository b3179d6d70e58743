"""The operations through gRPC."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
from google.rpc.status_pb2 import Status

from faces.clients import Data, FaceClient, Moving, Produced
from faces.generic import FaceError, GrpcOperations, grpc_error
from kafka_facade.core.errors import NotFound
from kafka_facade.rpc.gen.v1 import broker_config_pb2 as broker_configs
from kafka_facade.rpc.gen.v1 import cluster_link_pb2 as links
from kafka_facade.rpc.gen.v1 import config_pb2 as config
from kafka_facade.rpc.gen.v1 import consumer_group_pb2 as groups
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2 as consumers
from kafka_facade.rpc.gen.v1 import partition_pb2 as partitions
from kafka_facade.rpc.gen.v1 import partition_reassignment_pb2 as reassignments
from kafka_facade.rpc.gen.v1 import record_pb2 as records
from kafka_facade.rpc.gen.v1 import topic_config_pb2 as topic_configs
from kafka_facade.rpc.gen.v1.broker_config_pb2_grpc import BrokerConfigServiceStub
from kafka_facade.rpc.gen.v1.cluster_link_pb2_grpc import ClusterLinkServiceStub
from kafka_facade.rpc.gen.v1.consumer_group_pb2_grpc import ConsumerGroupServiceStub
from kafka_facade.rpc.gen.v1.consumer_instance_pb2_grpc import ConsumerInstanceServiceStub
from kafka_facade.rpc.gen.v1.partition_pb2_grpc import PartitionServiceStub
from kafka_facade.rpc.gen.v1.partition_reassignment_pb2_grpc import PartitionReassignmentServiceStub
from kafka_facade.rpc.gen.v1.record_pb2_grpc import RecordServiceStub
from kafka_facade.rpc.gen.v1.topic_config_pb2_grpc import TopicConfigServiceStub

_T = TypeVar("_T")


async def _call(call: Awaitable[_T]) -> _T:
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        details = dict(failure.trailing_metadata() or ())["grpc-status-details-bin"]
        assert isinstance(details, bytes)
        raise grpc_error(Status.FromString(details)) from failure


class GrpcClient(GrpcOperations, FaceClient):
    """The gRPC face."""

    shows_undecodable = True

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._partitions = PartitionServiceStub(self._channel)
        self._configs = TopicConfigServiceStub(self._channel)
        self._records = RecordServiceStub(self._channel)
        self._consumers = ConsumerInstanceServiceStub(self._channel)
        self._links = ClusterLinkServiceStub(self._channel)
        self._groups = ConsumerGroupServiceStub(self._channel)
        self._reassignments = PartitionReassignmentServiceStub(self._channel)
        self._broker_configs = BrokerConfigServiceStub(self._channel)

    async def partitions(self, cluster: str, topic: str) -> list[tuple[int, int]]:
        request = partitions.ListPartitionsRequest(cluster_id=cluster, topic_name=topic)
        answer = await _call(self._partitions.ListPartitions(request))
        return [(found.partition_id, found.leader_id) for found in answer.partitions]

    async def partition(self, cluster: str, topic: str, partition: int) -> tuple[int, int]:
        request = partitions.GetPartitionRequest(cluster_id=cluster, topic_name=topic, partition_id=partition)
        found = await _call(self._partitions.GetPartition(request))
        return (found.partition_id, found.leader_id)

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
        # JSON, data with a schema, or data that is not of its format.
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
            raise grpc_error(result.error)
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
        errors = [(failure.topic_name, grpc_error(failure.error)) for failure in answer.failures]
        return [(topic, error.codes[1:], error.message) for topic, error in errors]

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

    async def not_served_yet(self, cluster: str) -> None:
        await _call(self._links.ListLinks(links.ListLinksRequest(cluster_id=cluster)))

    def _record(self, record: Produced) -> records.RecordToProduce:
        headers = [records.Header(name=name, value=value) for name, value in record.headers]
        entry = records.RecordToProduce(
            key=self._data(record.key), value=self._data(record.value), partition_id=record.partition, headers=headers
        )
        if record.timestamp is not None:
            entry.timestamp.FromJsonString(record.timestamp)
        return entry

    async def produce_batch(
        self, cluster: str, topic: str, entries: list[tuple[str, Produced]]
    ) -> tuple[list[tuple[str, int, int]], list[tuple[str, tuple[Any, ...]]]]:
        given = [records.BatchProduceEntry(id=id, record=self._record(record)) for id, record in entries]
        request = records.BatchProduceRecordsRequest(cluster_id=cluster, topic_name=topic, entries=given)
        answer = await _call(self._records.BatchProduceRecords(request))
        successes = [(found.id, found.report.partition_id, found.report.offset) for found in answer.successes]
        return successes, [(found.id, grpc_error(found.error).codes) for found in answer.failures]

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
            raise grpc_error(result.error)
        found = result.report.value
        return {
            "type": records.Format.Name(found.type).removeprefix("FORMAT_"),
            "subject": found.subject,
            "schema_id": found.schema_id,
            "schema_version": found.schema_version,
            "size": found.size,
        }
