"""Records with schemas, and undecodable records."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

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
    # A record that isn't JSON is returned as bytes, and the next ones follow.
    assert [record["value"] for record in as_json] == [None, None, None, 2]
    assert [(record["valueInfo"] or {}).get("error") is not None for record in as_json] == [True, True, False, False]
    assert as_json[1]["record"]["value"]["base64"] == "WzE="
    # Whatever the format is, data that begins with a schema id is decoded.
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
