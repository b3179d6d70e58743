"""v2: producing in each format, to a topic and to a partition, with the result of each record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AclOperation, ResourceType

from conftest import TopicFactory
from denial import denied
from kafka_facade.core.catalogue import Operation
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from rest.v2_operations import V2, V2_OPERATIONS, body, embedded_format, error, media_type, operation_name, path, send

GatewayFactory = Callable[..., Awaitable[Gateway]]
_PRODUCE = [row for row in V2_OPERATIONS if "produce-to-" in row.identifier]
_SECONDS = 30

Stored = tuple[int, int, bytes | None, bytes | None]


def _read(stack: BackgroundStack, topic: str, partitions: int, count: int) -> list[Stored]:
    """All records: partition, offset, key, value."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    found: list[Any] = [
        (message.partition(), message.offset(), message.key(), message.value())
        for message in consumer.consume(count, _SECONDS)
    ]
    # No more than those.
    assert consumer.consume(1, 0.2) == []
    consumer.close()
    return sorted(found, key=lambda record: record[:2])


def _delivered(partition: int, offset: int) -> dict[str, Any]:
    return {"partition": partition, "offset": offset, "error_code": None, "error": None}


@pytest.mark.parametrize("operation", _PRODUCE, ids=operation_name)
async def test_records_of_each_format(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack, operation: Operation
) -> None:
    """Keys, nulls, a partition for each record, and schemas by their ids afterwards."""
    name = await topic(partitions=2)
    url = path(operation, topic=name, partition="1")
    request: Any = body(operation, name)
    data = request["records"][0]["value"]
    schemas = {member: text for member, text in request.items() if member != "records"}
    in_the_record = [
        {"key": data, "value": data, "partition": 0},
        {"key": data, "partition": 0},
        {"key": None, "value": data, "partition": "0"},
        # With a schema, a null that is given is for the schema to encode.
        {"key": data, "partition": 1} if schemas else {"key": data, "value": None, "partition": 1},
        {"partition": 1},
    ]
    response = await send(client, operation, url, {**schemas, "records": in_the_record})
    assert (response.status_code, response.headers["content-type"]) == (200, V2), response.text
    answer = response.json()
    assert list(answer) == ["offsets", "key_schema_id", "value_schema_id"]
    # The record's own partition goes before that of the path.
    expected = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert answer["offsets"] == [_delivered(*place) for place in expected]
    ids = {f"{which}_schema_id": answer[f"{which}_schema_id"] for which in ("key", "value")}
    assert all((id is not None) == bool(schemas) for id in ids.values())

    response = await send(client, operation, url, {**ids, "records": [{"key": data, "value": data}]})
    assert response.status_code == 200, response.text
    again = response.json()
    assert {which: again[which] for which in ids} == ids
    [last] = again["offsets"]
    if "produce-to-partition" in operation.identifier:
        assert last == _delivered(1, 2)
    # The schemas that are needed are enough, and one of each sort may be given in its way.
    if schemas:
        mixed = {"value_schema": schemas["value_schema"], "records": [{"value": data, "partition": 0}]}
        response = await send(client, operation, url, mixed)
        assert response.json()["key_schema_id"] is None
        assert response.json()["value_schema_id"] == ids["value_schema_id"]
        both = {
            "key_schema": schemas["key_schema"],
            "value_schema_id": ids["value_schema_id"],
            "records": [{"key": data, "partition": 0}],
        }
        response = await send(client, operation, url, both)
        assert {which: response.json()[which] for which in ids} == ids
    else:
        for _ in range(2):
            await send(client, operation, url, {"records": [{"value": data, "partition": 0}]})
    stored = await asyncio.to_thread(_read, stack, name, 2, 8)
    payload = {(record[2], record[3]) for record in stored if None not in record}
    assert len(payload) == 1, "the same data has the same bytes"
    by_place = {(record[0], record[1]): record[2:] for record in stored}
    [(key, value)] = payload
    assert [by_place[place] for place in expected] == [
        (key, value),
        (key, None),
        (None, value),
        (key, None),
        (None, None),
    ]


@pytest.mark.parametrize("operation", _PRODUCE, ids=operation_name)
async def test_one_record_of_several_fails(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack, operation: Operation
) -> None:
    name = await topic(partitions=2, config={"max.message.bytes": "1000"})
    request: Any = body(operation, name)
    [good] = request["records"]
    large = json.loads(json.dumps(good["value"]).replace("hi", "hi" * 1500).replace("aGk=", "aGk=" * 750))
    if embedded_format(operation) == "binary":
        large = "aGlp" * 1000
    request["records"] = [good | {"partition": 1}, good | {"value": large}, good | {"partition": 1}]
    response = await send(client, operation, path(operation, topic=name), request)
    assert response.status_code == 200, response.text
    first, failed, third = response.json()["offsets"]
    assert (first, third) == (_delivered(1, 0), _delivered(1, 1))
    assert (failed["partition"], failed["offset"], failed["error_code"]) == (None, None, 1)
    assert failed["error"].startswith("The request included a message larger than the maximum")
    assert len(await asyncio.to_thread(_read, stack, name, 2, 2)) == 2


@pytest.mark.parametrize("known", [True, False])
async def test_an_unauthorized_topic_fails_each_record(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack, known: bool
) -> None:
    name = await topic()
    headers = {"content-type": media_type("json")}
    if known:
        assert (await client.post(f"/topics/{name}", headers=headers, content=b'{"records":[{}]}')).status_code == 200
    async with denied(stack, (ResourceType.TOPIC, name, AclOperation.WRITE)):
        response = await client.post(f"/topics/{name}", headers=headers, content=b'{"records":[{"value":1},{}]}')
        assert response.status_code == 200
        refused = {"partition": None, "offset": None, "error_code": 1, "error": "Request is not authorized"}
        assert response.json()["offsets"] == [refused, refused]


async def test_a_hung_broker_fails_only_its_records_with_a_retriable_error(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack
) -> None:
    gateway = await gateway_factory({"api.request.timeout.ms": "3000"}, on=three_brokers)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, verify=False) as client:
        name = "v2-partial"
        topics = f"/v3/clusters/{three_brokers.cluster_id}/topics"
        places = {"0": [1], "1": [2]}
        created = await client.post(topics, json={"topic_name": name, "replicas_assignments": places})
        assert created.status_code == 201, created.text
        headers = {"content-type": media_type("json")}
        content = b'{"records":[{"value":0,"partition":0},{"value":1,"partition":1}]}'

        async def produce() -> list[Any]:
            response = await client.post(f"/topics/{name}", headers=headers, content=content)
            offsets: list[Any] = response.json().get("offsets", [])
            return offsets

        async def eventually() -> list[Any]:
            async with asyncio.timeout(_SECONDS):
                while True:
                    outcomes = await produce()
                    if outcomes and all(outcome["error_code"] is None for outcome in outcomes):
                        return outcomes
                    await asyncio.sleep(0.2)

        await eventually()
        await three_brokers.pause_broker(1)
        delivered, failed = await produce()
        await three_brokers.resume_broker(1)
        assert (delivered["partition"], delivered["error_code"]) == (0, None)
        assert (failed["partition"], failed["offset"], failed["error_code"]) == (None, None, 2)
        assert failed["error"]
        assert [outcome["partition"] for outcome in await eventually()] == [0, 1]


@pytest.mark.parametrize("settings", [{"schema.registry.url": ""}, {"schema.registry.url": "http://127.0.0.1:9"}])
async def test_schemas_without_a_registry_are_rejected(
    gateway_factory: GatewayFactory, topic: TopicFactory, settings: dict[str, str]
) -> None:
    """Only formats without schemas can be produced."""
    gateway = await gateway_factory(settings | {"api.request.timeout.ms": "3000"})
    name = await topic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, verify=False) as client:
        for operation in _PRODUCE:
            response = await send(client, operation, path(operation, topic=name), body(operation, name))
            if embedded_format(operation) in ("binary", "json"):
                assert response.status_code == 200, response.text
            else:
                assert error(response) == (408, 40801), response.text
        assert (await client.get(f"/topics/{name}/partitions/0/offsets")).json()["end_offset"] == 4


async def test_a_schema_that_the_registry_rejects(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    """The caller gets the registry's reason, and nothing is produced."""
    text = 'Schema being registered is incompatible with an earlier schema for subject "s"'

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = [int(line.split(b":")[1]) for line in head.lower().splitlines() if b"content-length" in line] or [0]
        await reader.readexactly(length)
        content = json.dumps({"error_code": 40901, "message": text}).encode()
        answer = b"HTTP/1.1 409 Conflict\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\n"
        writer.write(answer + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        gateway = await gateway_factory({"schema.registry.url": f"http://127.0.0.1:{port}"})
        name = await topic()
        async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, verify=False) as client:
            for operation in _PRODUCE:
                if embedded_format(operation) in ("binary", "json"):
                    continue
                response = await send(client, operation, path(operation, topic=name), body(operation, name))
                assert error(response) == (408, 40801)
                assert text in response.json()["message"]
            assert (await client.get(f"/topics/{name}/partitions/0/offsets")).json()["end_offset"] == 0
