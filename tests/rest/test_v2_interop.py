"""v2: bytes are compatible with confluent-kafka's serializers and Kafka's Java console tools."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import duration_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, SourceCodeInfo

from conftest import TopicFactory
from kafka_facade_devstack.artifacts import Artifact, cache_dir, fetch, load_lock
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.errors import DevStackError
from kafka_facade_devstack.java import find_java
from rest.v2_operations import JSON_SCHEMA, PROTO, V2, media_type

_SECONDS = 60
# The console tools of the stack's Kafka, whose other jars the stack has.
_TOOLS = Artifact(
    "org.apache.kafka:kafka-tools:4.3.1", 698668, "62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c"
)
_BYTES = "org.apache.kafka.common.serialization.BytesDeserializer"
_UNDEPRECATED = {"use.deprecated.format": False}
DURATION = 'syntax = "proto3"; package google.protobuf; message Duration { int64 seconds = 1; int32 nanos = 2; }'
JavaTool = Callable[..., Awaitable[str]]


@pytest.fixture
def registry(stack: BackgroundStack) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": stack.schema_registry})


@pytest.fixture
async def java_tool(stack: BackgroundStack) -> JavaTool:
    """``await java_tool(class, arguments, stdin=...)``: what a Java program of Kafka's prints."""
    try:
        jars = await fetch([*load_lock(), _TOOLS], cache_dir())
    except DevStackError as error:
        pytest.skip(f"the console tools can't be fetched: {error}")
    java = await find_java()

    async def run(name: str, arguments: Sequence[str], stdin: bytes = b"") -> str:
        process = await asyncio.create_subprocess_exec(
            java,
            *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-Dlog4j2.level=OFF"),
            *("-cp", ":".join(map(str, jars)), f"org.apache.kafka.tools.{name}"),
            *("--bootstrap-server", stack.bootstrap_servers, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                out, err = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, err.decode()
        return out.decode()

    return run


async def _read_by_java(java_tool: JavaTool, topic: str, count: int) -> list[list[str]]:
    """The records of partition 0: offset, headers, key, value; bytes that are not printable as ``\\xHH``."""
    shown = ("print.offset=true", "print.headers=true", "print.key=true", "key.separator=\t", "null.literal=<null>")
    arguments = ["--topic", topic, "--partition", "0", "--offset", "earliest", "--max-messages", str(count)]
    for formatted in (*shown, f"key.deserializer={_BYTES}", f"value.deserializer={_BYTES}"):
        arguments += ["--formatter-property", formatted]
    printed = await java_tool("consumer.ConsoleConsumer", [*arguments, "--timeout-ms", "30000"])
    return [line.split("\t") for line in printed.splitlines()]


def _java_bytes(payload: bytes | None) -> str:
    r"""How Java's ``Bytes`` prints a payload; a backslash is not printable either."""
    if payload is None:
        return "<null>"
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x5C else f"\\x{byte:02X}" for byte in payload)


def _read(stack: BackgroundStack, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = consumer.consume(count, _SECONDS)
    consumer.close()
    assert len(found) == count
    return found


def _write(stack: BackgroundStack, topic: str, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for key, value in records:
        producer.produce(topic, value, key, partition=0)
    assert producer.flush(_SECONDS) == 0


async def _produce(client: httpx.AsyncClient, topic: str, format: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"content-type": media_type(format)}
    response = await client.post(f"/topics/{topic}/partitions/0", headers=headers, content=json.dumps(body))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert all(offset["error_code"] is None for offset in answer["offsets"])
    return answer


async def _consume(client: httpx.AsyncClient, topic: str, format: str, count: int) -> list[tuple[Any, Any]]:
    """Keys and values of the first records of partition 0."""
    settings = {"name": "i", "format": format, "auto.offset.reset": "earliest", "fetch.min.bytes": 0}
    headers = {"content-type": V2}
    created = await client.post(f"/consumers/i-{uuid.uuid4().hex}", headers=headers, content=json.dumps(settings))
    where = created.json()["base_uri"]
    assigned = {"partitions": [{"topic": topic, "partition": 0}]}
    await client.post(f"{where}/assignments", headers=headers, content=json.dumps(assigned))
    found: list[tuple[Any, Any]] = []
    async with asyncio.timeout(_SECONDS):
        while len(found) < count:
            response = await client.get(f"{where}/records", headers={"accept": media_type(format)})
            assert response.status_code == 200, response.text
            found += [(record["key"], record["value"]) for record in response.json()]
    await client.delete(where)
    return found


def _head(schema_id: int) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("format", "schemas", "data", "payload"),
    [
        ("binary", False, "AP/+", b"\x00\xff\xfe"),
        ("json", False, {"é": [1, 2.5, None, True, "x\n"]}, '{"é":[1,2.5,null,true,"x\\n"]}'.encode()),
        ("avro", '"string"', "hé", b"\x06h\xc3\xa9"),
        ("avro", '["null","long"]', {"long": -2}, b"\x02\x03"),
        ("jsonschema", JSON_SCHEMA, {"text": "hé"}, '{"text":"hé"}'.encode()),
        ("protobuf", PROTO, {"text": "hé"}, b"\x00\x0a\x03h\xc3\xa9"),
        ("protobuf", PROTO, {}, b"\x00"),
    ],
)
async def test_stored_bytes_and_returned_data(
    client: httpx.AsyncClient,
    topic: TopicFactory,
    stack: BackgroundStack,
    format: str,
    schemas: Any,
    data: Any,
    payload: bytes,
) -> None:
    """Magic byte, schema id, the message index of Protobuf, the data; then the same bytes written by a plain client."""
    name, other = await topic(), await topic()
    body: dict[str, Any] = {"records": [{"key": data, "value": data}, {"key": data}, {"value": data}, {}]}
    if schemas:
        body |= {"key_schema": schemas, "value_schema": schemas}
    answer = await _produce(client, name, format, body)
    key, value = payload, payload
    if schemas:
        key, value = _head(answer["key_schema_id"]) + payload, _head(answer["value_schema_id"]) + payload
    stored = [(message.key(), message.value()) for message in await asyncio.to_thread(_read, stack, name, 4)]
    assert stored == [(key, value), (key, None), (None, value), (None, None)]
    await asyncio.to_thread(_write, stack, other, stored)
    read = await _consume(client, name, format, 4)
    assert read == await _consume(client, other, format, 4)
    shown = {"text": ""} if data == {} else data
    assert read == [(shown, shown), (shown, None), (None, shown), (None, None)]


async def test_avro(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    schema = json.dumps(
        {
            "type": "record",
            "name": "Reading",
            "namespace": "org.example",
            "fields": [
                {"name": "id", "type": {"type": "fixed", "name": "Id", "size": 2}},
                {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
                {"name": "at", "type": {"type": "map", "values": ["null", "double", "org.example.Kind"]}},
                {"name": "next", "type": ["null", "Reading"], "default": None},
            ],
        }
    )
    inner: dict[str, Any] = {"id": "\u0000\u00ff", "kind": "B", "at": {}, "next": None}
    at = {"n": None, "d": {"double": 0.5}, "k": {"org.example.Kind": "A"}}
    data = {"id": "ab", "kind": "A", "at": at, "next": {"org.example.Reading": inner}}
    name = await topic()
    await _produce(client, name, "avro", {"value_schema": schema, "records": [{"value": data}]})
    [message] = await asyncio.to_thread(_read, stack, name, 1)
    context = SerializationContext(name, MessageField.VALUE)
    read: Any = AvroDeserializer(registry)(message.value(), context)
    assert read["next"]["id"] == b"\x00\xff"
    assert read["at"] == {"n": None, "d": 0.5, "k": "A"}
    serialize = AvroSerializer(registry, schema)
    # A text could be a string of the union or a symbol, so the official client needs a hint.
    read["at"]["k"] = ("org.example.Kind", "A")
    assert serialize(read, context) == message.value()
    assert await _consume(client, name, "avro", 1) == [(None, data)]


async def test_json_schema(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    name = await topic()
    data = {"text": "é\u2028", "more": {"n": [1, -2.5e-3, 2**53 + 1, None]}}
    body = {"key_schema": JSON_SCHEMA, "value_schema": JSON_SCHEMA, "records": [{"key": data, "value": data}]}
    await _produce(client, name, "jsonschema", body)
    [message] = await asyncio.to_thread(_read, stack, name, 1)
    for field, payload in ((MessageField.KEY, message.key()), (MessageField.VALUE, message.value())):
        context = SerializationContext(name, field)
        assert JSONDeserializer(JSON_SCHEMA, schema_registry_client=registry)(payload, context) == data
    other = await topic()
    serialize = JSONSerializer(JSON_SCHEMA, registry)
    written = [serialize(data, SerializationContext(other, field)) for field in (MessageField.KEY, MessageField.VALUE)]
    await asyncio.to_thread(_write, stack, other, [(written[0], written[1])])
    assert await _consume(client, other, "jsonschema", 1) == [(data, data)]


async def test_protobuf(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    """The first message of a schema, whose index is one byte: what both write is the same to the last byte."""
    name = await topic()
    answer = await _produce(client, name, "protobuf", {"value_schema": DURATION, "records": [{"value": "-1.5s"}]})
    [message] = await asyncio.to_thread(_read, stack, name, 1)
    value = message.value()
    assert isinstance(value, bytes)
    assert value[:6] == _head(answer["value_schema_id"]) + b"\0"
    context = SerializationContext(name, MessageField.VALUE)
    duration = duration_pb2.Duration(seconds=-1, nanos=-500_000_000)
    assert ProtobufDeserializer(duration_pb2.Duration, _UNDEPRECATED)(value, context) == duration
    # The plain client registers a schema of its own.
    context = SerializationContext(await topic(), MessageField.VALUE)
    written = ProtobufSerializer(duration_pb2.Duration, registry, _UNDEPRECATED)(duration, context)
    assert written is not None
    assert written[5:] == value[5:]


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (DescriptorProto.ReservedRange(start=1, end=5), {"start": 1, "end": 5}),
        (
            SourceCodeInfo.Location(path=[1, 2], leading_comments="é"),
            {"path": [1, 2], "span": [], "leadingComments": "é", "leadingDetachedComments": []},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_nested_messages_of_protobuf(
    client: httpx.AsyncClient,
    topic: TopicFactory,
    stack: BackgroundStack,
    registry: SchemaRegistryClient,
    message: Any,
    data: Any,
) -> None:
    """The indexes lead through the file to a type within a type."""
    name = await topic()
    serialize = ProtobufSerializer(type(message), registry, _UNDEPRECATED)
    key = serialize(message, SerializationContext(name, MessageField.KEY))
    value = serialize(message, SerializationContext(name, MessageField.VALUE))
    assert value is not None
    # Two indexes, in zigzag.
    assert value[5] == 4
    await asyncio.to_thread(_write, stack, name, [(key, value)])
    assert await _consume(client, name, "protobuf", 1) == [(data, data)]


async def test_a_schema_with_several_messages(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack, registry: SchemaRegistryClient
) -> None:
    """Written by hand as Java does: lists of indexes in zigzag, the list [0] as a single 0."""
    name = await topic()
    schema = """
        syntax = "proto3";
        message A { int32 a = 1; message B { int32 b = 1; message C { int32 c = 1; } } }
        message D { int32 d = 1; message E { int32 e = 1; } message F { int32 f = 1; } }
    """
    schema_id = registry.register_schema(f"{name}-value", Schema(schema, "PROTOBUF"))
    indexes = {"a": b"\x00", "b": b"\x04\x00\x00", "c": b"\x06\x00\x00\x00", "d": b"\x02\x02", "f": b"\x04\x02\x02"}
    # What Java reads too: [0] in full.
    whole = {"a": b"\x02\x00"}
    cases = [*indexes.items(), *whole.items()]
    records = [(None, _head(schema_id) + index + b"\x08\x07") for _, index in cases]
    await asyncio.to_thread(_write, stack, name, records)
    read = await _consume(client, name, "protobuf", len(cases))
    assert [value for _, value in read] == [{field: 7} for field, _ in cases]
    # Produced by the id of the schema, the first message is meant.
    other = await topic()
    registry.register_schema(f"{other}-value", Schema(schema, "PROTOBUF"))
    await _produce(client, other, "protobuf", {"value_schema_id": schema_id, "records": [{"value": {"a": 7}}]})
    [message] = await asyncio.to_thread(_read, stack, other, 1)
    assert message.value() == _head(schema_id) + b"\x00\x08\x07"


async def test_a_java_consumer_reads_what_was_produced(
    client: httpx.AsyncClient, topic: TopicFactory, cluster: str, java_tool: JavaTool
) -> None:
    name = await topic()
    binary = base64.b64encode(bytes(range(256))).decode()
    expected: list[tuple[str, bytes | None, bytes | None]] = []
    await _produce(client, name, "binary", {"records": [{"key": binary, "value": binary}, {"value": None}]})
    expected += [("NO_HEADERS", bytes(range(256)), bytes(range(256))), ("NO_HEADERS", None, None)]
    await _produce(client, name, "json", {"records": [{"key": "k", "value": {"n": 1}}, {"value": "é"}, {"key": ""}]})
    expected += [("NO_HEADERS", b'"k"', b'{"n":1}'), ("NO_HEADERS", None, '"é"'.encode()), ("NO_HEADERS", b'""', None)]
    for format, schema, data, payload in (
        ("avro", '"string"', "hi", b"\x04hi"),
        ("jsonschema", JSON_SCHEMA, {"text": "hi"}, b'{"text":"hi"}'),
        ("protobuf", PROTO, {"text": "hi"}, b"\x00\x0a\x02hi"),
    ):
        body = {"value_schema": schema, "records": [{"value": data}]}
        answer = await _produce(client, name, format, body)
        expected.append(("NO_HEADERS", None, _head(answer["value_schema_id"]) + payload))
    with_headers = {
        "headers": [{"name": "h", "value": "dg=="}, {"name": "h", "value": None}, {"name": "e", "value": ""}],
        "key": {"type": "STRING", "data": "k"},
        "value": {"type": "BINARY", "data": "dg=="},
    }
    response = await client.post(
        f"{cluster}/topics/{name}/records", headers={"content-type": "application/json"}, json=with_headers
    )
    assert response.json()["error_code"] == 200
    expected.append(("h:v,h:<null>,e:", b"k", b"v"))
    lines = await _read_by_java(java_tool, name, len(expected))
    assert lines == [
        [f"Offset:{offset}", headers, _java_bytes(key), _java_bytes(value)]
        for offset, (headers, key, value) in enumerate(expected)
    ]


async def test_what_a_java_producer_wrote_is_read(
    client: httpx.AsyncClient, topic: TopicFactory, java_tool: JavaTool
) -> None:
    name = await topic()
    lines = ['h:v,x:<null>\tk\t{"n":1}', '<null>\t"é"\t<null>', '<null>\t<null>\t"x"', "<null>\t\t"]
    options = ("parse.key=true", "parse.headers=true", "key.separator=\t", "null.marker=<null>")
    arguments = ["--topic", name]
    for option in (*options, "headers.delimiter=\t", "ignore.error=false"):
        arguments += ["--reader-property", option]
    await java_tool("ConsoleProducer", arguments, "\n".join(lines).encode())
    binary = await _consume(client, name, "binary", 4)
    assert [tuple(None if part is None else base64.b64decode(part) for part in pair) for pair in binary] == [
        (b"k", b'{"n":1}'),
        ('"é"'.encode(), None),
        (None, b'"x"'),
        (b"", b""),
    ]


async def test_keys_choose_the_partitions_that_the_java_client_chooses(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack, java_tool: JavaTool
) -> None:
    ours, theirs = await topic(partitions=7), await topic(partitions=7)
    keys = ["k", "", "é", "a-longer-key-of-many-bytes", *(f"key-{n}" for n in range(20))]
    records = [{"key": base64.b64encode(key.encode()).decode(), "value": ""} for key in keys]
    headers = {"content-type": media_type("binary")}
    response = await client.post(f"/topics/{ours}", headers=headers, content=json.dumps({"records": records}))
    chosen = {key: offset["partition"] for key, offset in zip(keys, response.json()["offsets"], strict=True)}
    arguments = ["--topic", theirs, "--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"]
    await java_tool("ConsoleProducer", arguments, "\n".join(f"{key}\tv" for key in keys).encode())

    def read() -> dict[str, int]:
        consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "reader"})
        consumer.assign([TopicPartition(theirs, partition, 0) for partition in range(7)])
        found: dict[str, int] = {}
        while len(found) < len(keys):
            [message] = consumer.consume(1, _SECONDS)
            key = message.key()
            assert isinstance(key, bytes)
            found[key.decode()] = message.partition() or 0
        consumer.close()
        return found

    assert chosen == await asyncio.to_thread(read)
