"""JSON that a response cannot contain, and numbers that a format cannot represent, on REST and gRPC."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from faces.clients import FaceClient
from faces.conftest import Kafka
from faces.generic import FaceError
from kafka_facade.core.errors import DeserializationFailed
from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

TopicFactory = Callable[..., Awaitable[str]]

SCHEMAS = {
    "AVRO": ('{"type":"record","name":"R","fields":[{"name":"n","type":"double"}]}', b""),
    "PROTOBUF": ('syntax = "proto3"; message R { double n = 1; }', b"\x00\x09"),
}


def _produce(stack: BackgroundStack, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for value in values:
        producer.produce(topic, value=value, partition=0)
    producer.flush(30)


async def _instance(face: FaceClient, topic: str, format: str) -> str:
    group = f"group-{uuid.uuid4().hex}"
    await face.create_consumer(group, "c", format=format, auto_offset_reset="earliest")
    await face.subscribe(group, "c", [topic])
    return group


@pytest.mark.parametrize("bad", [b'["\\ud800"]', b"[1e400]", b"[" * 800 + b"]" * 800])
async def test_an_instance_reports_the_record_after_the_valid_ones(
    face: FaceClient, stack: BackgroundStack, topic: TopicFactory, bad: bytes
) -> None:
    name = await topic()
    _produce(stack, name, [b'"good"', bad, b"2"])
    group = await _instance(face, name, "JSON")
    found: list[Any] = []
    while len(found) < (3 if face.shows_undecodable else 1):
        found += await face.fetch(group, "c", "JSON", 5000)
    assert found[0][2] == "good"
    if face.shows_undecodable:
        assert found[2][2] == 2
    else:
        with pytest.raises(FaceError) as caught:
            await face.fetch(group, "c", "JSON", 5000)
        assert caught.value.codes == face.codes(DeserializationFailed, v2=True)
        await face.seek(group, "c", [(name, 0, 2)])
        [rest] = await face.fetch(group, "c", "JSON", 5000)
        assert rest[2] == 2
    await face.delete_consumer(group, "c")


@pytest.mark.parametrize("form", SCHEMAS)
async def test_nan_and_infinity_are_returned_by_name(
    face: FaceClient, stack: BackgroundStack, topic: TopicFactory, form: str
) -> None:
    name = await topic()
    schema, head = SCHEMAS[form]
    id = SchemaRegistryClient({"url": stack.schema_registry}).register_schema(f"{name}-value", Schema(schema, form))
    numbers = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
    payloads = [b"\0" + id.to_bytes(4, "big") + head + struct.pack("<d", number) for number in numbers.values()]
    _produce(stack, name, payloads)
    group = await _instance(face, name, form)
    found: list[Any] = []
    while len(found) < len(numbers):
        found += await face.fetch(group, "c", form, 5000)
    assert [value for _, _, value in found] == [{"n": number} for number in numbers]
    await face.delete_consumer(group, "c")


@pytest.mark.parametrize("form", SCHEMAS)
async def test_rest_rejects_numbers_outside_the_range_of_doubles(
    gateway: Gateway, cluster: str, topic: TopicFactory, kafka: Kafka, form: str
) -> None:
    name = await topic()
    schema = json.dumps(SCHEMAS[form][0])
    v2_form = {"AVRO": "avro", "PROTOBUF": "protobuf"}[form]
    records = [
        f'{{"value": {{"type": "{form}", "schema": {schema}, "data": {{"n": {number}}}}}}}'
        for number in ("1e400", "1.5", "-1e400", "1" + "0" * 400)
    ]
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        headers = {"content-type": "application/json"}
        url = f"/v3/clusters/{cluster}/topics/{name}/records"
        answer = await client.post(url, content="\n".join(records), headers=headers)
        codes = [json.loads(line)["error_code"] for line in answer.text.splitlines()]
        assert codes == [400, 200, 400, 400], answer.text
        headers = {"content-type": f"application/vnd.kafka.{v2_form}.v2+json"}
        for number in ("1e400", "-1e400", "1" + "0" * 400):
            body = f'{{"value_schema": {schema}, "records": [{{"value": {{"n": {number}}}}}]}}'
            answer = await client.post(f"/topics/{name}", content=body, headers=headers)
            assert (answer.status_code, answer.json()["error_code"]) == (400, 400), answer.text
    assert len(await kafka.records(name)) == 1


@pytest.mark.parametrize("form", ["JSON", *SCHEMAS])
async def test_grpc_rejects_numbers_outside_the_range_of_doubles(
    gateway: Gateway, topic: TopicFactory, kafka: Kafka, form: str
) -> None:
    name = await topic()
    format = record_pb2.Format.Value(f"FORMAT_{form}")
    schema = record_pb2.SchemaSelector(schema=SCHEMAS[form][0]) if form in SCHEMAS else None
    records = [
        record_pb2.RecordToProduce(value=record_pb2.RecordData(json=f'{{"n": {number}}}', format=format, schema=schema))
        for number in ("1e400", "1.5", "-1e400")
    ]
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        produce = record_pb2_grpc.RecordServiceStub(channel).ProduceRecords
        answer = await produce(record_pb2.ProduceRecordsRequest(topic_name=name, records=records), timeout=30)
    assert [result.HasField("report") for result in answer.results] == [False, True, False]
    assert len(await kafka.records(name)) == 1


async def test_json_with_a_schema_keeps_its_digits(gateway: Gateway, topic: TopicFactory, kafka: Kafka) -> None:
    name = await topic()
    data = '{"n":0.1234567890123456789012345}'
    format = record_pb2.FORMAT_JSONSCHEMA
    schema = record_pb2.SchemaSelector(schema='{"type":"object","properties":{"n":{"type":"number","maximum":1}}}')
    records = [
        record_pb2.RecordToProduce(value=record_pb2.RecordData(json=json_text, format=format, schema=schema))
        for json_text in (data, '{"n":1.5}')
    ]
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        produce = record_pb2_grpc.RecordServiceStub(channel).ProduceRecords
        answer = await produce(record_pb2.ProduceRecordsRequest(topic_name=name, records=records), timeout=30)
    assert [result.HasField("report") for result in answer.results] == [True, False]
    [record] = await kafka.records(name)
    assert record["value"][5:] == data.encode()
