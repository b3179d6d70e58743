"""Records with schemas, on each face."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from faces.clients import Data, FaceClient, Produced
from faces.conftest import Kafka
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.errors import FacadeError
from kafka_facade_devstack.background import BackgroundStack

Topic = Callable[..., Awaitable[str]]

# For each format: a schema, data, and the bytes after the schema id.
CASES: dict[str, tuple[str, Any, bytes]] = {
    "AVRO": (
        json.dumps({"type": "record", "name": "User", "fields": [{"name": "age", "type": ["null", "int"]}]}),
        {"age": {"int": 3}},
        b"\x02\x06",
    ),
    "JSONSCHEMA": (
        '{"type":"object","properties":{"f1":{"type":"string"}},"required":["f1"]}',
        {"f1": "v"},
        b'{"f1":"v"}',
    ),
    "PROTOBUF": (
        'syntax = "proto3"; message Foo { string f1 = 1; int64 n = 2; }',
        {"f1": "v", "n": "12"},
        b"\x00\x0a\x01v\x10\x0c",
    ),
}

# Schemas, and what null is encoded to by them, or None where they have no null.
NULLS = [
    ("AVRO", '["int","null"]', b"\x02"),
    ("AVRO", '["int","string"]', None),
    ("JSONSCHEMA", '{"type":["null","object"]}', b"null"),
    ("JSONSCHEMA", '{"type":"object"}', None),
    ("PROTOBUF", 'syntax="proto3"; message A { string a = 1; }', None),
]


async def _fails(face: FaceClient, kind: type[FacadeError], operation: Awaitable[Any]) -> None:
    with pytest.raises(FaceError) as caught:
        await operation
    assert caught.value.codes[-1] == kind.codes.v3, caught.value.message


@pytest.mark.parametrize("format", CASES)
async def test_producing(
    face: FaceClient, cluster: str, topic: Topic, stack: BackgroundStack, kafka: Kafka, format: str
) -> None:
    name = await topic()
    schema, data, payload = CASES[format]
    report = await face.produce_with_schema(cluster, name, {"type": format, "schema": schema, "data": data})
    registered = SchemaRegistryClient({"url": stack.schema_registry}).get_latest_version(f"{name}-value")
    wire = b"\0" + (registered.schema_id or 0).to_bytes(4, "big") + payload
    expected = {
        "type": format,
        "subject": f"{name}-value",
        "schema_id": registered.schema_id,
        "schema_version": 1,
        "size": len(wire),
    }
    assert report == expected
    by_id = {"schema_id": registered.schema_id, "data": data}
    by_version = {"schema_version": 1, "subject_name_strategy": "TOPIC_NAME", "data": data}
    for value in (by_id, by_version, {"subject": f"{name}-value", "data": data}):
        assert await face.produce_with_schema(cluster, name, value) == expected
    assert [record["value"] for record in await kafka.records(name)] == [wire] * 4


async def test_contradictory_schema_selectors(face: FaceClient, cluster: str, topic: Topic) -> None:
    name = await topic()
    schema, data, _ = CASES["AVRO"]
    raw = {"type": "AVRO", "schema": schema}
    for kind, value in (
        (errors.SchemaLookupFailed, {"subject": f"none-{uuid.uuid4().hex}", "data": data}),
        (errors.SchemaLookupFailed, {"schema_id": 99999, "data": data}),
        (errors.InvalidRequest, {"schema_version": 7, "data": data}),
        (errors.InvalidRequest, {"type": "AVRO", "data": data}),
        (errors.InvalidRequest, {"type": "JSON", "schema": schema, "data": data}),
        (errors.InvalidRequest, {**raw, "subject": "a", "subject_name_strategy": "TOPIC_NAME", "data": data}),
        (errors.InvalidRequest, {**raw, "data": {}}),
        (errors.InvalidSchema, {**raw, "schema": "{", "data": data}),
    ):
        await _fails(face, kind, face.produce_with_schema(cluster, name, value))


async def test_null_is_encoded_by_the_schema(face: FaceClient, cluster: str, topic: Topic, kafka: Kafka) -> None:
    for index, (format, schema, payload) in enumerate(NULLS):
        name = await topic()
        value = {"type": format, "schema": schema, "subject": f"{name}-{index}", "data": None}
        if payload is None:
            await _fails(face, errors.InvalidRequest, face.produce_with_schema(cluster, name, value))
            assert await kafka.records(name) == []
        else:
            report = await face.produce_with_schema(cluster, name, value)
            assert report["size"] == 5 + len(payload)
            [record] = await kafka.records(name)
            assert record["value"][5:] == payload


async def test_a_batch(face: FaceClient, cluster: str, topic: Topic, kafka: Kafka) -> None:
    name = await topic()
    schema, data, payload = CASES["AVRO"]
    successes, failures = await face.produce_batch(
        cluster,
        name,
        [
            ("a", Produced(Data("AVRO", data, schema))),
            ("b", Produced(Data("AVRO", data))),
            ("c", Produced(Data("AVRO", {}, schema))),
            ("d", Produced(Data("AVRO", data, "{"))),
            ("e", Produced(Data("JSON", 1))),
        ],
    )
    assert successes == [("a", 0, 0), ("e", 0, 1)]
    assert [(id, codes[-1]) for id, codes in failures] == [
        ("b", errors.InvalidRequest.codes.v3),
        ("c", errors.InvalidRequest.codes.v3),
        ("d", errors.InvalidSchema.codes.v3),
    ]
    assert (await kafka.records(name))[0]["value"][5:] == payload


@pytest.mark.parametrize("format", CASES)
async def test_consuming(face: FaceClient, cluster: str, topic: Topic, format: str) -> None:
    name = await topic()
    schema, data, _ = CASES[format]
    await face.produce_with_schema(cluster, name, {"type": format, "schema": schema, "data": data})
    await face.produce(cluster, name, Produced(Data("STRING", "not with a schema"), Data("STRING", "k")))
    await _fails(face, errors.InvalidRequest, face.produce_with_schema(cluster, name, {"data": None}))
    await face.produce(cluster, name, Produced())
    group = f"schemas-{uuid.uuid4().hex[:12]}"
    await face.create_consumer(group, "c", format=format, auto_offset_reset="earliest", request_timeout_ms="3000")
    await face.subscribe(group, "c", [name])
    if face.shows_undecodable:
        found: list[tuple[int, Any, Any]] = []
        while len(found) < 3:
            found += await face.fetch(group, "c", format, 3000)
        assert found == [(0, None, data), (1, b"k", b"not with a schema"), (2, None, None)]
        await face.delete_consumer(group, "c")
        return
    assert await face.fetch(group, "c", format, 3000) == [(0, None, data)]
    await _fails(face, errors.DeserializationFailed, face.fetch(group, "c", format, 1000))
    await face.seek(group, "c", [(name, 0, 2)])
    assert await face.fetch(group, "c", format, 1000) == [(2, None, None)]
    await face.delete_consumer(group, "c")
