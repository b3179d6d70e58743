"""Large records are consumed unchanged, in every format, and do not block the event loop."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import grpc
import httpx
import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from google.protobuf.empty_pb2 import Empty
from websockets.asyncio.client import connect

from faces.conftest import MOST_BUSY, Watched
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2, consumer_instance_pb2_grpc, record_pb2, record_pb2_grpc
from kafka_facade.rpc.gen.v1.record_pb2 import (
    FORMAT_AVRO,
    FORMAT_BINARY,
    FORMAT_JSON,
    FORMAT_STRING,
    FORMAT_UNSPECIFIED,
)
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

pytestmark = pytest.mark.xdist_group("event_loop")

TopicFactory = Callable[..., Awaitable[str]]

MEBIBYTE = 1 << 20
MOST = 100 * MEBIBYTE
INSTANCE: dict[str, Any] = {"consumer_group_id": "large-records", "instance_id": "i"}
KEY = b'"' + b"k" * (2 * MEBIBYTE) + b'"'
VALUE = "\u00e4".join(['"', "v" * (3 * MEBIBYTE), '"']).encode()


@pytest.fixture
async def channel(watched: Watched) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as channel:
        yield channel


async def filled(stack: BackgroundStack, topic: TopicFactory, *records: dict[str, Any]) -> str:
    name = await topic(config={"max.message.bytes": str(MOST)})
    limits = {"message.max.bytes": MOST, "queue.buffering.max.kbytes": 1_000_000}
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers} | limits)
    for record in records:
        producer.produce(name, **record)
    assert await asyncio.to_thread(producer.flush, 60) == 0
    return name


async def consumed(channel: grpc.aio.Channel, topic: str, format: Any) -> list[record_pb2.Record]:
    request = record_pb2.ConsumeRequest(
        topic_name=topic, earliest=Empty(), max_bytes=MOST, key_format=format, value_format=format
    )
    call = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=60)
    return [record async for frame in call for record in frame.records]


async def fetched(
    channel: grpc.aio.Channel, topic: str, count: int, format: Any
) -> list[consumer_instance_pb2.FetchedRecord]:
    stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
    await stub.CreateConsumerInstance(
        consumer_instance_pb2.CreateConsumerInstanceRequest(**INSTANCE, auto_offset_reset="earliest")
    )
    partition = consumer_instance_pb2.TopicPartition(topic_name=topic, partition_id=0)
    await stub.AssignPartitions(consumer_instance_pb2.AssignPartitionsRequest(**INSTANCE, partitions=[partition]))
    await stub.SeekToBeginning(consumer_instance_pb2.SeekToBeginningRequest(**INSTANCE, partitions=[partition]))
    request = consumer_instance_pb2.FetchRecordsRequest(
        **INSTANCE, max_bytes=MOST, key_format=format, value_format=format
    )
    found: list[consumer_instance_pb2.FetchedRecord] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += (await stub.FetchRecords(request)).records
    await stub.DeleteConsumerInstance(consumer_instance_pb2.DeleteConsumerInstanceRequest(**INSTANCE))
    return found


FIELDS = {FORMAT_BINARY: "binary", FORMAT_STRING: "text", FORMAT_JSON: "json"}


@pytest.mark.parametrize("format", [FORMAT_UNSPECIFIED, FORMAT_BINARY, FORMAT_STRING, FORMAT_JSON])
async def test_large_keys_and_values_are_consumed(
    stack: BackgroundStack, channel: grpc.aio.Channel, topic: TopicFactory, format: Any
) -> None:
    sent: list[dict[str, Any]] = [
        {"key": b'"a"', "value": b'"b"', "headers": [("name", b"content")]},
        {"key": KEY, "value": b"1", "headers": [("name", b"content")]},
        {"key": b"2", "value": VALUE, "timestamp": 1_700_000_000_000},
        {"key": KEY, "value": VALUE},
        {"key": b"\xff" * (2 * MEBIBYTE), "value": None},
        {"key": None, "value": b"3"},
    ]
    name = await filled(stack, topic, *sent)
    field = FIELDS.get(format, "binary")

    def stored(data: record_pb2.RecordData) -> bytes | None:
        if data.WhichOneof("data") is None:
            return None
        found = getattr(data, "binary" if data.HasField("binary") else field)
        return bytes(found) if isinstance(found, bytes) else found.encode()

    records = await consumed(channel, name, format)
    shown = format in (FORMAT_STRING, FORMAT_JSON)
    assert [record.HasField("decoded_value") for record in records] == [shown] * 4 + [False, shown]
    keys = [stored(record.decoded_key) or record.key or None for record in records]
    values = [stored(record.decoded_value) or record.value or None for record in records]
    assert keys == [record["key"] for record in sent]
    assert values == [record["value"] for record in sent]
    assert [record.offset for record in records] == list(range(len(sent)))
    assert [[header.name for header in record.headers] for record in records] == [["name"], ["name"], [], [], [], []]
    assert records[2].timestamp.seconds == 1_700_000_000

    found = await fetched(channel, name, len(sent), format)
    assert [stored(record.key) for record in found] == [record["key"] for record in sent]
    assert [stored(record.value) for record in found] == [record["value"] for record in sent]
    assert [record.HasField("key_error") for record in found] == [False] * 4 + [shown, False]


async def read_by_rest(gateway: Gateway, topic: str, format: str) -> str:
    """The body of a response with the topic's record."""
    headers = {"content-type": "application/vnd.kafka.v2+json", "accept-encoding": "identity"}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=60, headers=headers) as client:
        settings = {"format": format, "auto.offset.reset": "earliest"}
        instance = (await client.post(f"/consumers/g-{uuid4()}", json=settings)).json()["base_uri"]
        await client.post(f"{instance}/subscription", json={"topics": [topic]})
        accept = {"accept": f"application/vnd.kafka.{format}.v2+json"}
        async with asyncio.timeout(60):
            while len(body := (await client.get(f"{instance}/records", headers=accept)).text) < MEBIBYTE:
                assert body == "[]"
        await client.delete(instance)
        return body


async def read_by_graphql(gateway: Gateway, topic: str, representation: str) -> str:
    """The events of a subscription to the value of the topic's record."""
    return await subscribed(gateway, topic, f"value {{ {representation} }}")


async def subscribed(gateway: Gateway, topic: str, selection: str) -> str:
    """The events of a subscription to the topic's record."""
    asked = f'topicName: "{topic}", from: EARLIEST, follow: false'
    query = f"subscription {{ records({asked}) {{ {selection} }} }}"
    async with httpx.AsyncClient(timeout=60, headers={"accept": "text/event-stream"}) as client:
        return (await client.post(gateway.graphql, json={"query": query})).text


CONTROLS = b"\x01" * 60_000_000
# Two copies of the record, and what was read of it; in JSON it is 360 MB.
MOST_MEMORY = 340_000_000
DECODED = "decodedValue { info { error } data }"


def long_number(value: int) -> bytes:
    """An Avro long."""
    value <<= 1
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


async def read_as_avro(gateway: Gateway, topic: str) -> str:
    """The response to a read of the topic's first record in Avro."""
    headers = {"content-type": "application/vnd.kafka.v2+json"}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=60, headers=headers) as client:
        settings = {"format": "avro", "auto.offset.reset": "earliest"}
        instance = (await client.post(f"/consumers/g-{uuid4()}", json=settings)).json()["base_uri"]
        await client.post(f"{instance}/assignments", json={"partitions": [{"topic": topic, "partition": 0}]})
        async with asyncio.timeout(60):
            body = "[]"
            while body == "[]":
                body = (
                    await client.get(f"{instance}/records", headers={"accept": "application/vnd.kafka.avro.v2+json"})
                ).text
        await client.delete(instance)
        return body


async def consume_decoded(gateway: Gateway, topic: str) -> str:
    """The error of the topic's record, and its size."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
        request = record_pb2.ConsumeRequest(
            topic_name=topic, earliest=Empty(), max_bytes=MOST, decode_with_registry=True
        )
        call = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=60)
        [record] = [record async for frame in call for record in frame.records]
        return record.value_error


READ_DECODED: dict[str, Callable[[Gateway, str], Awaitable[str]]] = {
    "rest": read_as_avro,
    "grpc": consume_decoded,
    "graphql": lambda gateway, topic: subscribed(gateway, topic, DECODED),
    "graphql text": lambda gateway, topic: read_by_graphql(gateway, topic, "text"),
}


@pytest.mark.parametrize("face", READ_DECODED)
async def test_text_that_becomes_too_large_in_json_is_rejected_before_it_is_encoded(
    stack: BackgroundStack, watched: Watched, topic: TopicFactory, face: str
) -> None:
    name = await topic()
    registry = SchemaRegistryClient({"url": stack.schema_registry})
    schema_id = await asyncio.to_thread(registry.register_schema, f"{name}-value", Schema('"string"', "AVRO"))
    head = b"\0" + schema_id.to_bytes(4, "big") + long_number(len(CONTROLS))
    limits = {"message.max.bytes": MOST, "queue.buffering.max.kbytes": 1_000_000, "compression.type": "gzip"}
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers} | limits)
    # Kafka limits the size of the compressed record.
    producer.produce(name, value=CONTROLS if face == "graphql text" else head + CONTROLS)
    assert await asyncio.to_thread(producer.flush, 60) == 0
    process = psutil.Process(watched.gateway.child.pid)
    before = most = process.memory_info().rss

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.005)

    async def run() -> None:
        assert "too large when it is decoded" in await READ_DECODED[face](watched.gateway, name)

    looking = asyncio.create_task(look())
    assert await watched.quietest(run) < MOST_BUSY
    looking.cancel()
    assert most - before < MOST_MEMORY


async def read_by_websocket(gateway: Gateway, topic: str, representation: str) -> str:
    """The first event of a subscription over graphql-transport-ws, and the last message of the operation."""
    asked = f'topicName: "{topic}", from: EARLIEST, follow: false'
    query = f"subscription {{ records({asked}) {{ value {{ {representation} }} }} }}"
    url = gateway.graphql.replace("http", "ws")
    async with connect(url, subprotocols=["graphql-transport-ws"], max_size=None) as connection:  # type: ignore[list-item]
        await connection.send('{"type":"connection_init"}')
        await connection.recv()
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        event, end = str(await connection.recv()), str(await connection.recv())
        assert json.loads(end) == {"id": "1", "type": "complete"}
        return event


READ = {"websocket": read_by_websocket, "rest": read_by_rest, "graphql": read_by_graphql}
TEXT = '"' + "v" * (40 * MEBIBYTE) + '"'


@pytest.mark.parametrize(
    ("face", "form"),
    [
        ("rest", "binary"),
        ("rest", "json"),
        ("graphql", "base64"),
        ("graphql", "text"),
        ("graphql", "json"),
        ("websocket", "base64"),
        ("websocket", "text"),
    ],
)
async def test_a_large_record_is_encoded_in_pieces(
    stack: BackgroundStack, watched: Watched, topic: TopicFactory, face: str, form: str
) -> None:
    target = await filled(stack, topic, {"value": TEXT.encode()})
    shown = {"text": json.dumps(TEXT), "json": TEXT}.get(form, f'"{base64.b64encode(TEXT.encode()).decode()}"')

    async def run() -> None:
        assert shown in await READ[face](watched.gateway, target, form)

    assert await watched.quietest(run) < MOST_BUSY


@pytest.mark.parametrize("face", ["rest", "grpc", "graphql"])
async def test_a_large_decoded_value_is_encoded_in_pieces(
    stack: BackgroundStack, watched: Watched, topic: TopicFactory, face: str
) -> None:
    registry = SchemaRegistryClient({"url": stack.schema_registry})
    schema_id = await asyncio.to_thread(registry.register_schema, f"{uuid4()}-value", Schema('"string"', "AVRO"))
    head = b"\0" + schema_id.to_bytes(4, "big") + long_number(len(TEXT))
    target = await filled(stack, topic, {"value": head + TEXT.encode()})

    async def run() -> None:
        if face == "grpc":
            options = [("grpc.max_receive_message_length", -1)]
            async with grpc.aio.insecure_channel(watched.gateway.grpc, options=options) as channel:
                request = record_pb2.ConsumeRequest(
                    topic_name=target, earliest=Empty(), max_bytes=MOST, decode_with_registry=True
                )
                call = record_pb2_grpc.RecordServiceStub(channel).Consume(request, timeout=60)
                [record] = [record async for frame in call for record in frame.records]
            assert record.decoded_value.json == json.dumps(TEXT)
            assert record.decoded_value.schema.schema_id == schema_id
            assert record.decoded_value.format == FORMAT_AVRO
        elif face == "rest":
            assert json.dumps(TEXT) in await read_as_avro(watched.gateway, target)
        else:
            assert json.dumps(TEXT) in await subscribed(watched.gateway, target, DECODED)

    assert await watched.quietest(run) < MOST_BUSY


@pytest.mark.parametrize("name", ["consume", "consume decoded", "consume JSON", "fetch"])
async def test_a_large_record_does_not_block_the_event_loop(
    stack: BackgroundStack, watched: Watched, channel: grpc.aio.Channel, topic: TopicFactory, name: str
) -> None:
    target = await filled(stack, topic, {"value": TEXT.encode()})
    formats = {"consume decoded": FORMAT_BINARY, "consume JSON": FORMAT_JSON}

    async def run() -> None:
        if name == "fetch":
            assert len(await fetched(channel, target, 1, FORMAT_BINARY)) == 1
        else:
            format = formats.get(name, FORMAT_UNSPECIFIED)
            assert len(await consumed(channel, target, format)) == 1

    assert await watched.quietest(run) < MOST_BUSY


async def test_an_operation_that_ends_within_its_message_leaves_others_alone(
    stack: BackgroundStack, watched: Watched, topic: TopicFactory
) -> None:
    """A message of several fragments is finished before the next one begins."""
    large = await filled(stack, topic, {"value": TEXT.encode()})
    small = await filled(stack, topic, {"value": b"small"})
    url = watched.gateway.graphql.replace("http", "ws")
    async with connect(url, subprotocols=["graphql-transport-ws"], max_size=None, max_queue=1) as connection:  # type: ignore[list-item]
        await connection.send('{"type":"connection_init"}')
        await connection.recv()

        async def subscribe(number: int, target: str) -> None:
            asked = f'topicName: "{target}", from: EARLIEST, follow: false'
            payload = {"query": f"subscription {{ records({asked}) {{ value {{ text }} }} }}"}
            await connection.send(json.dumps({"id": str(number), "type": "subscribe", "payload": payload}))

        await subscribe(0, large)
        # Its first fragments are here, and the rest is not sent before it is read.
        first = connection.recv_streaming()
        got = len(await anext(first))
        await subscribe(1, small)
        await connection.send('{"id":"0","type":"complete"}')
        async for piece in first:
            got += len(piece)
        assert got > len(TEXT)
        async with asyncio.timeout(60):
            event = json.loads(await connection.recv())
        assert event["id"] == "1"
        assert event["payload"]["data"]["records"] == [{"value": {"text": "small"}}]
