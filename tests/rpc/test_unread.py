"""A call ends if its client reads nothing of a stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from conftest import GatewayFactory, TopicFactory
from http2_connection import Http2Connection, message
from kafka_facade.rpc.gen.v1 import (
    record_pb2,
    record_pb2_grpc,
    topic_config_pb2,
)
from kafka_facade.rpc.gen.v1.record_pb2 import RecordData, RecordToProduce
from kafka_facade_devstack.gateway import Gateway

_SECONDS = 30
_SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]


@pytest.fixture
async def gateway(gateway_factory: GatewayFactory) -> Gateway:
    return await gateway_factory({"response.write.timeout.ms": "1000"})


@pytest.fixture
async def channel(gateway: Gateway) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(gateway.grpc) as made:
        yield made


def _threads(gateway: Gateway) -> int:
    return psutil.Process(gateway.child.pid).num_threads()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _read_all(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_unread_records(channel: grpc.aio.Channel, gateway: Gateway, topic: TopicFactory) -> None:
    name = await topic()
    stub = record_pb2_grpc.RecordServiceStub(channel)
    records = [RecordToProduce(value=RecordData(text="x" * 10_000))] * 900
    for _ in range(2):
        # More than the connection holds.
        await stub.ProduceRecords(record_pb2.ProduceRecordsRequest(topic_name=name, records=records))
    idle = _threads(gateway)
    call = stub.Consume(record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), follow=True))
    # A Kafka client has threads of its own.
    await _until(lambda: _threads(gateway) > idle + 2)
    await _until(lambda: _threads(gateway) <= idle + 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(_read_all(call), _SECONDS)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_unread_reports(gateway: Gateway, topic: TopicFactory) -> None:
    name = await topic()
    async with grpc.aio.insecure_channel(gateway.grpc, options=_SMALL_WINDOW) as channel:
        await _write_without_reading(record_pb2_grpc.RecordServiceStub(channel).ProduceStream(), name)


async def _write_without_reading(call: Any, name: str) -> None:
    await call.write(record_pb2.ProduceStreamRequest(setup=record_pb2.ProduceStreamSetup(topic_name=name)))
    records = record_pb2.ProduceStreamRecords(records=[RecordToProduce(value=RecordData(text="x"))] * 500)

    async def write() -> None:
        while True:
            await call.write(record_pb2.ProduceStreamRequest(records=records))

    writing = asyncio.create_task(write())
    await asyncio.sleep(5)
    # With the status, or with what a write that the end meets makes of it.
    with pytest.raises(grpc.aio.AioRpcError):
        await asyncio.wait_for(_read_all(call), _SECONDS)
    await asyncio.gather(writing, return_exceptions=True)


async def _ask(connection: Http2Connection, method: str, request: Message) -> int:
    stream = connection.call(f"/kafka_facade.v1.{method}")
    data = request.SerializeToString()
    await connection.send(stream, message(len(data), data))
    return stream


async def test_unread_lists(gateway: Gateway, topic: TopicFactory) -> None:
    name = await topic()
    # Many fill a connection; then there is no room for a status either.
    small = topic_config_pb2.ListTopicConfigsRequest(topic_name=name)
    async with Http2Connection(gateway.grpc, reads=False) as connection:
        for _ in range(30):
            await _ask(connection, "TopicConfigService/ListTopicConfigs", small)
        await asyncio.wait_for(connection.closed(), _SECONDS)


async def test_unread_responses(gateway: Gateway, topic: TopicFactory) -> None:
    records = [RecordToProduce(value=RecordData(text="x"))] * 20_000
    produce = record_pb2.ProduceRecordsRequest(topic_name=await topic(), records=records)
    async with Http2Connection(gateway.grpc, reads=False) as connection:
        await _ask(connection, "RecordService/ProduceRecords", produce)
        await asyncio.wait_for(connection.closed(), _SECONDS)
