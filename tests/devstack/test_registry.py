import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.registry.log import SchemaLog
from kafka_facade_devstack.registry.store import Store

USER = {"type": "record", "name": "User", "fields": [{"name": "name", "type": "string"}]}


@pytest.fixture
async def registry(stack: BackgroundStack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.schema_registry, trust_env=False) as client:
        yield client


@pytest.fixture
def subject() -> str:
    return f"subject-{uuid.uuid4().hex[:8]}"


def avro(schema: Any, **more: Any) -> dict[str, Any]:
    return {"schema": json.dumps(schema), **more}


def user(*fields: str) -> dict[str, Any]:
    """A schema of no other test, with the given fields."""
    return avro({**USER, "doc": uuid.uuid4().hex, "fields": [{"name": name, "type": "int"} for name in fields]})


async def register(registry: httpx.AsyncClient, subject: str, document: dict[str, Any]) -> int:
    answer = await registry.post(f"/subjects/{subject}/versions", json=document)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


def error(answer: httpx.Response) -> tuple[int, int]:
    return answer.status_code, answer.json()["error_code"]


async def test_a_schema_can_be_read_by_id_version_and_lookup(registry: httpx.AsyncClient, subject: str) -> None:
    document = user("a")
    id_ = await register(registry, subject, document)
    text = json.dumps(json.loads(document["schema"]), separators=(",", ":"))
    by_id = await registry.get(f"/schemas/ids/{id_}")
    assert by_id.headers["content-type"] == "application/vnd.schemaregistry.v1+json"
    assert by_id.json() == {"schema": text}
    whole = {"subject": subject, "version": 1, "id": id_, "schema": text}
    assert (await registry.get(f"/subjects/{subject}/versions/latest")).json() == whole
    assert (await registry.get(f"/subjects/{subject}/versions/1/schema")).json() == json.loads(text)
    assert (await registry.post(f"/subjects/{subject}", json=document)).json() == whole
    assert (await registry.get(f"/schemas/ids/{id_}/versions")).json() == [{"subject": subject, "version": 1}]


async def test_white_space_does_not_change_the_id_of_a_schema(registry: httpx.AsyncClient, subject: str) -> None:
    document = user("a")
    id_ = await register(registry, subject, document)
    spaced = {"schema": json.dumps(json.loads(document["schema"]), indent=4)}
    assert await register(registry, subject, spaced) == id_
    assert await register(registry, f"{subject}-other", spaced) == id_
    assert (await registry.get(f"/subjects/{subject}/versions")).json() == [1]
    assert await register(registry, subject, user("b")) != id_
    assert (await registry.get(f"/subjects/{subject}/versions")).json() == [1, 2]


@pytest.mark.parametrize(
    ("type_", "text"),
    [("JSON", '{"type": "object"}'), ("PROTOBUF", 'syntax = "proto3"; message M { string s = 1; }')],
)
async def test_schema_types_are_returned(registry: httpx.AsyncClient, subject: str, type_: str, text: str) -> None:
    id_ = await register(registry, subject, {"schemaType": type_, "schema": text})
    assert (await registry.get(f"/schemas/ids/{id_}")).json()["schemaType"] == type_


@pytest.mark.parametrize(
    "document",
    [
        {"schema": "{"},
        {"schema": ""},
        {},
        [],
        avro({"type": "record", "name": "R"}),
        {"schemaType": "JSON", "schema": "[1"},
        {"schemaType": "XML", "schema": "<a/>"},
        avro("geo.Point", references=[{"name": "geo.Point", "subject": "absent", "version": 1}]),
    ],
    ids=str,
)
async def test_an_invalid_schema_is_42201(registry: httpx.AsyncClient, subject: str, document: Any) -> None:
    assert error(await registry.post(f"/subjects/{subject}/versions", json=document)) == (422, 42201)
    assert error(await registry.get(f"/subjects/{subject}/versions")) == (404, 40401)


async def test_a_body_that_is_not_json_is_400(registry: httpx.AsyncClient, subject: str) -> None:
    assert error(await registry.post(f"/subjects/{subject}/versions", content=b"{")) == (400, 400)


async def test_unknown_subjects_versions_and_ids(registry: httpx.AsyncClient, subject: str) -> None:
    assert error(await registry.get("/schemas/ids/999999")) == (404, 40403)
    assert error(await registry.get(f"/subjects/{subject}/versions/1")) == (404, 40401)
    assert error(await registry.post(f"/subjects/{subject}", json=user("a"))) == (404, 40401)
    await register(registry, subject, user("a"))
    assert error(await registry.get(f"/subjects/{subject}/versions/2")) == (404, 40402)
    assert error(await registry.get(f"/subjects/{subject}/versions/zero")) == (422, 42202)
    assert error(await registry.post(f"/subjects/{subject}", json=user("b"))) == (404, 40403)
    assert error(await registry.get("/nothing")) == (404, 404)


async def test_deleting_a_version_takes_two_steps(registry: httpx.AsyncClient, subject: str) -> None:
    id_ = await register(registry, subject, user("a"))
    await register(registry, subject, user("b"))
    path = f"/subjects/{subject}/versions/1"
    assert error(await registry.delete(path, params={"permanent": "true"})) == (404, 40407)
    assert (await registry.delete(path)).json() == 1
    assert error(await registry.delete(path)) == (404, 40406)
    assert (await registry.get(f"/subjects/{subject}/versions")).json() == [2]
    assert (await registry.get(f"/subjects/{subject}/versions", params={"deleted": "true"})).json() == [1, 2]
    assert (await registry.get(f"/schemas/ids/{id_}")).status_code == 200
    assert (await registry.delete(path, params={"permanent": "true"})).json() == 1
    assert error(await registry.get(f"/schemas/ids/{id_}")) == (404, 40403)


async def test_deleting_a_subject_takes_two_steps(registry: httpx.AsyncClient, subject: str) -> None:
    await register(registry, subject, user("a"))
    await register(registry, subject, user("b"))
    path = f"/subjects/{subject}"
    assert error(await registry.delete(path, params={"permanent": "true"})) == (404, 40405)
    assert (await registry.delete(path)).json() == [1, 2]
    assert error(await registry.delete(path)) == (404, 40404)
    assert subject not in (await registry.get("/subjects")).json()
    assert subject in (await registry.get("/subjects", params={"deleted": "true"})).json()
    assert (await registry.delete(path, params={"permanent": "true"})).json() == [1, 2]
    assert error(await registry.delete(path)) == (404, 40401)


async def test_references_import_names_and_protect_their_target(registry: httpx.AsyncClient, subject: str) -> None:
    target = f"{subject}-target"
    point = {"type": "record", "name": "Point", "namespace": "geo", "fields": [{"name": "x", "type": "int"}]}
    await register(registry, target, avro(point))
    reference = {"name": "geo.Point", "subject": target, "version": 1}
    id_ = await register(registry, subject, avro({"type": "array", "items": "geo.Point"}, references=[reference]))
    assert (await registry.get(f"/schemas/ids/{id_}")).json()["references"] == [reference]
    assert (await registry.get(f"/subjects/{target}/versions/1/referencedby")).json() == [id_]
    assert error(await registry.delete(f"/subjects/{target}")) == (422, 42206)
    await registry.delete(f"/subjects/{subject}")
    assert (await registry.delete(f"/subjects/{target}")).json() == [1]


async def test_compatibility_level_of_a_subject_and_of_all(registry: httpx.AsyncClient, subject: str) -> None:
    assert (await registry.get("/config")).json() == {"compatibilityLevel": "BACKWARD"}
    assert error(await registry.get(f"/config/{subject}")) == (404, 40408)
    fallback = await registry.get(f"/config/{subject}", params={"defaultToGlobal": "true"})
    assert fallback.json() == {"compatibilityLevel": "BACKWARD"}
    answer = await registry.put(f"/config/{subject}", json={"compatibility": "FULL"})
    assert answer.json() == {"compatibility": "FULL"}
    assert (await registry.get(f"/config/{subject}")).json() == {"compatibilityLevel": "FULL"}
    assert error(await registry.put(f"/config/{subject}", json={"compatibility": "MAYBE"})) == (422, 42203)
    assert (await registry.delete(f"/config/{subject}")).json() == {"compatibilityLevel": "FULL"}
    assert error(await registry.delete(f"/config/{subject}")) == (404, 40408)
    await register(registry, subject, user("a"))
    check = await registry.post(f"/compatibility/subjects/{subject}/versions/latest", json=user("b"))
    assert check.json() == {"is_compatible": True}


async def test_a_read_only_subject_rejects_schemas(registry: httpx.AsyncClient, subject: str) -> None:
    assert (await registry.get("/mode")).json() == {"mode": "READWRITE"}
    assert error(await registry.get(f"/mode/{subject}")) == (404, 40409)
    assert (await registry.put(f"/mode/{subject}", json={"mode": "READONLY"})).json() == {"mode": "READONLY"}
    assert error(await registry.post(f"/subjects/{subject}/versions", json=user("a"))) == (422, 42205)
    assert error(await registry.put(f"/mode/{subject}", json={"mode": "SLEEPING"})) == (422, 42204)
    assert (await registry.delete(f"/mode/{subject}")).json() == {"mode": "READONLY"}
    await register(registry, subject, user("a"))


async def test_a_restart_restores_the_state_from_the_topic(
    registry: httpx.AsyncClient, subject: str, stack: BackgroundStack
) -> None:
    id_ = await register(registry, subject, user("a"))
    await register(registry, subject, user("b"))
    await registry.delete(f"/subjects/{subject}/versions/2")
    await registry.put(f"/config/{subject}", json={"compatibility": "NONE"})
    replayed = Store(SchemaLog({"bootstrap.servers": stack.bootstrap_servers}))
    await replayed.load()
    assert list(replayed.state.of_subject(subject, deleted=False)) == [1]
    assert list(replayed.state.of_subject(subject, deleted=True)) == [1, 2]
    assert replayed.state.version(subject, "1", deleted=False).id == id_
    assert replayed.state.compatibility[subject] == "NONE"


async def test_records_have_confluents_format(
    registry: httpx.AsyncClient, subject: str, stack: BackgroundStack
) -> None:
    id_ = await register(registry, subject, {"schemaType": "JSON", "schema": "true"})
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition("_schemas", 0, 0)])
    wanted = {"keytype": "SCHEMA", "subject": subject, "version": 1, "magic": 1}
    try:
        while True:
            message = consumer.poll(10)
            assert message is not None, "the record is not in the topic"
            if json.loads(message.key() or b"{}") == wanted:
                break
    finally:
        consumer.close()
    expected = {"subject": subject, "version": 1, "id": id_, "schemaType": "JSON", "schema": "true", "deleted": False}
    assert json.loads(message.value() or b"") == expected
