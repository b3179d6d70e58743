"""Unary methods, health and reflection, against a real gateway."""

import asyncio
import base64
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from confluent_kafka.admin import AdminClient
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from kafka_facade.core.core import IMPLEMENTED
from kafka_facade.rpc.gen.v1 import (
    broker_pb2,
    broker_pb2_grpc,
    cluster_pb2,
    cluster_pb2_grpc,
    config_pb2,
    consumer_instance_pb2,
    consumer_instance_pb2_grpc,
    partition_pb2,
    partition_pb2_grpc,
    record_pb2,
    record_pb2_grpc,
    replica_pb2,
    replica_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    topic_config_pb2,
    topic_config_pb2_grpc,
    topic_pb2,
    topic_pb2_grpc,
)
from kafka_facade.rpc.gen.v1.record_pb2 import RecordData, RecordToProduce
from kafka_facade.rpc.services import SERVICES
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from operations import operation_of

TopicFactory = Callable[..., Awaitable[str]]
InfoOf = Callable[[Status | grpc.aio.AioRpcError], ErrorInfo]
GatewayFactory = Callable[..., Awaitable[Gateway]]

MISSING = [
    method
    for service in SERVICES
    for method in service.methods
    if operation_of(service.name, method.name).identifier not in IMPLEMENTED
]


@pytest.mark.parametrize("method", MISSING, ids=lambda method: f"{method.containing_service.name}/{method.name}")
async def test_unimplemented_methods_return_unimplemented(
    channel: grpc.aio.Channel, method: MethodDescriptor, info_of: InfoOf
) -> None:
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}", request.SerializeToString, response.FromString
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    info = info_of(caught.value)
    assert info.reason == "NOT_IMPLEMENTED_YET"
    assert info.metadata["error_code"] == "50101"
    assert info.metadata["operation"] == operation_of(method.containing_service.name, method.name).identifier


async def test_health_is_serving_for_all_and_for_each(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ["", *(service.full_name for service in SERVICES)]:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, name


async def test_health_follows_kafka(three_brokers: BackgroundStack, gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory(on=three_brokers)
    async with grpc.aio.insecure_channel(gateway.grpc) as channel, asyncio.timeout(120):
        stub = health_pb2_grpc.HealthStub(channel)
        service = "kafka_facade.v1.RecordService"
        overall = stub.Watch(health_pb2.HealthCheckRequest())
        records = stub.Watch(health_pb2.HealthCheckRequest(service=service))
        for watch in (overall, records):
            while (await watch.read()).status != health_pb2.HealthCheckResponse.SERVING:
                pass
        for broker in range(3):
            await three_brokers.pause_broker(broker)
        try:
            for watch in (overall, records):
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            for name in ("", service):
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
                assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
            # Requests that do not need Kafka still work.
            answer = await stub.Check(health_pb2.HealthCheckRequest(service="kafka_facade.v1.ServerService"))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            # One that starts meanwhile.
            later = await gateway_factory(on=three_brokers, answering=False)
            other = grpc.aio.insecure_channel(later.grpc)
            started = health_pb2_grpc.HealthStub(other).Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            assert (await started.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        finally:
            for broker in range(3):
                await three_brokers.resume_broker(broker)
        async with other:
            for watch in (overall, records, started):
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING


REFLECTION = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]


async def reflect(
    channel: grpc.aio.Channel, version: str, *requests: reflection_pb2.ServerReflectionRequest
) -> list[reflection_pb2.ServerReflectionResponse]:
    """The answers to requests, whose messages are the same in both versions."""
    call: Any = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    return [answer async for answer in call(iter(requests))]


@pytest.mark.parametrize(
    "method",
    [
        "kafka_facade.v1.TopicService/ListTopics",
        "kafka_facade.v1.RecordService/ProduceStream",
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/Watch",
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_malformed_requests(channel: grpc.aio.Channel, method: str, info_of: InfoOf) -> None:
    stream: Any = channel.stream_stream(f"/{method}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stream(iter([b"\xff"]), timeout=30):
            pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(caught.value).reason == "MALFORMED_BODY"
    assert "DecodeError" not in (caught.value.details() or "")


@pytest.mark.parametrize("version", REFLECTION)
async def test_reflection_lists_the_services(channel: grpc.aio.Channel, version: str) -> None:
    [answer] = await reflect(channel, version, reflection_pb2.ServerReflectionRequest(list_services=""))
    names = [service.name for service in answer.list_services_response.service]
    assert sorted(names) == sorted([service.full_name for service in SERVICES] + ["grpc.health.v1.Health", *REFLECTION])
    # Clients then ask for each, as grpcurl and ghz do for methods.
    methods = [method.full_name for service in SERVICES for method in service.methods]
    inner = ["kafka_facade.v1.Record.topic_name", "kafka_facade.v1.RecordData.data", "kafka_facade.v1.FORMAT_AVRO"]
    symbols = names + methods + inner
    requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols]
    for symbol, answer in zip(symbols, await reflect(channel, version, *requests), strict=True):
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        assert any(symbol in _symbols(file) for file in files), symbol


def _symbols(file: FileDescriptorProto) -> set[str]:
    """The full names of what a file defines, as far as it is not nested."""
    found: set[str] = set()
    for service in file.service:
        found |= {service.name, *(f"{service.name}.{method.name}" for method in service.method)}
    for kind in file.message_type:
        fields: list[Any] = [*kind.field, *kind.oneof_decl]
        found |= {kind.name, *(f"{kind.name}.{field.name}" for field in fields)}
    found |= {value.name for enum in file.enum_type for value in enum.value}
    return {f"{file.package}.{name}" for name in found}


@pytest.mark.parametrize("version", REFLECTION)
async def test_reflection_of_unknown_names(channel: grpc.aio.Channel, version: str) -> None:
    symbols = ["kafka_facade.v1.RecordService.NoSuchMethod", "kafka_facade.v1.Record.none", "x", "", "."]
    requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols]
    for answer in await reflect(channel, version, *requests):
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_the_cluster_and_its_brokers(channel: grpc.aio.Channel, stack: BackgroundStack) -> None:
    clusters = cluster_pb2_grpc.ClusterServiceStub(channel)
    [cluster] = (await clusters.ListClusters(cluster_pb2.ListClustersRequest())).clusters
    assert await clusters.GetCluster(cluster_pb2.GetClusterRequest(cluster_id=cluster.cluster_id)) == cluster
    brokers = broker_pb2_grpc.BrokerServiceStub(channel)
    listed = await brokers.ListBrokers(broker_pb2.ListBrokersRequest(cluster_id=cluster.cluster_id))
    [broker] = listed.brokers
    assert f"{broker.host}:{broker.port}" == stack.bootstrap_servers
    asked = broker_pb2.GetBrokerRequest(cluster_id=cluster.cluster_id, broker_id=broker.broker_id)
    assert await brokers.GetBroker(asked) == broker
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await clusters.GetCluster(cluster_pb2.GetClusterRequest(cluster_id="another"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_server_info(channel: grpc.aio.Channel) -> None:
    info = await server_pb2_grpc.ServerServiceStub(channel).GetServerInfo(server_pb2.GetServerInfoRequest())
    assert info.name == "kafka-facade"
    assert info.version


async def test_create_read_and_delete_a_topic(channel: grpc.aio.Channel, info_of: InfoOf) -> None:
    [cluster] = (
        await cluster_pb2_grpc.ClusterServiceStub(channel).ListClusters(cluster_pb2.ListClustersRequest())
    ).clusters
    where: dict[str, Any] = {"cluster_id": cluster.cluster_id, "topic_name": f"rpc-{uuid.uuid4().hex}"}
    topics = topic_pb2_grpc.TopicServiceStub(channel)
    create = topic_pb2.CreateTopicRequest(
        **where, partitions_count=2, configs=[config_pb2.ConfigEntry(name="cleanup.policy", value="compact")]
    )
    created = await topics.CreateTopic(create)
    assert created.partitions_count == 2
    assert await topics.GetTopic(topic_pb2.GetTopicRequest(**where)) == created
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await topics.CreateTopic(create)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert info_of(caught.value).metadata["error_code"] == "40002"
    grown = await topics.UpdatePartitionCount(topic_pb2.UpdatePartitionCountRequest(**where, partitions_count=3))
    assert grown.partitions_count == 3

    configs = topic_config_pb2_grpc.TopicConfigServiceStub(channel)
    await configs.UpdateTopicConfig(
        topic_config_pb2.UpdateTopicConfigRequest(**where, name="retention.ms", value="60000")
    )
    change = config_pb2.ConfigAlteration(name="cleanup.policy", operation=config_pb2.ALTER_OPERATION_DELETE)
    await configs.AlterTopicConfigs(topic_config_pb2.AlterTopicConfigsRequest(**where, data=[change]))
    policy = await configs.GetTopicConfig(topic_config_pb2.GetTopicConfigRequest(**where, name="cleanup.policy"))
    assert (policy.value, policy.is_default) == ("delete", True)
    retention = await configs.GetTopicConfig(topic_config_pb2.GetTopicConfigRequest(**where, name="retention.ms"))
    assert (retention.value, retention.source) == ("60000", config_pb2.CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG)
    await configs.ResetTopicConfig(topic_config_pb2.ResetTopicConfigRequest(**where, name="retention.ms"))

    await topics.DeleteTopic(topic_pb2.DeleteTopicRequest(**where))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await topics.GetTopic(topic_pb2.GetTopicRequest(**where))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert info_of(caught.value).reason == "TOPIC_NOT_FOUND"


async def test_pagination(channel: grpc.aio.Channel, topic: TopicFactory, info_of: InfoOf) -> None:
    name = await topic(partitions=5)
    stub = partition_pb2_grpc.PartitionServiceStub(channel)
    found, token, pages = [], "", 0
    while True:
        answer = await stub.ListPartitions(
            partition_pb2.ListPartitionsRequest(topic_name=name, page_size=2, page_token=token)
        )
        found += [partition.partition_id for partition in answer.partitions]
        token, pages = answer.next_page_token, pages + 1
        assert answer.total_size == 5
        if not token:
            break
    assert (found, pages) == ([0, 1, 2, 3, 4], 3)
    deep = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    wrong: list[dict[str, Any]] = [{"page_size": -1}, {"page_token": "%"}, {"page_token": deep}]
    for bad in wrong:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListPartitions(partition_pb2.ListPartitionsRequest(topic_name=name, **bad))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert [info_of(caught.value).metadata["field"]] == list(bad)


async def test_pagination_of_lists_with_two_keys(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic(partitions=3)
    [cluster] = (
        await cluster_pb2_grpc.ClusterServiceStub(channel).ListClusters(cluster_pb2.ListClustersRequest())
    ).clusters
    stub = replica_pb2_grpc.ReplicaServiceStub(channel)
    found, token = [], ""
    while True:
        answer = await stub.ListBrokerReplicas(
            replica_pb2.ListBrokerReplicasRequest(
                cluster_id=cluster.cluster_id, broker_id=cluster.controller_id, page_size=7, page_token=token
            )
        )
        found += [(replica.topic_name, replica.partition_id) for replica in answer.replicas]
        token = answer.next_page_token
        if not token:
            break
    assert len(found) == len(set(found)) == answer.total_size
    assert [(name, 0), (name, 1), (name, 2)] == [entry for entry in found if entry[0] == name]
    where: dict[str, Any] = {"cluster_id": cluster.cluster_id, "topic_name": name, "partition_id": 1}
    [replica] = (await stub.ListReplicas(replica_pb2.ListReplicasRequest(**where))).replicas
    assert replica.is_leader
    assert await stub.GetReplica(replica_pb2.GetReplicaRequest(**where, broker_id=replica.broker_id)) == replica


async def test_records_are_produced_each_with_its_result(
    channel: grpc.aio.Channel, topic: TopicFactory, info_of: InfoOf
) -> None:
    name = await topic(partitions=2)
    stub = record_pb2_grpc.RecordServiceStub(channel)
    records = [
        RecordToProduce(partition_id=1, key=RecordData(text="k"), value=RecordData(json='{"a": 1.10}')),
        RecordToProduce(partition_id=9, value=RecordData(text="no such partition")),
        RecordToProduce(value=RecordData(json="{")),
        RecordToProduce(partition_id=1),
    ]
    answer = await stub.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=records))
    first, second, third, fourth = answer.results
    assert (first.report.partition_id, first.report.offset) == (1, 0)
    assert first.report.value == record_pb2.DataReport(type=record_pb2.FORMAT_JSON, size=10)
    assert info_of(second.error).reason == "PARTITION_NOT_FOUND"
    assert info_of(third.error).reason == "INVALID_REQUEST"
    assert (fourth.report.partition_id, fourth.report.offset) == (1, 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ProduceRecords(
            record_pb2.ProduceRecordsRequest(topic_name=name, records=records, all_or_nothing=True)
        )
    assert caught.value.code() is not grpc.StatusCode.OK
    offsets = await partition_pb2_grpc.PartitionServiceStub(channel).GetPartitionOffsets(
        partition_pb2.GetPartitionOffsetsRequest(topic_name=name, partition_id=1)
    )
    assert offsets.latest_offset == 2


async def test_a_cancelled_deletion_leaves_no_member(
    channel: grpc.aio.Channel, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic()
    where: dict[str, Any] = {"consumer_group_id": f"g-{uuid.uuid4()}", "instance_id": "i"}
    stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
    await stub.CreateConsumerInstance(
        consumer_instance_pb2.CreateConsumerInstanceRequest(
            consumer_group_id=where["consumer_group_id"], instance_id="i", request_timeout_ms=3000
        )
    )
    await stub.Subscribe(consumer_instance_pb2.SubscribeRequest(**where, topic_names=[name]))
    fetch = asyncio.create_task(_code(stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where))))
    await asyncio.sleep(0.5)
    # To leave the group takes longer.
    delete = consumer_instance_pb2.DeleteConsumerInstanceRequest(**where)
    assert await _code(stub.DeleteConsumerInstance(delete, timeout=0.005)) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await fetch in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND)
    again = await _code(stub.DeleteConsumerInstance(delete))
    assert again in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND)
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    async with asyncio.timeout(10):
        while True:
            [group] = admin.describe_consumer_groups([where["consumer_group_id"]]).values()
            if not (await asyncio.wrap_future(group)).members:
                break
            await asyncio.sleep(0.1)


async def test_a_cancelled_unsubscription_completes(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic()
    stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
    records = record_pb2_grpc.RecordServiceStub(channel)
    record = RecordToProduce(value=RecordData(binary=b"x"))
    await records.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=[record]))

    async def one(deadline: float) -> None:
        where: dict[str, Any] = {"consumer_group_id": f"g-{uuid.uuid4()}", "instance_id": "i"}
        await stub.CreateConsumerInstance(
            consumer_instance_pb2.CreateConsumerInstanceRequest(
                consumer_group_id=where["consumer_group_id"],
                instance_id="i",
                auto_offset_reset="earliest",
                fetch_min_bytes=0,
            )
        )
        subscribe = consumer_instance_pb2.SubscribeRequest(**where, topic_names=[name])
        fetch = consumer_instance_pb2.FetchRecordsRequest(**where)
        await stub.Subscribe(subscribe)
        async with asyncio.timeout(20):
            while not (await stub.FetchRecords(fetch)).records:
                pass
        await _code(stub.Unsubscribe(consumer_instance_pb2.UnsubscribeRequest(**where), timeout=deadline))
        if (await stub.GetSubscription(consumer_instance_pb2.GetSubscriptionRequest(**where))).topic_names:
            await stub.Unsubscribe(consumer_instance_pb2.UnsubscribeRequest(**where))
        assert await _code(stub.FetchRecords(fetch)) is grpc.StatusCode.FAILED_PRECONDITION
        await stub.Subscribe(subscribe)
        assignments = consumer_instance_pb2.GetAssignmentsRequest(**where)
        async with asyncio.timeout(20):
            while not (await stub.GetAssignments(assignments)).partitions:  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0.05)
        position = consumer_instance_pb2.PartitionPosition(topic_name=name, partition_id=0, offset=0)
        await stub.SeekToOffsets(consumer_instance_pb2.SeekToOffsetsRequest(**where, offsets=[position]))
        async with asyncio.timeout(20):
            while not (await stub.FetchRecords(fetch)).records:
                pass
        await stub.DeleteConsumerInstance(consumer_instance_pb2.DeleteConsumerInstanceRequest(**where))

    await asyncio.gather(*(one(milliseconds / 1000) for milliseconds in (1, 2, 4, 8, 12, 16, 24, 32)))


async def _code(call: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("format", [record_pb2.FORMAT_BINARY, record_pb2.FORMAT_JSON], ids=["binary", "json"])
async def test_a_consumer_instance_reads_what_was_produced(
    channel: grpc.aio.Channel, topic: TopicFactory, format: record_pb2.Format.ValueType, info_of: InfoOf
) -> None:
    name = await topic()
    text = '{"n":12345678901234567890.10}'
    produce = record_pb2.ProduceRecordsRequest(
        topic_name=name, records=[RecordToProduce(value=RecordData(json=text)), RecordToProduce()]
    )
    await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(produce)
    stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
    group = f"group-{uuid.uuid4().hex}"
    created = await stub.CreateConsumerInstance(
        consumer_instance_pb2.CreateConsumerInstanceRequest(
            consumer_group_id=group, format=format, auto_offset_reset="earliest", auto_commit=False
        )
    )
    assert (created.format, created.auto_commit) == (format, False)
    where: dict[str, Any] = {"consumer_group_id": group, "instance_id": created.instance_id}
    await stub.Subscribe(consumer_instance_pb2.SubscribeRequest(**where, topic_names=[name]))
    subscribed = await stub.GetSubscription(consumer_instance_pb2.GetSubscriptionRequest(**where))
    assert list(subscribed.topic_names) == [name]
    records: list[consumer_instance_pb2.FetchedRecord] = []
    for _ in range(30):
        records += (await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where))).records
        if len(records) >= 2:
            break
    expected = RecordData(json=text) if format == record_pb2.FORMAT_JSON else RecordData(binary=text.encode())
    assert records[0].value == expected
    assert not records[1].HasField("value")
    partition = consumer_instance_pb2.TopicPartition(topic_name=name, partition_id=0)
    assigned = await stub.GetAssignments(consumer_instance_pb2.GetAssignmentsRequest(**where))
    assert list(assigned.partitions) == [partition]
    await stub.CommitOffsets(consumer_instance_pb2.CommitOffsetsRequest(**where))
    committed = await stub.GetCommittedOffsets(
        consumer_instance_pb2.GetCommittedOffsetsRequest(**where, partitions=[partition])
    )
    assert [offset.offset for offset in committed.offsets] == [2]
    await stub.SeekToBeginning(consumer_instance_pb2.SeekToBeginningRequest(**where, partitions=[partition]))
    again = await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where, format=format))
    assert again.records[0].offset == 0
    other = record_pb2.FORMAT_JSON if format == record_pb2.FORMAT_BINARY else record_pb2.FORMAT_BINARY
    for wrong in (other, record_pb2.FORMAT_STRING):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where, format=wrong))
        assert info_of(caught.value).reason == "CONSUMER_FORMAT_MISMATCH"
    await stub.DeleteConsumerInstance(consumer_instance_pb2.DeleteConsumerInstanceRequest(**where))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_deadline_of_the_caller_applies(channel: grpc.aio.Channel) -> None:
    stub = topic_pb2_grpc.TopicServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListTopics(topic_pb2.ListTopicsRequest(), timeout=0.000001)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_access_lists_apply_to_every_kind_of_method(gateway_factory: GatewayFactory, info_of: InfoOf) -> None:
    blocked = "api.v3.topics.*,api.facade.records.*,api.v3.acls.list"
    gateway = await gateway_factory({"api.endpoints.blocklist": blocked})
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        records = record_pb2_grpc.RecordServiceStub(channel)
        failures = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await topic_pb2_grpc.TopicServiceStub(channel).ListTopics(topic_pb2.ListTopicsRequest(page_size=-1))
        failures.append(caught.value)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await records.Consume(record_pb2.ConsumeRequest(topic_name="t")).read()
        failures.append(caught.value)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await records.ProduceStream(iter([])).read()
        failures.append(caught.value)
    for failure in failures:
        assert failure.code() is grpc.StatusCode.PERMISSION_DENIED
        assert info_of(failure).reason == "OPERATION_BLOCKED"


async def test_a_message_over_the_limit_is_refused(gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory({"max.request.body.size": "10000"})
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        large = RecordToProduce(value=RecordData(binary=b"x" * 20_000))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(
                record_pb2.ProduceRecordsRequest(topic_name="t", records=[large])
            )
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("text", ["x" * 100_000, "\N{SNOWMAN}" * 30_000], ids=["ASCII", "more"])
async def test_an_error_about_a_long_text_fits_into_the_trailers(
    channel: grpc.aio.Channel, info_of: InfoOf, text: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cluster_pb2_grpc.ClusterServiceStub(channel).GetCluster(cluster_pb2.GetClusterRequest(cluster_id=text))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert info_of(caught.value).reason == "NOT_FOUND"
