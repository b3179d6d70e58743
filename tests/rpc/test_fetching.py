"""FetchRecords returns available records before the deadline, and consumes only delivered records."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from kafka_facade.rpc.gen.v1 import (
    consumer_instance_pb2,
    consumer_instance_pb2_grpc,
    record_pb2,
    record_pb2_grpc,
)
from kafka_facade.rpc.gen.v1.record_pb2 import RecordData, RecordToProduce
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]
GatewayFactory = Callable[..., Awaitable[Gateway]]

_LONG_MS = 60_000
_SECONDS = 30
_SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]


async def reader(channel: grpc.aio.Channel, topic: str, **settings: Any) -> tuple[Any, dict[str, Any]]:
    """An instance that waits long, assigned the topic's partition."""
    stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
    where: dict[str, Any] = {"consumer_group_id": f"g-{uuid.uuid4().hex}", "instance_id": "i"}
    created = consumer_instance_pb2.CreateConsumerInstanceRequest(
        **where, auto_offset_reset="earliest", request_timeout_ms=_LONG_MS, **settings
    )
    await stub.CreateConsumerInstance(created)
    partition = consumer_instance_pb2.TopicPartition(topic_name=topic, partition_id=0)
    await stub.AssignPartitions(consumer_instance_pb2.AssignPartitionsRequest(**where, partitions=[partition]))
    return stub, where


async def produce(channel: grpc.aio.Channel, topic: str, values: list[str]) -> None:
    records = [RecordToProduce(value=RecordData(text=value)) for value in values]
    await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(
        record_pb2.ProduceRecordsRequest(topic_name=topic, records=records)
    )


async def test_available_records_are_returned_at_once(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic()
    await produce(channel, name, ["a", "b"])
    stub, where = await reader(channel, name)
    fetch = consumer_instance_pb2.FetchRecordsRequest(**where)
    async with asyncio.timeout(_SECONDS):
        assert [record.offset for record in (await stub.FetchRecords(fetch)).records] == [0, 1]
        # Where there is nothing it waits, and no longer than for the first record.
        waiting = stub.FetchRecords(fetch)
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await produce(channel, name, ["c"])
        assert [record.offset for record in (await waiting).records] == [2]


async def test_an_empty_response_arrives_before_the_deadline(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    stub, where = await reader(channel, await topic())
    for seconds in (0.5, 2):
        answer = await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where), timeout=seconds)
        assert not answer.records


async def test_fetch_min_bytes_is_respected(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic()
    await produce(channel, name, ["x" * 10])
    stub, where = await reader(channel, name, fetch_min_bytes=15)
    waiting = stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where))
    await asyncio.sleep(1)
    assert not waiting.done()
    await produce(channel, name, ["y" * 10])
    async with asyncio.timeout(_SECONDS):
        assert len((await waiting).records) == 2


async def test_cancelled_fetches_consume_no_records(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    name = await topic()
    stub, where = await reader(channel, name, fetch_min_bytes=1000)
    fetch = consumer_instance_pb2.FetchRecordsRequest(**where)
    found: list[int] = []
    for number in range(5):
        # It has read the record, and waits for more bytes, when its caller is gone.
        waiting = stub.FetchRecords(fetch)
        await produce(channel, name, [str(number)])
        await asyncio.sleep(0.2)
        waiting.cancel()
        assert await waiting.code() is grpc.StatusCode.CANCELLED
    short = consumer_instance_pb2.FetchRecordsRequest(**where, timeout_ms=500)
    async with asyncio.timeout(_SECONDS):
        while len(found) < 5:
            found += [record.offset for record in (await stub.FetchRecords(short)).records]
    assert found == list(range(5))


async def test_max_bytes_below_1_is_rejected(channel: grpc.aio.Channel, topic: TopicFactory) -> None:
    stub, where = await reader(channel, await topic())
    for limit in (0, -1):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where, max_bytes=limit))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details() == "max_bytes must be at least 1."


async def test_an_undelivered_response_consumes_no_records(
    channel: grpc.aio.Channel, gateway: Gateway, topic: TopicFactory
) -> None:
    name = await topic()
    # Each of them exceeds the buffers of the connection.
    await produce(channel, name, ["x" * 150_000] * 20)
    stub, where = await reader(channel, name)
    fetch = consumer_instance_pb2.FetchRecordsRequest(**where)
    # This response is not read.
    async with grpc.aio.insecure_channel(gateway.grpc, options=_SMALL_WINDOW) as stalled:
        method: grpc.aio.UnaryStreamMultiCallable[Any, bytes] = stalled.unary_stream(
            "/kafka_facade.v1.ConsumerInstanceService/FetchRecords",
            consumer_instance_pb2.FetchRecordsRequest.SerializeToString,
        )
        for deadline in (None, 2.0):
            call = method(fetch, timeout=deadline)
            await call.initial_metadata()
            if deadline is None:
                call.cancel()
            assert await call.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
    found: list[int] = []
    async with asyncio.timeout(_SECONDS):
        while len(found) < 20:
            found += [record.offset for record in (await stub.FetchRecords(fetch)).records]
    assert found == list(range(20))


async def test_the_access_list_applies_to_the_format_of_the_instance(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory({"api.endpoints.blocklist": "api.v2.consumers.consume-binary"})
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        await produce(channel, name, ["1"])
        stub, where = await reader(channel, name, format="FORMAT_JSON")
        async with asyncio.timeout(_SECONDS):
            answer = await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where))
        assert [record.value.json for record in answer.records] == ["1"]
        stub, where = await reader(channel, name, format="FORMAT_BINARY")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.FetchRecords(consumer_instance_pb2.FetchRecordsRequest(**where))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
