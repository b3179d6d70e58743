"""v2: what an instance has fetched and not delivered is neither skipped nor committed, whatever its caller does."""

import asyncio
import itertools
import json
import random
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka import KafkaError, Message, Producer

from conftest import TopicFactory
from kafka_facade.devstack.background import BackgroundStack
from kafka_facade.devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
MILLION = 1_000_000


def fill(stack: BackgroundStack, topic: str, count: int, partitions: int) -> None:
    """The numbers from 0, one after the other to each partition in turn."""
    # Idempotent: a leader that has just been named may refuse a first batch and take the second.
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 5, "enable.idempotence": True})
    refused: list[KafkaError] = []

    def reported(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error)

    for number in range(count):
        while True:
            try:
                producer.produce(topic, b"%d" % number, partition=number % partitions, on_delivery=reported)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0
    assert refused == []


class Instance:
    """A consumer instance of JSON that starts at the beginning."""

    def __init__(self, client: httpx.AsyncClient, group: str, name: str = "i") -> None:
        self.client, self.group, self.name = client, group, name
        self.path = f"/consumers/{group}/instances/{name}"

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.client.post(path, headers={"content-type": V2}, content=json.dumps(body))

    async def create(self, **settings: Any) -> None:
        body = {"name": self.name, "format": "json", "auto.offset.reset": "earliest", **settings}
        assert (await self.post(f"/consumers/{self.group}", body)).status_code == 200

    async def subscribe(self, *topics: str) -> None:
        assert (await self.post(f"{self.path}/subscription", {"topics": topics})).status_code == 204

    async def read(self, timeout_ms: int, max_bytes: int | None = None) -> list[tuple[int, int, int]]:
        """Partition, offset and value of each record."""
        query = f"timeout={timeout_ms}" + (f"&max_bytes={max_bytes}" if max_bytes is not None else "")
        response = await self.client.get(f"{self.path}/records?{query}", headers={"accept": JSON})
        assert response.status_code == 200, response.text
        return [(entry["partition"], entry["offset"], entry["value"]) for entry in response.json()]

    async def delete(self) -> None:
        assert (await self.client.delete(self.path)).status_code == 204


@pytest.fixture
def instance(client: httpx.AsyncClient) -> Instance:
    """Not created yet."""
    client.timeout = 60
    return Instance(client, f"g-{uuid.uuid4()}")


async def test_a_million_records_in_cut_reads(stack: BackgroundStack, instance: Instance, topic: TopicFactory) -> None:
    partitions = 4
    name = await topic(partitions=partitions)
    await asyncio.to_thread(fill, stack, name, MILLION, partitions)
    await instance.create(**{"fetch.min.bytes": 1})
    await instance.subscribe(name)
    chance = random.Random(1)
    following = [0] * partitions
    read = 0
    async with asyncio.timeout(240):
        while read < MILLION:
            found = await instance.read(5000, chance.choice([1, 10_000, 30_000, 100_000, 300_000]))
            for partition, offset, value in found:
                assert (offset, value) == (following[partition], offset * partitions + partition)
                following[partition] += 1
            read += len(found)
    assert following == [MILLION // partitions] * partitions
    assert await instance.read(500) == []
    await instance.delete()


async def test_callers_that_leave_in_the_middle(
    stack: BackgroundStack, instance: Instance, topic: TopicFactory
) -> None:
    count = 30_000
    name = await topic()
    await instance.create()
    await instance.subscribe(name)
    filling = asyncio.create_task(asyncio.to_thread(fill, stack, name, count, 1))
    chance = random.Random(2)
    found: list[int] = []
    async with asyncio.timeout(120):
        while len(found) < count:
            # It would wait for all of its time, with whatever it has fetched in hand.
            leaving = asyncio.create_task(instance.read(5000))
            await asyncio.sleep(chance.uniform(0, 0.3))
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            found += [value for _, _, value in await instance.read(50, 5_000)]
    await filling
    assert found == list(range(count))
    await instance.delete()


async def test_a_read_that_finds_nothing_ends_at_its_timeout(instance: Instance, topic: TopicFactory) -> None:
    await instance.create(**{"consumer.request.timeout.ms": 2000})
    await instance.subscribe(await topic())
    await instance.read(2000)
    for timeout_ms in (1, 100, 333, 1000):
        took = []
        for _ in range(5):
            started = time.monotonic()
            assert await instance.read(timeout_ms) == []
            took.append((time.monotonic() - started) * 1000)
        assert min(took) >= timeout_ms - 1
        assert statistics.median(took) < timeout_ms + 50
    await instance.delete()


@pytest.mark.parametrize("strategy", ["range,roundrobin", "cooperative-sticky"])
async def test_subscribing_again(
    stack: BackgroundStack, gateway_factory: GatewayFactory, topic: TopicFactory, strategy: str
) -> None:
    count, partitions = 2000, 2
    first, second = await topic(partitions=partitions), await topic()
    await asyncio.to_thread(fill, stack, first, count, partitions)
    gateway = await gateway_factory({"consumer.partition.assignment.strategy": strategy})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=60) as client:
        for again in ([first], [first, second]):
            instance = Instance(client, f"g-{uuid.uuid4()}")
            await instance.create(**{"fetch.min.bytes": 1})
            await instance.subscribe(first)
            found = []
            async with asyncio.timeout(60):
                for turn in itertools.count():
                    if turn == 20:
                        await instance.subscribe(*again)
                    found += await instance.read(1000, 60 if turn < 30 else None)
                    if len(set(found)) == count:
                        break
            for partition in range(partitions):
                offsets = [offset for of, offset, _ in found if of == partition]
                assert sorted(set(offsets)) == list(range(count // partitions))
            await instance.delete()


async def test_members_that_come_and_go(stack: BackgroundStack, client: httpx.AsyncClient, topic: TopicFactory) -> None:
    """Each record is committed by who got it before the partitions move: none is missed by the group."""
    count, partitions = 40_000, 4
    name, group = await topic(partitions=partitions), f"g-{uuid.uuid4()}"
    client.timeout = 60
    await asyncio.to_thread(fill, stack, name, count, partitions)
    seen: set[int] = set()
    chance = random.Random(3)

    async def member(number: int) -> None:
        while len(seen) < count:
            one = Instance(client, group, f"i-{number}-{uuid.uuid4()}")
            await one.create(**{"fetch.min.bytes": 1})
            await one.subscribe(name)
            for _ in range(chance.randrange(3, 40)):
                found = await one.read(500, 3_000)
                seen.update(value for _, _, value in found)
                if len(seen) == count:
                    break
            await one.delete()

    async with asyncio.timeout(150):
        await asyncio.gather(*(member(number) for number in range(3)))
    assert seen == set(range(count))
