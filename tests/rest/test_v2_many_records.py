"""v2: the memory of a read is limited, however small its keys and values are."""

import asyncio
import json
import time
import uuid
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer

from conftest import TopicFactory
from kafka_facade_devstack.background import BackgroundStack

V2 = "application/vnd.kafka.v2+json"
BINARY = "application/vnd.kafka.binary.v2+json"
TIMEOUT_MS = 60_000


def fill(stack: BackgroundStack, topic: str, count: int, record: dict[str, Any]) -> None:
    """So many records of one kind."""
    producer = Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 20, "queue.buffering.max.messages": count}
    )
    for number in range(count):
        while True:
            try:
                producer.produce(topic, **record)
                break
            except BufferError:
                producer.poll(0.1)
        if not number % 1000:
            producer.poll(0)
    assert producer.flush(120) == 0


@pytest.mark.parametrize(
    ("count", "record", "most"),
    [
        pytest.param(300_000, {}, 150_000, id="without keys and values"),
        pytest.param(1500, {"headers": [("large", b"x" * 100_000)]}, 800, id="large headers"),
    ],
)
async def test_a_long_read_of_small_records(
    stack: BackgroundStack,
    client: httpx.AsyncClient,
    topic: TopicFactory,
    count: int,
    record: dict[str, Any],
    most: int,
) -> None:
    name = await topic()
    await asyncio.to_thread(fill, stack, name, count, record)
    client.timeout = httpx.Timeout(90)
    group = f"g-{uuid.uuid4()}"
    headers = {"content-type": V2}
    settings = {
        "name": "i",
        "format": "binary",
        "auto.offset.reset": "earliest",
        "consumer.request.timeout.ms": TIMEOUT_MS,
    }
    assert (await client.post(f"/consumers/{group}", headers=headers, json=settings)).status_code == 200
    path = f"/consumers/{group}/instances/i"
    body = {"partitions": [{"topic": name, "partition": 0}]}
    assert (await client.post(f"{path}/assignments", headers=headers, json=body)).status_code == 204
    started = time.monotonic()
    offsets: list[int] = []
    while len(offsets) < count - most:
        response = await client.get(f"{path}/records", headers={"accept": BINARY})
        found = [entry["offset"] for entry in json.loads(response.content)]
        assert 0 < len(found) < most
        offsets += found
    # No read waited for more records.
    assert time.monotonic() - started < TIMEOUT_MS / 1000
    assert offsets == list(range(len(offsets)))
    assert (await client.delete(path)).status_code == 204
