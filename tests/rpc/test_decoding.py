"""Separate formats of keys and values, decoding with the Schema Registry, and undecodable records."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from google.protobuf.empty_pb2 import Empty

from kafka_facade.rpc.gen.v1 import (
    consumer_instance_pb2,
    consumer_instance_pb2_grpc,
    record_pb2,
    record_pb2_grpc,
)
from kafka_facade.rpc.gen.v1.record_pb2 import (
    FORMAT_AVRO,
    FORMAT_JSON,
    FORMAT_PROTOBUF,
    FORMAT_STRING,
    RecordData,
    RecordToProduce,
    SchemaSelector,
)
from kafka_facade_devstack.background import BackgroundStack

TopicFactory = Callable[..., Awaitable[str]]

_SECONDS = 60
AVRO = SchemaSelector(schema='"long"')
UNKNOWN_ID = b"\0\0\x7f\xff\xff\x01"


def text(value: str) -> RecordData:
    return RecordData(text=value)


async def filled(channel: grpc.aio.Channel, topic: TopicFactory) -> str:
    """A topic with a record that has a schema, two that look like it, and some that do not."""
    name = await topic()
    records = [
        RecordToProduce(key=text("ann"), value=RecordData(json="12", format=FORMAT_AVRO, schema=AVRO)),
        RecordToProduce(key=RecordData(binary=b"\xff"), value=RecordData(json="[1.50]")),
        RecordToProduce(key=RecordData(binary=UNKNOWN_ID), value=RecordData(binary=(7).to_bytes(8, "big"))),
        RecordToProduce(),
    ]
    answer = await record_pb2_grpc.RecordServiceStub(channel).ProduceRecords(
        record_pb2.ProduceRecordsRequest(topic_name=name, records=records)
    )
    assert all(result.HasField("report") for result in answer.results)
    return name


async def instance(channel: grpc.aio.Channel, topic: str, format: record_pb2.Format.ValueType) -> tuple[Any, Any]:
    stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
    where: dict[str, Any] = {"consumer_group_id": f"g-{uuid.uuid4().hex}", "instance_id": "i"}
    await stub.CreateConsumerInstance(
        consumer_instance_pb2.CreateConsumerInstanceRequest(**where, format=format, auto_offset_reset="earliest")
    )
    partition = consumer_instance_pb2.TopicPartition(topic_name=topic, partition_id=0)
    await stub.AssignPartitions(consumer_instance_pb2.AssignPartitionsRequest(**where, partitions=[partition]))
    # Of a broker that has had no group yet, the coordinator may take long: what it has committed is not needed here.
    beginning = consumer_instance_pb2.SeekToBeginningRequest(**where, partitions=[partition])
    await stub.SeekToBeginning(beginning)
    return stub, where


async def fetched(stub: Any, where: Any, count: int, **request: Any) -> list[consumer_instance_pb2.FetchedRecord]:
    found: list[consumer_instance_pb2.FetchedRecord] = []
    fetch = consumer_instance_pb2.FetchRecordsRequest(**where, **request)
    async with asyncio.timeout(_SECONDS):
        while len(found) < count:
            found += (await stub.FetchRecords(fetch)).records
    return found


async def test_an_undecodable_record_is_returned_and_reading_continues(
    channel: grpc.aio.Channel, topic: TopicFactory
) -> None:
    stub, where = await instance(channel, await filled(channel, topic), FORMAT_JSON)
    found = await fetched(stub, where, 4)
    assert [record.HasField("value_error") for record in found] == [True, False, True, False]
    assert found[0].key == RecordData(binary=b"ann")
    assert found[0].value.binary.endswith(b"\x18")
    assert found[1].value == RecordData(json="[1.50]")
    assert not found[3].HasField("value")


async def test_keys_and_values_have_separate_formats(
    channel: grpc.aio.Channel, topic: TopicFactory, stack: BackgroundStack
) -> None:
    name = await filled(channel, topic)
    schema_id = SchemaRegistryClient({"url": stack.schema_registry}).get_latest_version(f"{name}-value").schema_id or 0
    stub, where = await instance(channel, name, FORMAT_JSON)
    found = await fetched(stub, where, 4, key_format=FORMAT_STRING, value_format=FORMAT_AVRO)
    assert found[0].key == text("ann")
    of_schema = SchemaSelector(schema_id=schema_id, subject=f"{name}-value")
    assert found[0].value == RecordData(json="12", format=FORMAT_AVRO, schema=of_schema)
    assert (found[1].key, found[1].key_error) == (RecordData(binary=b"\xff"), "the bytes are not UTF-8")
    assert (found[1].value.binary, found[1].HasField("value_error")) == (b"[1.50]", True)

    stub, where = await instance(channel, name, FORMAT_JSON)
    found = await fetched(stub, where, 4, decode_with_registry=True)
    assert [record.value.json for record in found[:1]] == ["12"]
    # Without an id the bytes are what they are; an id that there is not is told.
    assert (found[1].key, found[1].HasField("key_error")) == (RecordData(binary=b"\xff"), False)
    assert (found[2].key, found[2].HasField("key_error")) == (RecordData(binary=UNKNOWN_ID), True)

    stub, where = await instance(channel, name, FORMAT_JSON)
    [first, *_] = await fetched(stub, where, 4, value_format=FORMAT_PROTOBUF)
    assert "AVRO" in first.value_error


async def test_a_topic_is_consumed_with_its_schemas(
    channel: grpc.aio.Channel, topic: TopicFactory, stack: BackgroundStack
) -> None:
    name = await filled(channel, topic)
    schema_id = SchemaRegistryClient({"url": stack.schema_registry}).get_latest_version(f"{name}-value").schema_id or 0
    stub = record_pb2_grpc.RecordServiceStub(channel)

    async def consumed(**request: Any) -> list[record_pb2.Record]:
        asked = record_pb2.ConsumeRequest(topic_name=name, earliest=Empty(), **request)
        return [record async for frame in stub.Consume(asked, timeout=_SECONDS) for record in frame.records]

    plain = await consumed()
    assert not any(record.HasField("decoded_value") or record.HasField("decoded_key") for record in plain)
    found = await consumed(decode_with_registry=True, key_format=FORMAT_STRING)
    of_schema = SchemaSelector(schema_id=schema_id, subject=f"{name}-value")
    assert found[0].decoded_value == RecordData(json="12", format=FORMAT_AVRO, schema=of_schema)
    assert found[0].decoded_key == text("ann")
    assert not found[0].HasField("key")
    assert not found[0].HasField("value")
    assert (found[1].key, found[1].HasField("key_error")) == (b"\xff", True)
    assert (found[1].value, found[1].HasField("value_error")) == (b"[1.50]", False)
    assert (found[2].value, found[2].HasField("value_error")) == (plain[2].value, True)
    assert not found[3].HasField("value")
    assert not found[3].HasField("decoded_value")
    as_json = await consumed(value_format=FORMAT_JSON)
    assert [record.decoded_value.json for record in as_json] == ["", "[1.50]", "", ""]
    assert [record.key for record in as_json] == [record.key for record in plain]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await consumed(value_format=99)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
