"""v3 produce with schemas: selection of the schema, stored bytes, responses."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

Topic = Callable[..., Awaitable[str]]
GatewayFactory = Callable[..., Awaitable[Gateway]]
Produce = Callable[[str, dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]

USER = json.dumps(
    {
        "type": "record",
        "name": "User",
        "namespace": "org.example",
        "fields": [
            {"name": "name", "type": "string"},
            {"name": "age", "type": ["null", "int"], "default": None},
        ],
    }
)


@pytest.fixture
def produce(client: httpx.AsyncClient, cluster: str) -> Produce:
    async def produce(topic: str, record: dict[str, Any]) -> dict[str, Any]:
        response = await client.post(
            f"{cluster}/topics/{topic}/records", headers={"content-type": "application/json"}, json=record
        )
        assert response.status_code == 200
        found: dict[str, Any] = response.json()
        return found

    return produce


@pytest.fixture
def registry(stack: BackgroundStack) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": stack.schema_registry})


async def stored(stack: BackgroundStack, topic: str, offset: int = 0) -> Message:
    """The record as Kafka has it."""
    return await asyncio.to_thread(_stored, stack, topic, offset)


def _stored(stack: BackgroundStack, topic: str, offset: int) -> Message:
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, offset)])
    try:
        message = consumer.poll(20)
    finally:
        consumer.close()
    assert message is not None
    assert message.error() is None
    return message


async def test_avro_with_its_schema(
    produce: Produce, topic: Topic, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    name = await topic()
    record = {
        "key": {"type": "AVRO", "schema": '"string"', "data": "k"},
        "value": {"type": "AVRO", "schema": USER, "data": {"name": "ann", "age": {"int": 3}}},
    }
    answer = await produce(name, record)
    assert answer["error_code"] == 200
    latest = registry.get_latest_version(f"{name}-value")
    assert answer["value"] == {
        "type": "AVRO",
        "subject": f"{name}-value",
        "schema_id": latest.schema_id,
        "schema_version": 1,
        "size": 11,
    }
    assert list(answer["value"]) == ["type", "subject", "schema_id", "schema_version", "size"]
    assert answer["key"]["subject"] == f"{name}-key"
    message = await stored(stack, name)
    key, value = message.key(), message.value()
    assert isinstance(key, bytes)
    assert isinstance(value, bytes)
    assert value == b"\0" + (latest.schema_id or 0).to_bytes(4, "big") + b"\x06ann\x02\x06"
    read = AvroDeserializer(registry)
    assert read(value, SerializationContext(name, MessageField.VALUE)) == {"name": "ann", "age": 3}
    assert read(key, SerializationContext(name, MessageField.KEY)) == "k"


async def test_every_way_to_choose_the_schema(produce: Produce, topic: Topic, registry: SchemaRegistryClient) -> None:
    name = await topic()
    subject = f"{name}-value"
    schema_id = registry.register_schema(subject, Schema(USER, "AVRO"))
    data = {"name": "v3", "age": None}
    for choice in (
        {},
        {"schema_id": schema_id},
        {"schema_version": 1},
        {"subject": subject, "schema_version": 1},
        {"subject": subject},
        {"subject": subject, "schema_id": schema_id},
        {"subject_name_strategy": "TOPIC_NAME", "schema_version": 1},
        {"subject_name_strategy": "TOPIC_NAME"},
        {"type": "AVRO", "schema": USER},
        {"type": "AVRO", "schema": USER, "subject": subject},
    ):
        answer = await produce(name, {"value": {**choice, "data": data}})
        assert answer.get("value") == {
            "type": "AVRO",
            "subject": subject,
            "schema_id": schema_id,
            "schema_version": 1,
            "size": 9,
        }, (choice, answer)


@pytest.mark.parametrize(("strategy", "prefix"), [("RECORD_NAME", ""), ("TOPIC_RECORD_NAME", "{topic}-")])
async def test_the_subject_follows_the_record(produce: Produce, topic: Topic, strategy: str, prefix: str) -> None:
    name = await topic()
    record_name = f"Record{uuid.uuid4().hex}"
    schema = json.dumps({"type": "record", "name": record_name, "namespace": "org.example", "fields": []})
    value = {"type": "AVRO", "schema": schema, "subject_name_strategy": strategy, "data": {}}
    answer = await produce(name, {"value": value})
    assert answer["value"]["subject"] == prefix.format(topic=name) + f"org.example.{record_name}"
    by_id = {"schema_id": answer["value"]["schema_id"], "subject_name_strategy": strategy, "data": {}}
    assert (await produce(name, {"value": by_id}))["value"] == answer["value"]
    unclear = await produce(name, {"value": {"subject_name_strategy": strategy, "data": {}}})
    assert unclear["error_code"] == 400
    nameless = {"type": "AVRO", "schema": '"string"', "subject_name_strategy": strategy, "data": "x"}
    assert (await produce(name, {"value": nameless}))["error_code"] == 400


async def test_the_latest_version_is_refreshed(produce: Produce, topic: Topic, registry: SchemaRegistryClient) -> None:
    name = await topic()
    registry.register_schema(f"{name}-value", Schema('"string"', "AVRO"))
    assert (await produce(name, {"value": {"data": "x"}}))["value"]["schema_version"] == 1
    registry.register_schema(f"{name}-value", Schema('["null","string"]', "AVRO"))
    deadline = time.monotonic() + 5
    while (answer := await produce(name, {"value": {"data": {"string": "x"}}}))["error_code"] != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert answer["value"]["schema_version"] == 2


async def test_null_is_encoded_by_the_schema(produce: Produce, topic: Topic, stack: BackgroundStack) -> None:
    name = await topic()
    refused = [
        {"type": "AVRO", "schema": USER},
        {"type": "AVRO", "schema": '["int","string"]'},
        {"type": "JSONSCHEMA", "schema": '{"type":"object"}'},
        {"type": "PROTOBUF", "schema": 'syntax="proto3"; message A { string a = 1; }'},
    ]
    for index, choice in enumerate(refused):
        answer = await produce(name, {"value": {**choice, "subject": f"{name}-{index}", "data": None}})
        assert (answer["error_code"], list(answer)) == (400, ["error_code", "message"]), answer
    encoded = [
        ({"type": "AVRO", "schema": '["int","null"]'}, b"\x02"),
        ({"type": "AVRO", "schema": '"null"'}, b""),
        ({"type": "JSONSCHEMA", "schema": '{"type":["null","object"]}'}, b"null"),
    ]
    for index, (choice, payload) in enumerate(encoded):
        where = await topic()
        answer = await produce(where, {"value": {**choice, "subject": f"{where}-{index}", "data": None}})
        assert answer["value"]["size"] == 5 + len(payload)
        value = (await stored(stack, where)).value()
        assert isinstance(value, bytes)
        assert value[5:] == payload
    # A value that is left out is null.
    where = await topic()
    await produce(where, {"key": {"type": "AVRO", "schema": '"string"', "data": "k"}})
    assert (await stored(stack, where)).value() is None


RAW = {"type": "AVRO", "schema": '"string"'}


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ({"data": "x"}, 50002, "Error when fetching latest schema version. subject = "),
        ({"subject": "no-such", "data": "x"}, 50002, "latest schema version. subject = no-such"),
        ({"schema_id": 99999, "data": "x"}, 50002, "schemaId = 99999"),
        ({"schema_id": -1, "data": "x"}, 50002, "schemaId = -1"),
        (
            {"subject": "no-such", "schema_version": 1, "data": 1},
            400,
            "does not exist for subject: no-such, version: 1",
        ),
        ({"schema_version": 0, "data": 1}, 400, "version: 0"),
        ({"schema_version": -2, "data": 1}, 400, "version: -2"),
        ({"type": "AVRO", "data": "x"}, 400, "'schema_version=latest' cannot be used with 'type'"),
        ({"type": "AVRO", "schema_id": 1, "data": "x"}, 400, "'schema_id=1' cannot be used"),
        ({"type": "AVRO", "schema_version": 1, "data": "x"}, 400, "'schema_version=1' cannot be used"),
        ({"schema": '"string"', "data": "x"}, 400, "'schema' cannot be used without 'type'"),
        ({"schema_id": 1, "schema_version": 1, "data": "x"}, 400, "Only one of"),
        ({"subject": "s", "subject_name_strategy": "TOPIC_NAME", "data": "x"}, 400, "Only one of"),
        ({**RAW, "subject": "", "data": "x"}, 400, "subject must not be empty"),
        ({"subject_name_strategy": "BOGUS", "data": "x"}, 400, "BOGUS"),
        ({"schema_id": "x", "data": "x"}, 400, "schema_id"),
        ({"schema_id": 2**31, "data": "x"}, 400, "schema_id"),
        ({**RAW}, 400, "Null data"),
        ({"type": "AVRO", "schema": "{bad", "data": "x"}, 422, "Error: 42205 : Invalid schema: Error when parsing raw"),
        ({"type": "AVRO", "schema": '{"type":"nonsense"}', "data": "x"}, 422, "Error: 42205 : "),
        ({"type": "AVRO", "schema": "[" * 100_000, "data": "x"}, 422, "Error: 42205 : "),
        ({"type": "AVRO", "schema": '"' + "x" * 2_000_000 + '"', "data": "x"}, 422, "Error: 42205 : "),
        ({**RAW, "data": 5}, 400, "Bad Request: expected a string"),
        ({"type": "AVRO", "schema": USER, "data": {"nam": "x"}}, 400, "Expected field name not found: name"),
        ({"type": "AVRO", "schema": USER, "data": {"name": "x", "age": 3}}, 400, "age: expected a union"),
        ({"type": "AVRO", "schema": USER, "data": {"name": "x", "age": None, "zip": 1}}, 400, "no field zip"),
        ({"type": "JSON", "schema_id": 1, "data": 1}, 400, "schema_id"),
    ],
)
async def test_contradictory_schema_selectors(
    produce: Produce, topic: Topic, value: dict[str, Any], code: int, message: str
) -> None:
    answer = await produce(await topic(), {"value": value})
    assert (answer["error_code"], list(answer)) == (code, ["error_code", "message"]), answer
    assert message in answer["message"]


async def test_a_bad_record_fails_alone(client: httpx.AsyncClient, cluster: str, topic: Topic) -> None:
    name = await topic()
    documents = [{"value": {**RAW, "data": data}} for data in ("a", 1, "b")]
    documents.append({"value": {"type": "JSON", "data": 1}})
    response = await client.post(
        f"{cluster}/topics/{name}/records",
        headers={"content-type": "application/json"},
        content="\n".join(map(json.dumps, documents)),
    )
    answers = [json.loads(line) for line in response.text.splitlines()]
    assert [(answer["error_code"], answer.get("offset")) for answer in answers] == [
        (200, 0),
        (400, None),
        (200, 1),
        (200, 2),
    ]
    assert answers[3]["value"] == {"type": "JSON", "size": 1}


async def _dead_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_an_unavailable_registry_is_an_error_before_the_timeout(
    gateway_factory: GatewayFactory, topic: Topic
) -> None:
    name = await topic()
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with silent:
        cases = [({"data": 1}, await _dead_port()), ({**RAW, "data": "x"}, silent.sockets[0].getsockname()[1])]
        for value, port in cases:
            gateway = await gateway_factory({"schema.registry.url": f"http://127.0.0.1:{port}"})
            async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
                cluster = (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]
                started = time.monotonic()
                response = await client.post(f"/v3/clusters/{cluster}/topics/{name}/records", json={"value": value})
                assert response.json()["error_code"] == 50002
                assert time.monotonic() - started < 8
                plain = await client.post(
                    f"/v3/clusters/{cluster}/topics/{name}/records", json={"value": {"type": "JSON", "data": 1}}
                )
                assert plain.json()["error_code"] == 200
        silent.close()


async def test_a_registry_with_a_password(gateway_factory: GatewayFactory, topic: Topic) -> None:
    name = await topic()
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        body = b'{"error_code":40301,"message":"no"}'
        writer.write(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        settings = {
            "schema.registry.url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base",
            "schema.registry.basic.auth.credentials.source": "USER_INFO",
            "schema.registry.basic.auth.user.info": "user:word",
        }
        gateway = await gateway_factory(settings)
        async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
            cluster = (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]
            where = f"/v3/clusters/{cluster}/topics/{name}/records"
            response = await client.post(where, json={"value": {"schema_id": 7, "data": 1}})
    assert response.json()["error_code"] == 40301
    assert heads[0].startswith(b"GET /base/schemas/ids/7 HTTP/1.1\r\n")
    assert b"basic dxnlcjp3b3jk" in heads[0].lower()


async def test_a_subject_that_rejects_the_schema(produce: Produce, topic: Topic, stack: BackgroundStack) -> None:
    name = await topic()
    async with httpx.AsyncClient(base_url=stack.schema_registry) as registry:
        await registry.put(f"/mode/{name}-value", json={"mode": "READONLY"})
    answer = await produce(name, {"value": {**RAW, "data": "x"}})
    assert answer["error_code"] == 50002
    assert f"subject = {name}-value" in answer["message"]
    assert "read-only" in answer["message"]


async def test_no_registry(gateway_factory: GatewayFactory, topic: Topic) -> None:
    gateway = await gateway_factory({"schema.registry.url": ""})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=20) as client:
        cluster = (await client.get("/v3/clusters")).json()["data"][0]["cluster_id"]
        response = await client.post(
            f"/v3/clusters/{cluster}/topics/{await topic()}/records", json={"value": {**RAW, "data": "x"}}
        )
    assert response.json() == {
        "error_code": 50002,
        "message": "There is no Schema Registry: schema.registry.url isn't set.",
    }


@pytest.mark.parametrize(
    "name", ["--python_out={folder}", "--plugin=protoc-gen-x=/bin/sh", "@{folder}/x", "../x.proto"]
)
async def test_reference_names_are_not_protoc_options(
    produce: Produce, topic: Topic, registry: SchemaRegistryClient, tmp_path: Path, name: str
) -> None:
    subject = f"hostile-{uuid.uuid4().hex}"
    other = Schema('syntax="proto3"; message B {}', "PROTOBUF")
    registry.register_schema(subject, other)
    text = 'syntax="proto3"; message A { string a = 1; }'
    reference = SchemaReference(name.format(folder=tmp_path), subject, 1)
    where = await topic()
    schema_id = registry.register_schema(f"{where}-value", Schema(text, "PROTOBUF", [reference]))
    answer = await produce(where, {"value": {"schema_id": schema_id, "data": {"a": "x"}}})
    assert answer["error_code"] == 422
    assert "invalid name of an imported schema" in answer["message"]
    assert os.listdir(tmp_path) == []


async def test_subjects_stay_in_their_url_path(produce: Produce, topic: Topic) -> None:
    where = await topic()
    for subject in ("..", "../subjects", "a/../b"):
        for choice in ({}, {"schema_version": 1}, {"type": "AVRO", "schema": '"string"'}):
            answer = await produce(where, {"value": {"subject": subject, **choice, "data": "x"}})
            assert (answer["error_code"], "the subject has" in answer["message"]) == (400, True)


JSON_SCHEMA = {"type": "JSONSCHEMA", "schema": '{"properties":{"f1":{"type":"string"}},"required":["f1"]}'}
PROTO = {"type": "PROTOBUF", "schema": 'syntax="proto3"; message Foo { string f1 = 1; int64 n = 2; }'}


@pytest.mark.parametrize(
    ("value", "size"), [({**JSON_SCHEMA, "data": {"f1": "v"}}, 15), ({**PROTO, "data": {"f1": "v", "n": 3}}, 11)]
)
async def test_other_formats(
    produce: Produce, topic: Topic, registry: SchemaRegistryClient, value: dict[str, Any], size: int
) -> None:
    name = await topic()
    answer = await produce(name, {"value": value})
    assert answer["value"] == {
        "type": value["type"],
        "subject": f"{name}-value",
        "schema_id": registry.get_latest_version(f"{name}-value").schema_id,
        "schema_version": 1,
        "size": size,
    }
    assert (await produce(name, {"value": {"data": value["data"]}}))["value"] == answer["value"]


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ({**JSON_SCHEMA, "data": {"f1": 7}}, 400, "Bad Request: #/f1: "),
        ({**JSON_SCHEMA, "data": 1, "schema": '{"type":5}'}, 422, "Error: 42205 : "),
        ({**JSON_SCHEMA, "data": 1, "schema": '{"$ref":"http://127.0.0.1:1/x"}'}, 422, "Error: 42205 : "),
        (
            {**JSON_SCHEMA, "data": {"f1": "x"}, "subject_name_strategy": "RECORD_NAME"},
            400,
            "needs a schema with a name",
        ),
        ({**PROTO, "data": {"zz": 1}}, 400, "zz"),
        ({**PROTO, "data": {"n": "x"}}, 400, "n"),
        ({**PROTO, "data": 5}, 400, "expected an object"),
        ({**PROTO, "data": {}, "schema": "message {"}, 422, "Error: 42205 : "),
        ({**PROTO, "data": {}, "schema": 'syntax="proto3"; import "x.proto"; message A {}'}, 422, "Error: 42205 : "),
    ],
)
async def test_invalid_data_of_other_formats(
    produce: Produce, topic: Topic, value: dict[str, Any], code: int, message: str
) -> None:
    answer = await produce(await topic(), {"value": value})
    assert answer["error_code"] == code, answer
    assert message in answer["message"]


async def test_schema_references(produce: Produce, topic: Topic, registry: SchemaRegistryClient) -> None:
    unique = uuid.uuid4().hex
    others = {
        "AVRO": '{"type":"record","name":"a.Other","fields":[{"name":"s","type":"string"}]}',
        "JSON": '{"properties":{"s":{"type":"string"}}}',
        "PROTOBUF": 'syntax = "proto3"; package a; message Other { string s = 1; }',
    }
    names = {"AVRO": "a.Other", "JSON": "other.json", "PROTOBUF": "a/other.proto"}
    schemas = {
        "AVRO": '{"type":"record","name":"R","fields":[{"name":"o","type":"a.Other"}]}',
        "JSON": '{"properties":{"o":{"$ref":"other.json"}}}',
        "PROTOBUF": 'syntax = "proto3"; import "a/other.proto"; message R { a.Other o = 1; }',
    }
    for type_, schema in schemas.items():
        name = await topic()
        subject = f"other-{type_}-{unique}"
        registry.register_schema(subject, Schema(others[type_], type_))
        reference = SchemaReference(names[type_], subject, 1)
        registry.register_schema(f"{name}-value", Schema(schema, type_, [reference]))
        answer = await produce(name, {"value": {"data": {"o": {"s": "x"}}}})
        assert answer["error_code"] == 200, answer
        assert (await produce(name, {"value": {"data": {"o": {"s": 1}}}}))["error_code"] == 400


async def test_a_slow_schema_does_not_delay_other_calls(
    produce: Produce, topic: Topic, client: httpx.AsyncClient
) -> None:
    name = await topic()
    definitions: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/definitions/d{n + 1}"}] * 2} for n in range(40)}
    schema = json.dumps({"definitions": {**definitions, "d40": {}}, "$ref": "#/definitions/d0"})
    slow = asyncio.create_task(produce(name, {"value": {"type": "JSONSCHEMA", "schema": schema, "data": 1}}))
    longest = 0.0
    while not slow.done():
        started = time.monotonic()
        await client.get("/v3/clusters")
        longest = max(longest, time.monotonic() - started)
        await asyncio.sleep(0.05)
    assert slow.result()["error_code"] == 400
    assert longest < 2


async def test_a_large_value(produce: Produce, topic: Topic) -> None:
    schema = '{"type":"array","items":"long"}'
    answer = await produce(await topic(), {"value": {"type": "AVRO", "schema": schema, "data": list(range(50_000))}})
    assert (answer["error_code"], answer["value"]["size"]) == (200, 141_753)
