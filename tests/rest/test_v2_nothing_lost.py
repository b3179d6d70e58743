"""v2: records that were fetched but not delivered are neither skipped nor committed."""

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
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
MILLION = 1_000_000


def fill(stack: BackgroundStack, topic: str, count: int, partitions: int) -> None:
    """The numbers from 0, one after the other to each partition in turn."""
    # Idempotent: a leader that has just been named may reject a first batch and take the second.
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


async def test_a_million_records_with_limited_reads(
    stack: BackgroundStack, instance: Instance, topic: TopicFactory
) -> None:
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


async def _produce(client: httpx.AsyncClient, topic: str, values: range, partitions: int) -> None:
    body = {"records": [{"value": value, "partition": value % partitions} for value in values]}
    response = await client.post(f"/topics/{topic}", headers={"content-type": JSON}, content=json.dumps(body))
    assert response.status_code == 200, response.text


async def _assigned(instance: Instance, partitions: int) -> None:
    """Wait until the instance has this many partitions and a position in each."""
    async with asyncio.timeout(30):
        while len((await instance.client.get(f"{instance.path}/assignments")).json()["partitions"]) < partitions:
            assert await instance.read(100) == []
    assert await instance.read(1500) == []


@pytest.mark.parametrize("what", ["another member", "a member after it", "another subscription"])
async def test_records_written_after_the_end_was_read(
    client: httpx.AsyncClient, topic: TopicFactory, instance: Instance, what: str
) -> None:
    """The position of a member is committed too: the next member continues there, not at a later end."""
    partitions, values = 2, range(20)
    name, other = await topic(partitions=partitions), await topic()
    settings = {"auto.offset.reset": "latest", "fetch.min.bytes": 1}
    await instance.create(**settings)
    await instance.subscribe(name)
    await _assigned(instance, partitions)
    members = [instance]
    if what == "a member after it":
        await instance.delete()
    await _produce(client, name, values, partitions)
    if what == "another subscription":
        await instance.subscribe(name, other)
    else:
        second = Instance(client, instance.group, "j")
        await second.create(**settings)
        await second.subscribe(name)
        members = [second] if what == "a member after it" else [instance, second]
    seen: set[int] = set()
    async with asyncio.timeout(40):
        while seen != set(values):
            for member in members:
                seen |= {value for _, _, value in await member.read(500)}
    for member in members:
        await member.delete()


async def test_a_former_member_commits(client: httpx.AsyncClient, topic: TopicFactory, instance: Instance) -> None:
    name = await topic()
    await _produce(client, name, range(50), 1)
    place = {"topic": name, "partition": 0}

    async def committed() -> list[int]:
        body = json.dumps({"partitions": [place]})
        headers = {"content-type": V2}
        response = await client.request("GET", f"{instance.path}/offsets", headers=headers, content=body)
        return [entry["offset"] for entry in response.json()["offsets"]]

    await instance.create(**{"fetch.min.bytes": 1})
    await instance.subscribe(name)
    found = await instance.read(10_000, 10)
    await client.delete(f"{instance.path}/subscription")
    assert await committed() == [len(found)]
    response = await instance.post(f"{instance.path}/offsets", {"offsets": [{**place, "offset": 29}]})
    assert response.status_code == 200, response.text
    assert await committed() == [30]
    assert (await instance.post(f"{instance.path}/assignments", {"partitions": [place]})).status_code == 204
    read: list[int] = []
    async with asyncio.timeout(20):
        while len(read) < 20:
            read += [value for _, _, value in await instance.read(5000)]
    assert read == list(range(30, 50))
    async with asyncio.timeout(20):
        while await committed() != [50]:  # noqa: ASYNC110  nothing tells of a commit
            await asyncio.sleep(0.2)
    await instance.delete()


async def test_a_commit_after_a_seek_back(client: httpx.AsyncClient, topic: TopicFactory, instance: Instance) -> None:
    name = await topic()
    await _produce(client, name, range(10), 1)
    place = {"topic": name, "partition": 0}
    await instance.create(**{"fetch.min.bytes": 1, "auto.commit.enable": "false"})
    assert (await instance.post(f"{instance.path}/assignments", {"partitions": [place]})).status_code == 204
    assert await instance.read(10_000)
    went = await instance.post(f"{instance.path}/positions", {"offsets": [{**place, "offset": 3}]})
    assert went.status_code == 204, went.text
    assert (await client.post(f"{instance.path}/offsets")).status_code == 200
    body = json.dumps({"partitions": [place]})
    asked = await client.request("GET", f"{instance.path}/offsets", headers={"content-type": V2}, content=body)
    assert [entry["offset"] for entry in asked.json()["offsets"]] == [3]
    await instance.delete()


async def test_a_former_member_seeks_and_commits(
    client: httpx.AsyncClient, topic: TopicFactory, instance: Instance
) -> None:
    name = await topic()
    await _produce(client, name, range(10), 1)
    place = {"topic": name, "partition": 0}
    await instance.create(**{"fetch.min.bytes": 1, "auto.commit.enable": "false"})
    await instance.subscribe(name)
    assert await instance.read(10_000)
    assert (await client.delete(f"{instance.path}/subscription")).status_code == 204
    assert (await instance.post(f"{instance.path}/assignments", {"partitions": [place]})).status_code == 204
    went = await instance.post(f"{instance.path}/positions", {"offsets": [{**place, "offset": 5}]})
    assert went.status_code == 204, went.text
    assert (await client.post(f"{instance.path}/offsets")).status_code == 200
    body = json.dumps({"partitions": [place]})
    asked = await client.request("GET", f"{instance.path}/offsets", headers={"content-type": V2}, content=body)
    assert [entry["offset"] for entry in asked.json()["offsets"]] == [5]
    await instance.delete()


@pytest.mark.serial
async def test_reads_of_one_instance_at_the_same_time(
    client: httpx.AsyncClient, topic: TopicFactory, instance: Instance
) -> None:
    name = await topic()
    await instance.create(**{"consumer.request.timeout.ms": 30_000, "fetch.min.bytes": 1})
    await instance.subscribe(name)
    await _assigned(instance, 1)

    async def timed(call: Awaitable[Any]) -> float:
        started = time.monotonic()
        await call
        return time.monotonic() - started

    reads = [asyncio.create_task(timed(instance.read(2000))) for _ in range(4)]
    others = []
    for _ in range(5):
        await asyncio.sleep(0.2)
        others.append(await timed(client.get(f"{instance.path}/assignments")))
    took = await asyncio.gather(*reads)
    assert min(took) >= 2 - 0.001
    assert statistics.median(took) < 2.05
    assert max(took) < 2.5
    assert statistics.median(others) < 0.2
    # What comes goes to one of them.
    reading = [asyncio.create_task(instance.read(4000)) for _ in range(3)]
    await _produce(client, name, range(5), 1)
    found = [entry for entries in await asyncio.gather(*reading) for entry in entries]
    assert sorted(value for _, _, value in found) == list(range(5))
    # And those who wait find the instance gone with it.
    waiting = asyncio.create_task(client.get(f"{instance.path}/records?timeout=20000", headers={"accept": JSON}))
    await asyncio.sleep(0.3)
    assert await timed(instance.delete()) < 5
    assert (await waiting).status_code == 404


@pytest.mark.serial
async def test_a_read_waits_longer_than_other_requests_may_take(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    gateway = await gateway_factory({"api.request.timeout.ms": "2000"})
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=60) as client:
        instance = Instance(client, f"g-{uuid.uuid4()}")
        await instance.create(**{"consumer.request.timeout.ms": 5000})
        await instance.subscribe(await topic())
        started = time.monotonic()
        assert await instance.read(4000) == []
        assert 4 - 0.001 <= time.monotonic() - started < 4.5
        await instance.delete()


async def test_a_record_that_is_nested_too_deeply(
    client: httpx.AsyncClient, stack: BackgroundStack, topic: TopicFactory, instance: Instance
) -> None:
    """Earlier records are delivered, and the error has the position of the record."""
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "enable.idempotence": True})
    for value in (b"1", b"2", b"[" * 3000 + b"]" * 3000, b"3"):
        producer.produce(name, value, partition=0)
    assert await asyncio.to_thread(producer.flush, 30) == 0
    await instance.create(**{"fetch.min.bytes": -1, "consumer.request.timeout.ms": 3000})
    await instance.subscribe(name)
    found: list[int] = []
    async with asyncio.timeout(30):
        while len(found) < 2:
            found += [value for _, _, value in await instance.read(3000)]
    assert found == [1, 2]
    refused = await client.get(f"{instance.path}/records", headers={"accept": JSON})
    assert (refused.status_code, refused.json()["error_code"]) == (408, 40801)
    assert "offset 2" in refused.json()["message"]
    where = {"offsets": [{"topic": name, "partition": 0, "offset": 3}]}
    assert (await instance.post(f"{instance.path}/positions", where)).status_code == 204
    assert [value for _, _, value in await instance.read(3000)] == [3]
    await instance.delete()


async def test_callers_that_disconnect_during_a_response(
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
            # It would wait until its timeout while it holds the fetched records.
            leaving = asyncio.create_task(instance.read(5000))
            await asyncio.sleep(chance.uniform(0, 0.3))
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            found += [value for _, _, value in await instance.read(50, 5_000)]
    await filling
    assert found == list(range(count))
    await instance.delete()


@pytest.mark.serial
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


async def test_members_that_join_and_leave(
    stack: BackgroundStack, client: httpx.AsyncClient, topic: TopicFactory
) -> None:
    """Each member commits its records before its partitions move, so that the group misses none."""
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
