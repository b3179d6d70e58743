"""Responses and stream messages stay within the size limit of clients, without losing anything."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from confluent_kafka import Producer
from google.protobuf.empty_pb2 import Empty
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import InvalidRequest, PayloadTooLarge
from kafka_facade.core.records.model import Header, Record
from kafka_facade.core.records.sizes import record_size
from kafka_facade.rpc.answers import Room
from kafka_facade.rpc.frames import size_of
from kafka_facade.rpc.gen.v1 import (
    acl_pb2,
    acl_pb2_grpc,
    consumer_instance_pb2,
    consumer_instance_pb2_grpc,
    partition_pb2,
    partition_pb2_grpc,
    record_pb2,
    record_pb2_grpc,
    topic_config_pb2,
    topic_config_pb2_grpc,
)
from kafka_facade.rpc.gen.v1.record_pb2 import RecordData, RecordToProduce
from kafka_facade.rpc.records import write_records
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]
InfoOf = Callable[[Status | grpc.aio.AioRpcError], ErrorInfo]
GatewayFactory = Callable[..., Awaitable[Gateway]]

_SECONDS = 60
_CLIENT_LIMIT = 4 * 1024 * 1024
_LARGE = _CLIENT_LIMIT + 1
_RECEIVE = "grpc.max_receive_message_length"
_SMALL = 16_384


async def produce(channel: grpc.aio.Channel, topic: str, values: list[bytes], headers: int = 0) -> None:
    stub = record_pb2_grpc.RecordServiceStub(channel)
    many = [record_pb2.Header(name=f"name-{n}", value=b"v" * 10) for n in range(headers)]
    # One record a request: a larger one is more than Kafka takes in a batch.
    for value in values:
        record = RecordToProduce(value=RecordData(binary=value), headers=many)
        answer = await stub.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=topic, records=[record]))
        assert answer.results[0].HasField("report")


def fill(bootstrap_servers: str, topic: str) -> None:
    """Three records, of which the second is more than a client takes by default."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "message.max.bytes": 3 * _CLIENT_LIMIT})
    for size in (1, _LARGE, 1):
        producer.produce(topic, b"x" * size, partition=0)
        producer.flush()


async def reader_of(channel: grpc.aio.Channel, topic: str, **settings: Any) -> tuple[Any, dict[str, Any]]:
    """An instance that is assigned the topic's partition, and where it is."""
    stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
    where: dict[str, Any] = {"consumer_group_id": f"g-{uuid.uuid4().hex}", "instance_id": "i"}
    await stub.CreateConsumerInstance(
        consumer_instance_pb2.CreateConsumerInstanceRequest(
            consumer_group_id=where["consumer_group_id"], instance_id="i", auto_offset_reset="earliest", **settings
        )
    )
    partition = consumer_instance_pb2.TopicPartition(topic_name=topic, partition_id=0)
    await stub.AssignPartitions(consumer_instance_pb2.AssignPartitionsRequest(**where, partitions=[partition]))
    return stub, where


async def committed(stub: Any, where: dict[str, Any], topic: str) -> list[int]:
    partition = consumer_instance_pb2.TopicPartition(topic_name=topic, partition_id=0)
    await stub.CommitOffsets(consumer_instance_pb2.CommitOffsetsRequest(**where))
    answer = await stub.GetCommittedOffsets(
        consumer_instance_pb2.GetCommittedOffsetsRequest(**where, partitions=[partition])
    )
    return [entry.offset for entry in answer.offsets]


async def test_large_records_are_split_over_several_responses(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic()
    await produce(channel, name, [bytes([n]) * 900_000 for n in range(5)])
    stub, where = await reader_of(channel, name)
    found: list[int] = []
    answers = 0
    while len(found) < 5:
        answer = await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where), timeout=_SECONDS)
        assert answer.ByteSize() <= _CLIENT_LIMIT
        if answer.records:
            answers += 1
            found += [record.offset for record in answer.records]
            # What stays behind is not committed as if it had been read.
            assert await committed(stub, where, name) == [len(found)]
    assert found == list(range(5))
    assert answers >= 2


async def test_a_fetch_respects_max_bytes_and_returns_a_larger_record_alone(
    channel: grpc.aio.Channel, topic: TopicFactory
) -> None:
    name = await topic()
    await produce(channel, name, [b"x" * 10, b"x" * 50_000, b"x" * 3000, b"x" * 3000, b"x" * 10], headers=50)
    stub, where = await reader_of(channel, name)
    fetch = consumer_instance_pb2.FetchRecordsRequest(**where, max_bytes=10_000)
    sizes: list[list[int]] = []
    while sum(map(len, sizes)) < 5:
        answer = await stub.FetchRecords(fetch, timeout=_SECONDS)
        assert answer.ByteSize() <= 10_000 or len(answer.records) == 1
        if answer.records:
            sizes.append([len(record.value.binary) for record in answer.records])
    assert [size for answer in sizes for size in answer] == [10, 50_000, 3000, 3000, 10]
    assert [50_000] in sizes


async def test_messages_of_a_stream_are_within_the_limit_of_clients(
    channel: grpc.aio.Channel, topic: TopicFactory
) -> None:
    name = await topic()
    stub = record_pb2_grpc.RecordServiceStub(channel)
    records = [RecordToProduce(value=RecordData(binary=b"x" * 9000))] * 1000
    await stub.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=records))
    request = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty())
    frames = [frame async for frame in stub.Consume(request, timeout=_SECONDS)]
    assert [record.offset for frame in frames for record in frame.records] == list(range(1000))
    assert max(frame.ByteSize() for frame in frames) <= _CLIENT_LIMIT
    request.max_bytes = 20_000
    frames = [frame async for frame in stub.Consume(request, timeout=_SECONDS)]
    assert [record.offset for frame in frames for record in frame.records] == list(range(1000))
    assert max(frame.ByteSize() for frame in frames) <= 20_000
    request.max_bytes = 1
    assert [len(frame.records) async for frame in stub.Consume(request, timeout=_SECONDS)] == [1] * 1000


async def test_a_record_over_the_limit_of_clients_is_not_skipped(
    channel: grpc.aio.Channel, gateway: Gateway, stack: BackgroundStack, topic: TopicFactory, info_of: InfoOf
) -> None:
    name = await topic(config={"max.message.bytes": str(3 * _CLIENT_LIMIT)})
    await asyncio.to_thread(fill, stack.bootstrap_servers, name)
    stub, where = await reader_of(channel, name)
    fetch = consumer_instance_pb2.FetchRecordsRequest(**where)
    async with asyncio.timeout(_SECONDS):
        assert [record.offset for record in (await stub.FetchRecords(fetch)).records] == [0]
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.FetchRecords(fetch)
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            info = info_of(caught.value)
            assert info.reason == "RECORD_TOO_LARGE"
            about = dict(info.metadata)
            assert (about["topic_name"], about["partition_id"], about["offset"]) == (name, "0", "1")
            assert await committed(stub, where, name) == [1]
        size = int(about["size"])
        assert _LARGE < size < _LARGE + 1000
        # A client with a higher limit sets max_bytes, and gets all following records.
        async with grpc.aio.insecure_channel(gateway.grpc, options=[(_RECEIVE, -1)]) as wide:
            generous = consumer_instance_pb2.FetchRecordsRequest(**where, max_bytes=size)
            willing = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(wide)
            answer = await willing.FetchRecords(generous)
        assert [len(record.value.binary) for record in answer.records] == [_LARGE]
        assert [record.offset for record in (await stub.FetchRecords(fetch)).records] == [2]


async def test_a_stream_ends_before_a_record_over_the_limit_of_clients(
    channel: grpc.aio.Channel, gateway: Gateway, stack: BackgroundStack, topic: TopicFactory, info_of: InfoOf
) -> None:
    name = await topic(config={"max.message.bytes": str(3 * _CLIENT_LIMIT)})
    await asyncio.to_thread(fill, stack.bootstrap_servers, name)
    for decoded in (record_pb2.FORMAT_UNSPECIFIED, record_pb2.FORMAT_BINARY):
        request = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), value_format=decoded)
        stub = record_pb2_grpc.RecordServiceStub(channel)
        stream = stub.Consume(request, timeout=_SECONDS)
        first: Any = await stream.read()
        assert [record.offset for record in first.records] == [0]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        about = info_of(caught.value).metadata
        assert (info_of(caught.value).reason, about["offset"]) == ("RECORD_TOO_LARGE", "1")
        request.max_bytes = int(about["size"])
        async with grpc.aio.insecure_channel(gateway.grpc, options=[(_RECEIVE, -1)]) as wide:
            willing = record_pb2_grpc.RecordServiceStub(wide)
            frames = [frame async for frame in willing.Consume(request, timeout=_SECONDS)]
        assert [record.offset for frame in frames for record in frame.records] == [0, 1, 2]


async def test_responses_respect_the_configured_limit(
    gateway_factory: GatewayFactory, topic: TopicFactory, info_of: InfoOf
) -> None:
    name = await topic()
    gateway = await gateway_factory({"grpc.max.response.bytes": str(_SMALL)})
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        records = record_pb2_grpc.RecordServiceStub(channel)
        # The results of so many would be lost to the caller: they are rejected before any is stored.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await records.ProduceRecords(
                record_pb2.ProduceRecordsRequest(topic_name=name, records=[RecordToProduce()] * 1000)
            )
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert info_of(caught.value).reason == "PAYLOAD_TOO_LARGE"
        offsets = await partition_pb2_grpc.PartitionServiceStub(channel).GetPartitionOffsets(
            partition_pb2.GetPartitionOffsetsRequest(topic_name=name, partition_id=0)
        )
        assert offsets.latest_offset == 0
        # Errors have as many details as fit, and at least their code.
        bad = RecordToProduce(value=RecordData(json="{" + "\N{SNOWMAN}" * 300))
        answer = await records.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=[bad] * 80))
        assert answer.ByteSize() <= _SMALL
        assert [result.error.code for result in answer.results] == [code_pb2.INVALID_ARGUMENT] * 80
        assert info_of(answer.results[0].error).reason == "INVALID_REQUEST"
        stream = records.ProduceStream(timeout=_SECONDS)
        setup = record_pb2.ProduceStreamSetup(topic_name=name)
        await stream.write(record_pb2.ProduceStreamRequest(setup=setup))
        frame = record_pb2.ProduceStreamRecords(records=[bad] * 200)
        await stream.write(record_pb2.ProduceStreamRequest(records=frame))
        answered: Any = await stream.read()
        assert answered.ByteSize() <= _SMALL
        assert [result.error.code for result in answered.results] == [code_pb2.INVALID_ARGUMENT] * 200
        await stream.done_writing()

        configs = topic_config_pb2_grpc.TopicConfigServiceStub(channel)
        request = topic_config_pb2.ListTopicConfigsRequest(topic_name=name, page_size=1000)
        names: list[str] = []
        pages = 0
        while True:
            page = await configs.ListTopicConfigs(request)
            assert page.ByteSize() <= _SMALL
            assert page.topic_configs
            names += [config.name for config in page.topic_configs]
            pages += 1
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        assert len(set(names)) == len(names) == page.total_size
        assert names == sorted(names)


async def test_lists_without_pagination_respect_the_limit(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway = await gateway_factory({"grpc.max.response.bytes": str(_SMALL)})
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        # Names and metadata that are longer together than an answer may be.
        names = [f"{number:03}-{'x' * 240}" for number in range(100)]
        stub, where = await reader_of(channel, await topic())
        partitions = [consumer_instance_pb2.TopicPartition(topic_name=name, partition_id=0) for name in names]
        await stub.AssignPartitions(consumer_instance_pb2.AssignPartitionsRequest(**where, partitions=partitions))
        name = await topic(partitions=6)
        places: list[dict[str, Any]] = [{"topic_name": name, "partition_id": number} for number in range(6)]
        positions = [
            consumer_instance_pb2.PartitionPosition(**place, offset=1, metadata="x" * 4000) for place in places
        ]
        await stub.CommitOffsets(consumer_instance_pb2.CommitOffsetsRequest(**where, offsets=positions))
        offsets = [consumer_instance_pb2.TopicPartition(**place) for place in places]
        subscriber = where | {"consumer_group_id": f"g-{uuid.uuid4().hex}"}
        await stub.CreateConsumerInstance(consumer_instance_pb2.CreateConsumerInstanceRequest(**subscriber))
        await stub.Subscribe(consumer_instance_pb2.SubscribeRequest(**subscriber, topic_names=names))
        for call in (
            stub.GetAssignments(consumer_instance_pb2.GetAssignmentsRequest(**where)),
            stub.GetSubscription(consumer_instance_pb2.GetSubscriptionRequest(**subscriber)),
            stub.GetCommittedOffsets(
                consumer_instance_pb2.GetCommittedOffsetsRequest(**where, partitions=offsets), timeout=_SECONDS
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        fewer = consumer_instance_pb2.GetCommittedOffsetsRequest(**where, partitions=offsets[:2])
        assert len((await stub.GetCommittedOffsets(fewer)).offsets) == 2


async def test_deleted_acls_that_do_not_fit_are_counted(gateway_factory: GatewayFactory, cluster_id: str) -> None:
    gateway = await gateway_factory({"grpc.max.response.bytes": str(_SMALL)})
    user = f"User:{uuid.uuid4().hex}"
    kind: dict[str, Any] = {
        "resource_type": acl_pb2.ACL_RESOURCE_TYPE_TOPIC,
        "pattern_type": acl_pb2.ACL_PATTERN_TYPE_LITERAL,
        "principal": user,
        "operation": acl_pb2.ACL_OPERATION_READ,
        "permission": acl_pb2.ACL_PERMISSION_ALLOW,
    }
    bindings = [acl_pb2.AclBinding(**kind, resource_name=f"{n:03}-{'x' * 200}", host="*") for n in range(100)]
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        service = acl_pb2_grpc.AclServiceStub(channel)
        await service.BatchCreateAcls(acl_pb2.BatchCreateAclsRequest(cluster_id=cluster_id, data=bindings))
        deleted = await service.DeleteAcls(acl_pb2.DeleteAclsRequest(cluster_id=cluster_id, **kind))
        assert deleted.ByteSize() <= _SMALL
        assert 1 < len(deleted.acls) < deleted.total_size == 100
        left = await service.ListAcls(acl_pb2.ListAclsRequest(cluster_id=cluster_id, **kind))
        assert left.total_size == 0


_record = st.builds(
    Record,
    topic_name=st.text(st.characters(max_codepoint=127), max_size=249),
    partition_id=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp=st.none() | st.integers(-(2**43), 2**45),
    headers=st.lists(st.builds(Header, st.text(max_size=50), st.none() | st.binary(max_size=50)), max_size=20),
    key=st.none() | st.binary(max_size=300),
    value=st.none() | st.binary(max_size=3000),
)


@given(st.lists(_record, max_size=20))
async def test_estimated_sizes_of_records_are_upper_bounds(records: list[Record]) -> None:
    assert size_of(await write_records(records)) <= sum(map(record_size, records))


@given(st.lists(st.integers(0, 2000), max_size=50), st.integers(0, 40_000))
def test_errors_fit_into_a_response_with_their_codes(lengths: list[int], limit: int) -> None:
    response = record_pb2.ProduceRecordsResponse()
    try:
        room = Room(limit, len(lengths), 40)
    except PayloadTooLarge:
        assert limit < 16 + 40 * len(lengths)
        return
    for length in lengths:
        response.results.add(error=room.status(InvalidRequest("x" * length, field="f" * length)))
    assert response.ByteSize() <= limit
    assert all(result.error.code == code_pb2.INVALID_ARGUMENT for result in response.results)
