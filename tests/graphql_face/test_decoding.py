"""Records with schemas, and undecodable records."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from kafka_facade_devstack.background import BackgroundStack

Execute = Callable[..., Awaitable[dict[str, Any]]]
TopicFactory = Callable[..., Awaitable[str]]

UNKNOWN_ID = b"\0\0\x7f\xff\xff\x01"
FETCH = """mutation ($group: String!, $format: Format, $key: Format, $value: Format, $registry: Boolean!) {
  fetchConsumerRecords(input: {
    group: $group, instance: "i", format: $format, keyFormat: $key, valueFormat: $value, decodeWithRegistry: $registry
  }) {
    records {
      key value keyInfo { format error } valueInfo { format schemaId subject error }
      record {
        offset value { base64 }
        decodedKey { data info { error } }
        decodedValue { data info { format schemaId subject error } }
      }
    }
  }
}"""


EVENTS = """subscription ($topic: String!) {
  records(topicName: $topic, from: EARLIEST, follow: false) {
    value { text } decodedValue { data info { format schemaId subject error } }
  }
}"""


async def _events(client: httpx.AsyncClient, topic: str) -> list[dict[str, Any]]:
    """The records of a subscription that ends."""
    body = {"query": EVENTS, "variables": {"topic": topic}}
    answer = await client.post("/graphql", json=body, headers={"accept": "text/event-stream"}, timeout=30)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert not any("errors" in event for event in events), events
    return [record for event in events for record in event["data"]["records"]]


async def test_events_name_the_schemas_of_records(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack
) -> None:
    name = await topic()
    subject = f"{name}-value"
    schema_id = SchemaRegistryClient({"url": stack.schema_registry}).register_schema(subject, Schema('"long"', "AVRO"))
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(name, b"\0" + schema_id.to_bytes(4, "big") + b"\x18", partition=0)
    producer.flush(30)
    [record] = await _events(client, name)
    info = {"format": "AVRO", "schemaId": schema_id, "subject": subject, "error": None}
    assert record["decodedValue"] == {"data": 12, "info": info}


async def test_events_end_at_the_last_stable_offset(
    client: httpx.AsyncClient, topic: TopicFactory, stack: BackgroundStack
) -> None:
    name = await topic()
    later = Producer({"bootstrap.servers": stack.bootstrap_servers})
    later.produce(name, b"first", partition=0)
    later.flush(30)
    unfinished = Producer({"bootstrap.servers": stack.bootstrap_servers, "transactional.id": uuid.uuid4().hex})
    await asyncio.to_thread(unfinished.init_transactions, 30)
    unfinished.begin_transaction()
    unfinished.produce(name, b"unfinished", partition=0)
    await asyncio.to_thread(unfinished.flush, 30)
    later.produce(name, b"later", partition=0)
    await asyncio.to_thread(later.flush, 30)
    assert [record["value"]["text"] for record in await _events(client, name)] == ["first"]
    await asyncio.to_thread(unfinished.abort_transaction, 30)
    async with asyncio.timeout(30):
        # The broker ends the transaction after its coordinator.
        while len(found := await _events(client, name)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert [record["value"]["text"] for record in found] == ["first", "later"]


async def test_available_records_are_returned_at_once(
    execute: Execute, topic: TopicFactory, stack: BackgroundStack
) -> None:
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(name, b"1", partition=0)
    producer.flush(30)
    group = f"waiting-{uuid.uuid4().hex}"
    for mutation in (
        f'createConsumer(input: {{group: "{group}", name: "i", format: JSON, autoOffsetReset: "earliest", '
        "requestTimeoutMs: 600000})",
        f'assignConsumerPartitions(input: {{group: "{group}", instance: "i", '
        f'partitions: [{{topicName: "{name}", partitionId: 0}}]}})',
    ):
        assert "errors" not in await execute(f"mutation {{ {mutation} {{ __typename }} }}")
    fetch = f'''mutation {{
      fetchConsumerRecords(input: {{group: "{group}", instance: "i", format: JSON}}) {{ records {{ value }} }}
    }}'''
    async with asyncio.timeout(30):
        found = await execute(fetch)
    assert found["data"]["fetchConsumerRecords"]["records"] == [{"value": 1}]


async def test_keys_and_values_are_decoded(execute: Execute, topic: TopicFactory, stack: BackgroundStack) -> None:
    name = await topic()
    subject = f"{name}-value"
    schema_id = SchemaRegistryClient({"url": stack.schema_registry}).register_schema(subject, Schema('"long"', "AVRO"))
    with_schema = b"\0" + schema_id.to_bytes(4, "big") + b"\x18"
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for key, value in ((b"ann", with_schema), (UNKNOWN_ID, b"[1"), (b"\xff", None), (None, b"2")):
        producer.produce(name, key=key, value=value, partition=0)
    producer.flush(30)

    async def fetched(**formats: Any) -> list[dict[str, Any]]:
        group = f"decoding-{uuid.uuid4().hex}"
        for mutation in (
            f'createConsumer(input: {{group: "{group}", name: "i", format: JSON, autoOffsetReset: "earliest"}})',
            f'assignConsumerPartitions(input: {{group: "{group}", instance: "i", '
            f'partitions: [{{topicName: "{name}", partitionId: 0}}]}})',
        ):
            assert "errors" not in await execute(f"mutation {{ {mutation} {{ __typename }} }}")
        records: list[dict[str, Any]] = []
        while len(records) < 4:
            found = await execute(FETCH, group=group, **{"registry": False, **formats})
            assert "errors" not in found, found
            records += found["data"]["fetchConsumerRecords"]["records"]
        return records

    known = {"format": "AVRO", "schemaId": schema_id, "subject": subject, "error": None}
    as_json = await fetched()
    # A record that is not JSON is returned as bytes, and the next ones follow.
    assert [record["value"] for record in as_json] == [None, None, None, 2]
    assert [(record["valueInfo"] or {}).get("error") is not None for record in as_json] == [True, True, False, False]
    assert as_json[1]["record"]["value"]["base64"] == "WzE="
    # In each format, data that begins with a schema id is decoded.
    by_schema = [record["record"]["decodedValue"] for record in as_json]
    assert by_schema == [{"data": 12, "info": known}, None, None, None]
    keys = [record["record"]["decodedKey"] for record in as_json]
    assert [keys[0], keys[2], keys[3]] == [None, None, None]
    assert keys[1]["data"] is None
    assert keys[1]["info"]["error"]

    apart = await fetched(key="STRING", value="AVRO")
    assert (apart[0]["key"], apart[0]["value"], apart[0]["valueInfo"]) == ("ann", 12, known)
    assert apart[2]["keyInfo"] == {"format": "STRING", "error": "the bytes are not UTF-8"}
    by_registry = await fetched(key="STRING", registry=True)
    assert (by_registry[0]["value"], by_registry[3]["value"]) == (12, "Mg==")
