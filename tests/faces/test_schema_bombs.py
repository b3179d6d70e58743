"""Schemas and records that would take unlimited time or memory are rejected on each face."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
import httpx
import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from google.protobuf.empty_pb2 import Empty
from websockets.asyncio.client import connect

from faces.conftest import FACES, Watched
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.errors import FacadeError
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2, consumer_instance_pb2_grpc, record_pb2, record_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

pytestmark = pytest.mark.xdist_group("schema_bombs")

Topic = Callable[..., Awaitable[str]]

# What was wrong took seconds, minutes and gigabytes: a busy machine is no reason for a test to fail.
MOST_HELD = 0.5
# Processor time (s) of the loop for one large record that is well within the limits.
MOST_BUSY = 0.06
MOST_MEMORY = 700 * 1024 * 1024
_SECONDS = 120


@asynccontextmanager
async def unharmed(watched: Watched, busy: float = MOST_HELD, memory: int = MOST_MEMORY) -> AsyncIterator[None]:
    """Check that during the block the worker's event loop is not blocked and its memory stays within limits."""
    process = psutil.Process(watched.gateway.child.pid)
    most = before = process.memory_info().rss

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.02)

    await watched.report()
    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    seen = await watched.report()
    assert process.is_running()
    assert seen["longest_held"] < MOST_HELD, seen
    assert seen["longest_busy"] < busy, seen
    assert most - before < memory


class Bomb(NamedTuple):
    """The value to produce, and the error."""

    format: str
    schema: str
    data: Any
    error: type[FacadeError]


def _wide(count: int) -> str:
    return "message Wide {" + "".join(f"int32 f{n} = {n};" for n in range(1, count + 1)) + "}"


def _named(length: int, count: int, inner: str = "", type_: str = "int32") -> str:
    """A message whose name is part of the name of each of its fields, and of their type."""
    fields = "".join(f"{type_} f{n} = {n};" for n in range(1, count + 1))
    return f'syntax = "proto3"; message A{"a" * length} {{ {inner}{fields} }}'


def _doubling(count: int) -> dict[str, Any]:
    steps = {f"d{n}": {"allOf": [{"$ref": f"#/definitions/d{n + 1}"}] * 2} for n in range(count)}
    return {"definitions": {**steps, f"d{count}": False}, "$ref": "#/definitions/d0"}


def _unevaluated(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": True}}
    for _ in range(levels):
        schema = {"anyOf": [schema, True], "unevaluatedProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _json_schema(schema: Any, data: Any, error: type[FacadeError] = errors.InvalidRequest) -> Bomb:
    return Bomb("JSONSCHEMA", json.dumps(schema), data, error)


MIXED = "".join(random.Random(1).choices("ab", k=400_000))
_PROTO = 'syntax = "proto3"; message A { repeated Wide w = 1; } '
_BRANCHES = [{"type": "record", "name": f"R{n}", "fields": []} for n in range(15_000)]
_FAILING = {"items": {"required": [f"x{n}" for n in range(90)]}}

PRODUCED: dict[str, Bomb] = {
    "pattern that backtracks": _json_schema({"pattern": "^(a+)+$"}, "a" * 50_000 + "b"),
    "pattern of many states": _json_schema({"pattern": "^[ab]*a[ab]{900}c$"}, MIXED),
    "pattern that looks ahead": _json_schema({"pattern": "^(?:(?=.*z)a)+$"}, "a" * 300_000 + "z"),
    "patterns": _json_schema(
        {"allOf": [{"pattern": rf"(?=\w{{17}}){n}"} for n in range(8000)]}, "a", errors.InvalidSchema
    ),
    "references that double": _json_schema(_doubling(40), 1),
    "references by another name": _json_schema(
        {
            "$id": "http://x/y",
            "properties": {"a": {"allOf": [{"$ref": "http://x/y"}] * 2}},
            "additionalProperties": False,
        },
        json.loads('{"a":' * 60 + '{"b":1}' + "}" * 60),
    ),
    "nested unevaluated properties": _json_schema(_unevaluated(20), {"b": 1}),
    "unique items": _json_schema({"uniqueItems": True, "not": {}}, [{"a": n} for n in range(30_000)]),
    # Few enough to be checked on the loop, if they were like others.
    "unique large integers": _json_schema(
        {"allOf": [{"uniqueItems": True}, {"contains": {"type": "string"}}]}, [2**63 + n for n in range(1600)]
    ),
    "failures in anyOf": _json_schema({"anyOf": [_FAILING] * 2}, [{}] * 1000),
    "deep JSON schema": Bomb("JSONSCHEMA", '{"not":' * 50_000 + "{}" + "}" * 50_000, 1, errors.InvalidSchema),
    "branches": Bomb("AVRO", json.dumps(_BRANCHES), None, errors.InvalidSchema),
    "deep Avro schema": Bomb(
        "AVRO", '{"type":"array","items":' * 30_000 + '"int"' + "}" * 30_000, [], errors.InvalidSchema
    ),
    "deep Avro data": Bomb(
        "AVRO",
        '{"type":"record","name":"R","fields":[{"name":"a","type":["null","R"]}]}',
        {"a": {"R": {"a": {"R": {"b": None}}}}},
        errors.InvalidRequest,
    ),
    "messages": Bomb(
        "PROTOBUF",
        'syntax = "proto3"; ' + "".join(f"message M{n} {{}}" for n in range(25_000)),
        {},
        errors.InvalidSchema,
    ),
    "deep Protobuf schema": Bomb(
        "PROTOBUF", 'syntax = "proto3"; ' + "message A {" * 30_000 + "}" * 30_000, {}, errors.InvalidSchema
    ),
    "wide messages": Bomb("PROTOBUF", _PROTO + _wide(5000), {"w": [{}] * 20_000}, errors.InvalidRequest),
    "long name around many": Bomb("PROTOBUF", _named(40_000, 15_000), {}, errors.InvalidSchema),
    "names beyond the memory of the compiler": Bomb("PROTOBUF", _named(60_000, 18_000), {}, errors.InvalidSchema),
    "types beyond the output of the compiler": Bomb(
        "PROTOBUF", _named(20_000, 10_000, "message B {} ", "B"), {}, errors.InvalidSchema
    ),
    "data for a message of a long name": Bomb("PROTOBUF", _named(60_000, 1), 1, errors.InvalidRequest),
}


@pytest.mark.parametrize("bomb", PRODUCED.values(), ids=PRODUCED)
async def test_producing(watched: Watched, cluster: str, topic: Topic, face_name: str, bomb: Bomb) -> None:
    name = await topic()
    face = FACES[face_name](watched.gateway)
    value = {"type": bomb.format, "schema": bomb.schema, "data": bomb.data}
    async with unharmed(watched):
        with pytest.raises(FaceError) as caught:
            await face.produce_with_schema(cluster, name, value)
    assert caught.value.codes[-1] == bomb.error.codes.v3, caught.value.message[:300]
    assert len(caught.value.message) < 2000
    await face.close()


@pytest.mark.parametrize("bomb", PRODUCED.values(), ids=PRODUCED)
async def test_producing_with_v2(watched: Watched, topic: Topic, bomb: Bomb) -> None:
    name = await topic()
    body = {"value_schema": bomb.schema, "records": [{"value": bomb.data}]}
    kind = f"application/vnd.kafka.{bomb.format.lower()}.v2+json"
    async with unharmed(watched), httpx.AsyncClient(base_url=watched.gateway.rest, timeout=_SECONDS) as client:
        answer = await client.post(f"/topics/{name}", content=json.dumps(body), headers={"content-type": kind})
    expected = (422, 42205) if bomb.error is errors.InvalidSchema else (400, 400)
    assert (answer.status_code, answer.json()["error_code"]) == expected, answer.text[:300]


def _nested(levels: int) -> dict[str, Any]:
    """Nested records of ten records each: zero bytes decode to this power of ten nulls."""
    inner: Any = "null"
    for level in range(levels):
        fields = [{"name": "f0", "type": inner}]
        # Once it is there, its name is enough.
        again = inner["name"] if isinstance(inner, dict) else inner
        fields += [{"name": f"f{n}", "type": again} for n in range(1, 10)]
        inner = {"type": "record", "name": f"L{level}", "fields": fields}
    found: dict[str, Any] = inner
    return found


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _deep_message(levels: int) -> bytes:
    found = b""
    for _ in range(levels):
        found = b"\x0a" + _varint(len(found)) + found
    return found


_TREE = '{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"R"}}]}'
_UNION = '{"type":"record","name":"R","fields":[{"name":"a","type":["null","R"]}]}'
_MANY = _varint(2**41)

# The bytes after the schema id.
_BOOLEANS = 20_000_000
CONSUMED: dict[str, tuple[str, str, bytes]] = {
    "nested records": ("AVRO", json.dumps(_nested(11)), b""),
    "nulls": ("AVRO", '{"type":"array","items":"null"}', _MANY + b"\0"),
    "nulls in blocks": ("AVRO", '{"type":"array","items":"null"}', _varint(20_000) * 20_000 + b"\0"),
    "empty records": ("AVRO", '{"type":"array","items":{"type":"record","name":"R","fields":[]}}', _MANY + b"\0"),
    "map": ("AVRO", '{"type":"map","values":"null"}', _MANY + b"\0" * 100_000),
    "record in itself": ("AVRO", '{"type":"record","name":"R","fields":[{"name":"a","type":"R"}]}', b""),
    "deep arrays": ("AVRO", _TREE, b"\x02" * 300_000),
    "deep unions": ("AVRO", _UNION, b"\x02" * 300_000),
    "long text": ("AVRO", '"string"', _MANY + b"a"),
    "booleans": (
        "PROTOBUF",
        'syntax = "proto3"; message A { repeated bool b = 1; }',
        b"\x0a" + _varint(_BOOLEANS) + b"\1" * _BOOLEANS,
    ),
    "unknown fields": ("PROTOBUF", 'syntax = "proto3"; message A {}', b"\x10\x00" * 5_000_000),
    "groups": ("PROTOBUF", 'syntax = "proto3"; message A { int32 a = 1; }', b"\x13" * 500_000),
    "messages in messages": ("PROTOBUF", 'syntax = "proto3"; message A { A a = 1; }', _deep_message(5000)),
    "wide messages": ("PROTOBUF", _PROTO + _wide(5000), b"\x0a\x00" * 200_000),
    "wide messages of a map": (
        "PROTOBUF",
        'syntax = "proto3"; message A { map<int32, Wide> w = 1; } ' + _wide(5000),
        b"".join(b"\x0a\x04\x08" + _varint(n | 0x4000) for n in range(100_000)),
    ),
    "deep JSON": ("JSONSCHEMA", "true", b"[" * 500_000 + b"]" * 500_000),
    "arrays of JSON": ("JSONSCHEMA", "true", b"[" + b"[]," * 4_000_000 + b"1]"),
}


class Read(NamedTuple):
    """A record as a face shows it."""

    data: Any
    error: str | None
    raw: bytes


Reader = Callable[[Gateway, str, int], Awaitable[list[Read]]]


# More than the largest of the records.
_BYTES = 32 * 1024 * 1024


async def grpc_consume(gateway: Gateway, topic: str, count: int) -> list[Read]:
    """The records as a stream."""
    found: list[Read] = []
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
        request = record_pb2.ConsumeRequest(
            topic_name=topic, earliest=Empty(), decode_with_registry=True, max_bytes=_BYTES
        )
        async for frame in record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=_SECONDS):
            for record in frame.records:
                error = record.value_error if record.HasField("value_error") else None
                data = json.loads(record.decoded_value.json) if record.HasField("decoded_value") else None
                found.append(Read(data, error, record.value))
    return found


async def grpc_fetch(gateway: Gateway, topic: str, count: int) -> list[Read]:
    """The records of a consumer instance."""
    options = [("grpc.max_receive_message_length", -1)]
    where: dict[str, Any] = {"consumer_group_id": f"g-{uuid.uuid4().hex}", "instance_id": "i"}
    found: list[Read] = []
    async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
        stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
        await stub.CreateConsumerInstance(
            consumer_instance_pb2.CreateConsumerInstanceRequest(**where, auto_offset_reset="earliest")
        )
        partition = consumer_instance_pb2.TopicPartition(topic_name=topic, partition_id=0)
        await stub.AssignPartitions(consumer_instance_pb2.AssignPartitionsRequest(**where, partitions=[partition]))
        await stub.SeekToBeginning(consumer_instance_pb2.SeekToBeginningRequest(**where, partitions=[partition]))
        fetch = consumer_instance_pb2.FetchRecordsRequest(**where, decode_with_registry=True, max_bytes=_BYTES)
        while len(found) < count:
            for record in (await stub.FetchRecords(fetch, timeout=_SECONDS)).records:
                error = record.value_error if record.HasField("value_error") else None
                data = json.loads(record.value.json) if record.value.WhichOneof("data") == "json" else None
                found.append(Read(data, error, record.value.binary))
        await stub.DeleteConsumerInstance(consumer_instance_pb2.DeleteConsumerInstanceRequest(**where))
    return found


_SELECTED = "value { base64 } decodedValue { data info { error } }"
_SUBSCRIPTION = f"""subscription ($topic: String!) {{
  records(topicName: $topic, from: EARLIEST, follow: false, maxRecords: 1) {{ {_SELECTED} }} }}"""


def _of_graphql(record: Any) -> Read:
    decoded = record["decodedValue"]
    return Read(decoded["data"], decoded["info"]["error"], base64.b64decode(record["value"]["base64"]))


async def graphql_sse(gateway: Gateway, topic: str, count: int) -> list[Read]:
    """The records as server-sent events."""
    found: list[Read] = []
    body = {"query": _SUBSCRIPTION, "variables": {"topic": topic}}
    headers = {"accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(timeout=_SECONDS) as client,
        client.stream("POST", gateway.graphql, json=body, headers=headers) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data:") and (event := line.removeprefix("data:").strip()):
                payload = json.loads(event)
                assert "errors" not in payload, line[:300]
                found += map(_of_graphql, payload["data"]["records"])
    return found


async def graphql_websocket(gateway: Gateway, topic: str, count: int) -> list[Read]:
    """The records as events of graphql-transport-ws."""
    found: list[Read] = []
    url = gateway.graphql.replace("http", "ws")
    async with connect(url, subprotocols=["graphql-transport-ws"], max_size=None) as connection:  # type: ignore[list-item]
        await connection.send('{"type":"connection_init"}')
        payload = {"query": _SUBSCRIPTION, "variables": {"topic": topic}}
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        async with asyncio.timeout(_SECONDS):
            while (message := json.loads(await connection.recv()))["type"] != "complete":
                if message["type"] == "next":
                    assert "errors" not in message["payload"], str(message)[:300]
                    found += map(_of_graphql, message["payload"]["data"]["records"])
    return found


async def graphql_fetch(gateway: Gateway, topic: str, count: int) -> list[Read]:
    """The records of a consumer instance."""
    where = f'group: "g-{uuid.uuid4().hex}", instance: "i"'
    found: list[Read] = []
    async with httpx.AsyncClient(timeout=_SECONDS) as client:

        async def run(mutation: str) -> Any:
            answer = (await client.post(gateway.graphql, json={"query": f"mutation {{ {mutation} }}"})).json()
            assert "errors" not in answer, str(answer)[:500]
            return answer["data"]

        created = where.replace("instance:", "name:")
        await run(f'createConsumer(input: {{ {created}, autoOffsetReset: "earliest" }}) {{ __typename }}')
        partitions = f'partitions: [{{ topicName: "{topic}", partitionId: 0 }}]'
        await run(f"assignConsumerPartitions(input: {{ {where}, {partitions} }}) {{ __typename }}")
        while len(found) < count:
            fetched = f"fetchConsumerRecords(input: {{ {where} }}) {{ records {{ record {{ {_SELECTED} }} }} }}"
            records = (await run(fetched))["fetchConsumerRecords"]["records"]
            found += [_of_graphql(entry["record"]) for entry in records]
        await run(f"deleteConsumer(input: {{ {where} }}) {{ __typename }}")
    return found


@pytest.fixture(scope="module")
async def filled(stack: BackgroundStack) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A topic with all bombs and a good record at its end, and the values."""
    name = f"bombs-{uuid.uuid4().hex[:12]}"
    values = await asyncio.to_thread(_fill, stack, name)
    yield name, values
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    await asyncio.to_thread(admin.delete_topics([name])[name].result, 20)


def _fill(stack: BackgroundStack, topic: str) -> list[bytes]:
    registry = SchemaRegistryClient({"url": stack.schema_registry})
    values: list[bytes] = []
    for number, (format, text, payload) in enumerate([*CONSUMED.values(), ("AVRO", '"string"', b"\x08last")]):
        schema = Schema(text, "JSON" if format == "JSONSCHEMA" else format)
        schema_id = registry.register_schema(f"{topic}-{number}", schema)
        values.append(b"\0" + schema_id.to_bytes(4, "big") + (b"\0" if format == "PROTOBUF" else b"") + payload)
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    # Each is far smaller to the broker.
    sizes = {"message.max.bytes": 200_000_000, "compression.type": "gzip", "linger.ms": 0}
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, **sizes})
    for value in values:
        producer.produce(topic, value, partition=0)
        assert producer.flush(60) == 0
    return values


@pytest.mark.parametrize("read", [grpc_consume, grpc_fetch, graphql_sse, graphql_websocket, graphql_fetch])
async def test_consuming(watched: Watched, filled: tuple[str, list[bytes]], read: Reader) -> None:
    topic, values = filled
    async with unharmed(watched):
        found = await read(watched.gateway, topic, len(values))
    assert len(found) == len(values)
    for bomb, value, record in zip(CONSUMED, values, found, strict=False):
        assert record.error, bomb
        assert record.data is None, bomb
        assert record.raw == value, bomb
    assert (found[-1].data, found[-1].error) == ("last", None)


async def test_consuming_with_v2(watched: Watched, filled: tuple[str, list[bytes]]) -> None:
    topic, _ = filled
    kind = "application/vnd.kafka.v2+json"
    async with unharmed(watched), httpx.AsyncClient(timeout=_SECONDS, headers={"content-type": kind}) as client:
        for format in ("avro", "protobuf", "jsonschema"):
            settings = {"format": format, "auto.offset.reset": "earliest"}
            group = f"g-{uuid.uuid4().hex}"
            made = await client.post(f"{watched.gateway.rest}/consumers/{group}", json=settings)
            instance = made.json()["base_uri"]
            place = {"topic": topic, "partition": 0}
            await client.post(f"{instance}/assignments", json={"partitions": [place]})
            for offset, (name, (of, _, _)) in enumerate(CONSUMED.items()):
                if of.lower() != format:
                    continue
                await client.post(f"{instance}/positions", json={"offsets": [{**place, "offset": offset}]})
                accept = {"accept": f"application/vnd.kafka.{format}.v2+json"}
                async with asyncio.timeout(_SECONDS):
                    # A read ends with nothing where the record takes long to come.
                    while (answer := await client.get(f"{instance}/records", headers=accept)).text == "[]":
                        pass
                assert answer.status_code == 408, (name, answer.text[:300])
                assert answer.json()["error_code"] == 40801
                assert f"offset {offset}" in answer.json()["message"]
            await client.delete(instance)


@pytest.mark.parametrize("read", [grpc_consume, grpc_fetch, graphql_sse, graphql_websocket, graphql_fetch])
async def test_a_large_record_does_not_block_the_event_loop(
    watched: Watched, stack: BackgroundStack, topic: Topic, read: Reader
) -> None:
    name = await topic()
    registry = SchemaRegistryClient({"url": stack.schema_registry})
    text = '{"type":"array","items":{"type":"array","items":"int"}}'
    schema_id = registry.register_schema(f"{name}-value", Schema(text, "AVRO"))
    count = 300_000
    value = b"\0" + schema_id.to_bytes(4, "big") + _varint(2 * count) + b"\x02\x02\x00" * count + b"\0"
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(name, value, partition=0)
    producer.flush(30)
    await watched.report()
    [found] = await read(watched.gateway, name, 1)
    seen = await watched.report()
    assert found.data == [[1]] * count
    assert seen["longest_busy"] < MOST_BUSY, seen


async def test_json_of_many_arrays(watched: Watched, stack: BackgroundStack, topic: Topic) -> None:
    """A record of 1 MB decodes to about 20 MB, and a read may return sixty of them."""
    name = await topic(config={"max.message.bytes": "2000000"})
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": 2_000_000})
    value = b"[" + b"[]," * 320_000 + b"1]"
    count = 60
    for _ in range(count):
        producer.produce(name, value, partition=0)
    producer.flush(60)
    kind = "application/vnd.kafka.v2+json"
    found = 0
    async with (
        unharmed(watched, busy=MOST_BUSY, memory=300 * 1024 * 1024),
        httpx.AsyncClient(timeout=_SECONDS, headers={"content-type": kind}) as client,
    ):
        settings = {"format": "json", "auto.offset.reset": "earliest"}
        made = await client.post(f"{watched.gateway.rest}/consumers/g-{uuid.uuid4().hex}", json=settings)
        instance = made.json()["base_uri"]
        place = {"topic": name, "partition": 0}
        await client.post(f"{instance}/assignments", json={"partitions": [place]})
        await client.post(f"{instance}/positions/beginning", json={"partitions": [place]})
        accept = {"accept": "application/vnd.kafka.json.v2+json"}
        while found < count:
            answer = await client.get(f"{instance}/records?timeout=20000&max_bytes=67108864", headers=accept)
            assert answer.status_code == 200, answer.text[:300]
            assert answer.content.startswith(b"[{")
            found += answer.content.count(b'"offset":')
        await client.delete(instance)


async def test_json_of_many_arrays_in_graphql(watched: Watched, stack: BackgroundStack, topic: Topic) -> None:
    name = await topic(config={"max.message.bytes": "2000000"})
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": 2_000_000})
    deep = b"[" + b"[]," * 320_000 + b"[" * 600 + b"]" * 601
    for value in (b"[" + b"[]," * 320_000 + b"1]", deep, b"[" + b"[]," * 320_000, b"[1]"):
        producer.produce(name, value, partition=0)
    producer.flush(30)
    query = """subscription ($topic: String!) {
      records(topicName: $topic, from: EARLIEST, follow: false) { value { json } } }"""
    found: list[Any] = []
    codes: list[Any] = []
    async with (
        unharmed(watched, busy=MOST_BUSY),
        httpx.AsyncClient(timeout=_SECONDS, headers={"accept": "text/event-stream"}) as client,
        client.stream("POST", watched.gateway.graphql, json={"query": query, "variables": {"topic": name}}) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data:") and (event := line.removeprefix("data:").strip()):
                payload = json.loads(event)
                found += [record["value"]["json"] for record in payload["data"]["records"]]
                codes += [error["extensions"]["code"] for error in payload.get("errors", ())]
    assert [len(value or ()) for value in found] == [320_001, 0, 0, 1]
    assert codes == [errors.DeserializationFailed.reason]
