"""v2 with schemas: producing and consuming, and compatibility with official clients."""

import asyncio
import json
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

Topic = Callable[..., Coroutine[Any, Any, str]]
GatewayFactory = Callable[..., Coroutine[Any, Any, Gateway]]

USER = json.dumps(
    {
        "type": "record",
        "name": "User",
        "fields": [{"name": "name", "type": "string"}, {"name": "age", "type": ["null", "int"], "default": None}],
    }
)
JSON_SCHEMA = '{"title":"T","type":"object","properties":{"f1":{"type":"string"}},"required":["f1"]}'
PROTO = 'syntax="proto3"; message Foo { string f1 = 1; int64 n = 2; }'


@pytest.fixture
def registry(stack: BackgroundStack) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": stack.schema_registry})


async def produce(client: httpx.AsyncClient, path: str, format: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"content-type": f"application/vnd.kafka.{format}.v2+json"}
    return await client.post(f"/topics/{path}", headers=headers, content=json.dumps(body))


async def consume(client: httpx.AsyncClient, topic: str, format: str, count: int) -> list[dict[str, Any]]:
    group = f"g-{uuid.uuid4().hex[:12]}"
    headers = {"content-type": "application/vnd.kafka.v2+json"}
    settings = {"name": "i", "format": format, "auto.offset.reset": "earliest"}
    await client.post(f"/consumers/{group}", headers=headers, content=json.dumps(settings))
    where = f"/consumers/{group}/instances/i"
    await client.post(f"{where}/subscription", headers=headers, content=json.dumps({"topics": [topic]}))
    accept = f"application/vnd.kafka.{format}.v2+json"
    found: list[dict[str, Any]] = []
    for _ in range(20):
        response = await client.get(f"{where}/records?timeout=2000", headers={"accept": accept})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == accept
        found += response.json()
        if len(found) >= count:
            break
    await client.delete(where)
    return found


async def test_avro(client: httpx.AsyncClient, topic: Topic, registry: SchemaRegistryClient) -> None:
    name = await topic()
    records = [{"value": {"name": "ann", "age": {"int": 3}}}, {"value": {"name": "bob", "age": None}}]
    response = await produce(client, name, "avro", {"value_schema": USER, "records": records})
    schema_id = registry.get_latest_version(f"{name}-value").schema_id
    assert (response.status_code, response.headers["content-type"]) == (200, "application/vnd.kafka.v2+json")
    assert response.json() == {
        "offsets": [{"partition": 0, "offset": n, "error_code": None, "error": None} for n in (0, 1)],
        "key_schema_id": None,
        "value_schema_id": schema_id,
    }
    again = {"value_schema_id": schema_id, "records": [{"value": {"name": "cy", "age": {"int": 4}}}]}
    response = await produce(client, f"{name}/partitions/0", "avro", again)
    assert response.json()["value_schema_id"] == schema_id
    keyed: dict[str, Any] = {"key_schema": '"string"', "value_schema_id": schema_id}
    keyed["records"] = [{"key": "k", "value": {"name": "cy", "age": {"int": 4}}}, {"key": "k"}, {"key": None}]
    response = await produce(client, name, "avro", keyed)
    assert response.json()["key_schema_id"] == registry.get_latest_version(f"{name}-key").schema_id
    assert await consume(client, name, "avro", 6) == [
        {"topic": name, "key": None, "value": {"name": "ann", "age": {"int": 3}}, "partition": 0, "offset": 0},
        {"topic": name, "key": None, "value": {"name": "bob", "age": None}, "partition": 0, "offset": 1},
        {"topic": name, "key": None, "value": {"name": "cy", "age": {"int": 4}}, "partition": 0, "offset": 2},
        {"topic": name, "key": "k", "value": {"name": "cy", "age": {"int": 4}}, "partition": 0, "offset": 3},
        {"topic": name, "key": "k", "value": None, "partition": 0, "offset": 4},
        {"topic": name, "key": None, "value": None, "partition": 0, "offset": 5},
    ]


@pytest.mark.parametrize(
    ("format", "schema", "value", "read"),
    [
        ("jsonschema", JSON_SCHEMA, {"f1": "v"}, {"f1": "v"}),
        ("protobuf", PROTO, {"f1": "v", "n": 12}, {"f1": "v", "n": "12"}),
        ("protobuf", PROTO, {}, {"f1": "", "n": "0"}),
    ],
)
async def test_other_formats(
    client: httpx.AsyncClient, topic: Topic, format: str, schema: str, value: Any, read: Any
) -> None:
    name = await topic(partitions=2)
    body = {"key_schema": schema, "value_schema": schema, "records": [{"key": value, "value": value, "partition": 1}]}
    ids = (await produce(client, name, format, body)).json()
    assert ids["offsets"] == [{"partition": 1, "offset": 0, "error_code": None, "error": None}]
    by_id = {"value_schema_id": ids["value_schema_id"], "key_schema_id": ids["key_schema_id"]}
    by_id["records"] = [{"key": value, "value": value}]
    assert (await produce(client, f"{name}/partitions/1", format, by_id)).status_code == 200
    [first, second] = await consume(client, name, format, 2)
    assert first == {"topic": name, "key": read, "value": read, "partition": 1, "offset": 0}
    assert second == {**first, "offset": 1}


async def test_null_is_encoded_by_the_schema(client: httpx.AsyncClient, topic: Topic, stack: BackgroundStack) -> None:
    name = await topic()
    response = await produce(client, name, "avro", {"value_schema": '["int","null"]', "records": [{"value": None}]})
    assert response.status_code == 200, response.text
    assert (await asyncio.to_thread(_read, stack, name))[5:] == b"\x02"
    assert [record["value"] for record in await consume(client, name, "avro", 1)] == [None]
    for format, schema in (("avro", USER), ("jsonschema", JSON_SCHEMA), ("protobuf", PROTO)):
        body = {"value_schema": schema, "records": [{"value": None}]}
        response = await produce(client, await topic(), format, body)
        assert (response.status_code, response.json()["error_code"]) == (400, 400), response.text


VALUE = [{"value": {"name": "x", "age": None}}]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"records": VALUE}, 422, 42202),
        ({"value_schema": USER, "records": [{"key": "k", **VALUE[0]}]}, 422, 42201),
        ({"value_schema": '{"type":"nonsense"}', "records": VALUE}, 422, 42205),
        ({"value_schema": "{", "records": VALUE}, 422, 42205),
        ({"value_schema_id": 99999, "records": VALUE}, 408, 40801),
        ({"value_schema_id": 0, "records": VALUE}, 408, 40801),
        ({"value_schema_id": 1, "value_schema": USER, "records": VALUE}, 400, 400),
        ({"value_schema": USER, "records": [{"value": {"nam": "x"}}]}, 400, 400),
        ({"value_schema": USER, "records": [*VALUE, {"value": 5}]}, 400, 400),
        ({"value_schema": USER, "records": []}, 422, 422),
        ({"value_schema": USER}, 422, 422),
        ({"value_schema": 5, "records": VALUE}, 400, 400),
        ({"value_schema_id": "x", "records": VALUE}, 400, 400),
        ({"value_schema_id": 2**31, "records": VALUE}, 400, 400),
        ({"value_schema": USER, "schema": USER, "records": VALUE}, 422, 422),
    ],
)
async def test_invalid_produce_requests(
    client: httpx.AsyncClient, topic: Topic, body: dict[str, Any], status: int, code: int
) -> None:
    name = await topic()
    response = await produce(client, name, "avro", body)
    assert (response.status_code, response.json()["error_code"]) == (status, code), response.text
    assert (await client.get(f"/topics/{name}/partitions/0/offsets")).json()["end_offset"] == 0


async def test_a_schema_of_another_format(
    client: httpx.AsyncClient, topic: Topic, registry: SchemaRegistryClient
) -> None:
    name = await topic()
    schema_id = registry.register_schema(f"{name}-value", Schema(JSON_SCHEMA, "JSON"))
    response = await produce(client, name, "avro", {"value_schema_id": schema_id, "records": [{"value": {"f1": "v"}}]})
    assert (response.status_code, response.json()["error_code"]) == (400, 400)
    assert "JSONSCHEMA" in response.json()["message"]


async def test_an_unknown_partition(client: httpx.AsyncClient, topic: Topic) -> None:
    body = {"value_schema": USER, "records": VALUE}
    response = await produce(client, f"{await topic()}/partitions/7", "avro", body)
    assert (response.status_code, response.json()["error_code"]) == (404, 40402)


async def test_without_the_registry_nothing_is_lost(
    client: httpx.AsyncClient, gateway_factory: GatewayFactory, topic: Topic, stack: BackgroundStack
) -> None:
    name = await topic()
    await produce(client, name, "avro", {"value_schema": '"string"', "records": [{"value": "a"}, {"value": "b"}]})
    gateway = await gateway_factory({"schema.registry.url": "http://127.0.0.1:9"})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as other:
        group = f"g-{uuid.uuid4().hex[:12]}"
        headers = {"content-type": "application/vnd.kafka.v2+json"}
        settings = {"name": "i", "format": "avro", "auto.offset.reset": "earliest"}
        await other.post(f"/consumers/{group}", headers=headers, content=json.dumps(settings))
        where = f"/consumers/{group}/instances/i"
        await other.post(f"{where}/subscription", headers=headers, content=json.dumps({"topics": [name]}))
        accept = {"accept": "application/vnd.kafka.avro.v2+json"}
        for _ in range(2):
            async with asyncio.timeout(60):
                # Until the instance has joined its group there is nothing to read.
                while (response := await other.get(f"{where}/records?timeout=3000", headers=accept)).text == "[]":
                    pass
            assert (response.status_code, response.json()["error_code"]) == (408, 40801)
            assert f"partition {name}-0 at offset 0" in response.json()["message"]
        await other.delete(where)


def _read(stack: BackgroundStack, topic: str) -> bytes:
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    value = message.value()
    assert isinstance(value, bytes)
    return value


def _write(stack: BackgroundStack, topic: str, payload: bytes | None) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(topic, value=payload)
    assert producer.flush(20) == 0


async def test_avro_from_official_clients(
    client: httpx.AsyncClient, topic: Topic, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    schema = json.dumps(
        {
            "type": "record",
            "name": "Order",
            "namespace": "org.example",
            "fields": [
                {"name": "id", "type": "long"},
                {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
                {"name": "lines", "type": {"type": "array", "items": ["null", "string", "double"]}},
                {"name": "parent", "type": ["null", "Order"]},
            ],
        }
    )
    inner = {"id": 2**53 + 1, "price": "\u0004\u00d2", "lines": [], "parent": None}
    order = {"id": -1, "price": "\u00ff", "lines": [None, {"string": "é"}, {"double": 0.5}]}
    value = {**order, "parent": {"org.example.Order": inner}}
    name = await topic()
    response = await produce(client, name, "avro", {"value_schema": schema, "records": [{"value": value}]})
    assert response.status_code == 200, response.text
    payload = await asyncio.to_thread(_read, stack, name)
    context = SerializationContext(name, MessageField.VALUE)
    read: Any = AvroDeserializer(registry)(payload, context)
    assert str(read["price"]) == "-0.01"
    assert read["lines"] == [None, "é", 0.5]
    assert str(read["parent"]["price"]) == "12.34"
    again = AvroSerializer(registry, schema)(read, context)
    assert again == payload
    other = await topic()
    context = SerializationContext(other, MessageField.VALUE)
    await asyncio.to_thread(_write, stack, other, AvroSerializer(registry, schema)(read, context))
    assert [record["value"] for record in await consume(client, other, "avro", 1)] == [value]


async def test_json_schema_from_official_clients(
    client: httpx.AsyncClient, topic: Topic, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    name = await topic()
    value = {"f1": "é", "more": [1, 2.5, None, {"a": True}]}
    await produce(client, name, "jsonschema", {"value_schema": JSON_SCHEMA, "records": [{"value": value}]})
    payload = await asyncio.to_thread(_read, stack, name)
    context = SerializationContext(name, MessageField.VALUE)
    assert JSONDeserializer(JSON_SCHEMA)(payload, context) == value
    other = await topic()
    context = SerializationContext(other, MessageField.VALUE)
    written = JSONSerializer(JSON_SCHEMA, registry)(value, context)
    await asyncio.to_thread(_write, stack, other, written)
    assert [record["value"] for record in await consume(client, other, "jsonschema", 1)] == [value]


async def test_protobuf_from_official_clients(
    client: httpx.AsyncClient, topic: Topic, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    timestamp = timestamp_pb2.Timestamp(seconds=1_000_000_000, nanos=5)
    schema = 'syntax="proto3"; package google.protobuf; message Timestamp { int64 seconds = 1; int32 nanos = 2; }'
    name = await topic()
    body = {"value_schema": schema, "records": [{"value": "2001-09-09T01:46:40.000000005Z"}]}
    response = await produce(client, name, "protobuf", body)
    assert response.status_code == 200, response.text
    payload = await asyncio.to_thread(_read, stack, name)
    config = {"use.deprecated.format": False}
    read = ProtobufDeserializer(timestamp_pb2.Timestamp, config)(
        payload, SerializationContext(name, MessageField.VALUE)
    )
    assert read == timestamp

    # A message that is not the first of its file: its index is not 0.
    field = FieldDescriptorProto(name="f", number=3, type=FieldDescriptorProto.TYPE_INT32)
    serialize = ProtobufSerializer(FieldDescriptorProto, registry, config)
    other = await topic()
    written = serialize(field, SerializationContext(other, MessageField.VALUE))
    assert written is not None
    assert written[5:6] != b"\0"
    await asyncio.to_thread(_write, stack, other, written)
    [record] = await consume(client, other, "protobuf", 1)
    assert record["value"] == {"name": "f", "number": 3, "type": "TYPE_INT32"}


async def test_an_illegal_topic_name_registers_no_schema(
    client: httpx.AsyncClient, registry: SchemaRegistryClient
) -> None:
    name = f"no topic {uuid.uuid4()}"
    body = {"value_schema": USER, "records": [{"value": {"name": "ann", "age": None}}]}
    response = await produce(client, name, "avro", body)
    assert (response.status_code, response.json()["offsets"][0]["error"]) == (200, f"Invalid topics: [{name}]")
    assert f"{name}-value" not in await asyncio.to_thread(registry.get_subjects)


async def test_large_values_that_wait_for_each_other_are_all_valid(client: httpx.AsyncClient, topic: Topic) -> None:
    name = await topic()
    body = {"value_schema": PROTO, "records": [{"value": {"f1": "x" * 400_000, "n": n}} for n in range(2)]}
    answers = await asyncio.gather(*(produce(client, name, "protobuf", body) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    found = {entry["offset"] for answer in answers for entry in answer.json()["offsets"]}
    assert found == set(range(40))


def _nested(levels: int, width: int) -> str:
    type_: Any = "null"
    for level in range(levels):
        # Only the first field defines the type, the others name it.
        types = [type_] + [type_ if level == 0 else f"R{level - 1}"] * (width - 1)
        fields = [{"name": f"f{n}", "type": each} for n, each in enumerate(types)]
        type_ = {"type": "record", "name": f"R{level}", "fields": fields}
    return json.dumps(type_)


async def test_a_record_whose_decoded_size_is_too_large(
    client: httpx.AsyncClient, topic: Topic, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    """Five bytes that encode 10^11 nulls are an error of this record and do not delay other calls."""
    name = await topic()
    schema_id = registry.register_schema(f"{name}-value", Schema(_nested(11, 10), "AVRO"))
    await asyncio.to_thread(_write, stack, name, b"\0" + schema_id.to_bytes(4, "big"))
    good = {"value_schema": '["null","int"]', "records": [{"value": {"int": 1}}]}
    other = await topic()
    assert (await produce(client, other, "avro", good)).status_code == 200
    group = f"g-{uuid.uuid4().hex[:12]}"
    headers = {"content-type": "application/vnd.kafka.v2+json"}
    settings = {"name": "i", "format": "avro", "auto.offset.reset": "earliest"}
    await client.post(f"/consumers/{group}", headers=headers, content=json.dumps(settings))
    where = f"/consumers/{group}/instances/i"
    partitions = {"partitions": [{"topic": name, "partition": 0}]}
    await client.post(f"{where}/assignments", headers=headers, content=json.dumps(partitions))
    start = {"partitions": [{"topic": name, "partition": 0}]}
    await client.post(f"{where}/positions/beginning", headers=headers, content=json.dumps(start))
    accept = {"accept": "application/vnd.kafka.avro.v2+json"}
    reading = asyncio.create_task(client.get(f"{where}/records?timeout=5000", headers=accept))
    while not reading.done():
        assert (await produce(client, other, "avro", good)).status_code == 200
    response = await reading
    assert (response.status_code, response.json()["error_code"]) == (408, 40801), response.text[:200]
    assert "too large" in response.json()["message"]
    await client.delete(where)


async def test_large_decoded_records_are_split_over_several_reads(
    client: httpx.AsyncClient, topic: Topic, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    """Each record is within its limit, but all together exceed that of a response."""
    name = await topic()
    schema_id = registry.register_schema(f"{name}-value", Schema('{"type":"array","items":"null"}', "AVRO"))
    nulls = 15_000
    payload = b"\0" + schema_id.to_bytes(4, "big") + b"\xb0\xea\x01\x00"

    def write() -> None:
        producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
        for _ in range(400):
            producer.produce(name, value=payload)
        assert producer.flush(20) == 0

    await asyncio.to_thread(write)
    group = f"g-{uuid.uuid4().hex[:12]}"
    headers = {"content-type": "application/vnd.kafka.v2+json"}
    settings = {"name": "i", "format": "avro", "auto.offset.reset": "earliest"}
    await client.post(f"/consumers/{group}", headers=headers, content=json.dumps(settings))
    where = f"/consumers/{group}/instances/i"
    await client.post(f"{where}/subscription", headers=headers, content=json.dumps({"topics": [name]}))
    accept = {"accept": "application/vnd.kafka.avro.v2+json"}
    counts: list[int] = []
    while sum(counts) < 400:
        response = await client.get(f"{where}/records?timeout=5000", headers=accept)
        assert response.status_code == 200, response.text[:200]
        assert all(len(record["value"]) == nulls for record in response.json())
        counts.append(len(response.json()))
        assert len(counts) < 20
    assert max(counts) < 300
    await client.delete(where)
