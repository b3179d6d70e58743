"""Requests may be compressed with gzip; the limits apply to the decompressed message."""

import gzip
import os

import grpc
import pytest

from conftest import GatewayFactory, TopicFactory
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade.rpc.gen.v1.record_pb2 import RecordData, RecordToProduce
from kafka_facade_devstack.gateway import Gateway
from peak_memory import MEBIBYTE, PeakMemory

_PRODUCE = "/kafka_facade.v1.RecordService/ProduceRecords"


def compressible(size: int) -> bytes:
    """Data that gzip makes 50 times smaller."""
    return b"".join(os.urandom(64) + bytes(6000) for _ in range(size // 6064))


def request(topic: str, *values: bytes) -> record_pb2.ProduceRecordsRequest:
    records = [RecordToProduce(value=RecordData(binary=value)) for value in values]
    return record_pb2.ProduceRecordsRequest(topic_name=topic, records=records)


@pytest.fixture
async def channel(gateway: Gateway) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(gateway.grpc, options=[("grpc.max_send_message_length", -1)])


@pytest.mark.parametrize("count", [1, 30])
async def test_compressed_records_are_produced(channel: grpc.aio.Channel, topic: TopicFactory, count: int) -> None:
    name = await topic()
    values = [compressible(900_000) for _ in range(count)]
    stub = record_pb2_grpc.RecordServiceStub(channel)
    answer = await stub.ProduceRecords(request(name, *values), compression=grpc.Compression.Gzip, timeout=60)
    assert [result.report.value.size for result in answer.results] == [len(value) for value in values]

    stream = stub.ProduceStream(compression=grpc.Compression.Gzip, timeout=60)
    await stream.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=name)))
    frame = record_pb2.ProduceStreamRecords(records=request(name, *values).records)
    await stream.write(record_pb2.ProduceStreamRequest(records=frame))
    answered = await stream.read()
    assert isinstance(answered, record_pb2.ProduceStreamResponse)
    assert [result.HasField("offset") for result in answered.results] == [True] * count
    await stream.done_writing()
    await channel.close()


async def test_deflate_is_rejected(channel: grpc.aio.Channel) -> None:
    produce = record_pb2_grpc.RecordServiceStub(channel).ProduceRecords
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await produce(request("a", compressible(100_000)), compression=grpc.Compression.Deflate, timeout=60)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "'deflate' is disabled" in (refused.value.details() or "")
    await channel.close()


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"xxxx" + data[24:]])
async def test_damaged_gzip_is_malformed(channel: grpc.aio.Channel, damage: object) -> None:
    assert callable(damage)
    data = damage(gzip.compress(request("a", os.urandom(1000)).SerializeToString()))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary(_PRODUCE)(data, timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "gzip" in (refused.value.details() or "")
    await channel.close()


async def test_a_message_that_grows_out_of_proportion(channel: grpc.aio.Channel) -> None:
    produce = record_pb2_grpc.RecordServiceStub(channel).ProduceRecords
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await produce(request("a", bytes(60 * MEBIBYTE)), compression=grpc.Compression.Gzip, timeout=60)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "proportion" in (refused.value.details() or "")
    await channel.close()


async def test_a_message_that_grows_beyond_the_limit(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway = await gateway_factory({"max.request.body.size": str(4 * MEBIBYTE)})
    name = await topic()
    async with grpc.aio.insecure_channel(gateway.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        produce = record_pb2_grpc.RecordServiceStub(channel).ProduceRecords
        answer = await produce(request(name, bytes(100_000)), compression=grpc.Compression.Gzip, timeout=60)
        assert answer.results[0].HasField("report")
        memory = PeakMemory(gateway)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await produce(request(name, bytes(200 * MEBIBYTE)), compression=grpc.Compression.Gzip, timeout=60)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "4194304 bytes" in (refused.value.details() or "")
        assert memory.growth() < 50 * MEBIBYTE
