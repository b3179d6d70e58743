"""With several workers, any of them serves any consumer instance."""

import asyncio
import collections
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import httpx
import psutil
import pytest

from kafka_facade.rpc.gen.v1 import consumer_instance_pb2, consumer_instance_pb2_grpc
from kafka_facade_devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]
TopicFactory = Callable[..., Awaitable[str]]

V2 = {"content-type": "application/vnd.kafka.v2+json"}
JSON = "application/vnd.kafka.json.v2+json"
WORKERS = 3


@pytest.fixture
async def gateway(gateway_factory: GatewayFactory) -> Gateway:
    """A gateway of three workers."""
    return await gateway_factory({"workers": str(WORKERS)})


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """Each of its requests has a connection of its own, so that any worker may get it."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=gateway.rest, limits=limits, timeout=30) as opened:
        yield opened


async def create(client: httpx.AsyncClient, group: str, **settings: Any) -> str:
    response = await client.post(f"/consumers/{group}", headers=V2, json={"format": "json", **settings})
    assert response.status_code == 200, response.text
    return f"/consumers/{group}/instances/{response.json()['instance_id']}"


async def fetch(client: httpx.AsyncClient, instance: str, query: str = "timeout=1000") -> list[dict[str, Any]]:
    response = await client.get(f"{instance}/records?{query}", headers={"accept": JSON})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()
    return found


async def test_any_worker_serves_any_instance(client: httpx.AsyncClient, topic: TopicFactory) -> None:
    name = await topic()
    values = [1, "two", {"three": [3, 10**30]}, None]
    body = {"records": [{"key": "k", "value": value} for value in values]}
    produced = await client.post(f"/topics/{name}", headers={"content-type": JSON}, json=body)
    assert produced.status_code == 200

    async def one(number: int) -> None:
        group = f"g-{uuid.uuid4()}"
        named = {"name": f"i-{number}"} if number % 2 else {}
        instance = await create(client, group, **named, **{"auto.offset.reset": "earliest", "fetch.min.bytes": 1})
        if named:
            twice = await client.post(f"/consumers/{group}", headers=V2, json=named)
            assert (twice.status_code, twice.json()["error_code"]) == (409, 40902)
        subscribed = await client.post(f"{instance}/subscription", headers=V2, json={"topics": [name]})
        assert subscribed.status_code == 204
        assert (await client.get(f"{instance}/subscription")).json() == {"topics": [name]}
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(30):
            while len(found) < len(values):
                found += await fetch(client, instance)
        assert [(record["key"], record["value"]) for record in found] == [("k", value) for value in values]
        assert (await client.post(f"{instance}/offsets")).json() == []
        where = {"partitions": [{"topic": name, "partition": 0}]}
        offsets = (await client.request("GET", f"{instance}/offsets", json=where)).json()["offsets"]
        assert [entry["offset"] for entry in offsets] == [len(values)]
        wrong = await client.get(f"{instance}/records", headers={"accept": "application/vnd.kafka.binary.v2+json"})
        assert (wrong.status_code, wrong.json()["error_code"]) == (406, 40601)
        assert (await client.delete(instance)).status_code == 204
        gone = await client.get(f"{instance}/subscription")
        assert (gone.status_code, gone.json()) == (
            404,
            {"error_code": 40403, "message": "Consumer instance not found."},
        )

    await asyncio.gather(*(one(number) for number in range(12)))


async def test_grpc_and_graphql_serve_the_instance_too(
    client: httpx.AsyncClient, gateway: Gateway, topic: TopicFactory
) -> None:
    name, group = await topic(), f"g-{uuid.uuid4()}"
    instance = await create(client, group, name="i", format="binary", **{"auto.offset.reset": "earliest"})
    await client.post(f"{instance}/subscription", headers=V2, json={"topics": [name]})
    body = {"records": [{"value": "AAE="}]}
    await client.post(f"/topics/{name}", headers={"content-type": "application/vnd.kafka.binary.v2+json"}, json=body)
    for number in range(2 * WORKERS):
        async with grpc.aio.insecure_channel(gateway.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
            position = consumer_instance_pb2.PartitionPosition(topic_name=name, partition_id=0, offset=0)
            if number:
                await stub.SeekToOffsets(
                    consumer_instance_pb2.SeekToOffsetsRequest(
                        consumer_group_id=group, instance_id="i", offsets=[position]
                    )
                )
            found = await stub.FetchRecords(
                consumer_instance_pb2.FetchRecordsRequest(consumer_group_id=group, instance_id="i")
            )
            assert [record.value.binary for record in found.records] == [b"\0\1"]


async def test_over_tcp(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway = await gateway_factory({"workers": str(WORKERS), "peers.listener": "tcp://127.0.0.1"})
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=gateway.rest, limits=limits, timeout=30) as client:
        await test_any_worker_serves_any_instance(client, topic)
    for worker in threads(gateway):
        listening = [entry for entry in psutil.Process(worker).net_connections("tcp") if entry.status == "LISTEN"]
        own = [entry.laddr.ip for entry in listening if f"127.0.0.1:{entry.laddr.port}" != gateway.grpc]
        assert "127.0.0.1" in own


async def test_instances_are_distributed_over_the_workers(client: httpx.AsyncClient, gateway: Gateway) -> None:
    before = threads(gateway)
    await asyncio.gather(*(create(client, f"g-{uuid.uuid4()}", name="same") for _ in range(30)))
    more = {pid: count - before[pid] for pid, count in threads(gateway).items()}
    assert len(more) == WORKERS
    assert min(more.values()) > 0


async def test_a_dead_worker_loses_its_instances_and_is_replaced(client: httpx.AsyncClient, gateway: Gateway) -> None:
    instances = await asyncio.gather(*(create(client, f"g-{uuid.uuid4()}", name="i") for _ in range(20)))
    victim = next(iter(threads(gateway)))
    os.kill(victim, signal.SIGKILL)
    await asyncio.sleep(0.2)

    async def status(instance: str) -> int:
        async with asyncio.timeout(30):
            while True:
                try:
                    response = await client.get(f"{instance}/subscription")
                except httpx.TransportError:
                    # It was the dead worker's connection.
                    continue
                if response.status_code != 503:
                    return response.status_code

    found = collections.Counter(await asyncio.gather(*map(status, instances)))
    assert set(found) == {200, 404}
    for instance in instances:
        group = instance.split("/")[2]
        if await status(instance) == 404:
            await create(client, group, name="i")
        assert (await client.delete(instance)).status_code == 204


def threads(gateway: Gateway) -> dict[int, int]:
    """The workers and how many threads each has; a consumer has several."""
    children = psutil.Process(gateway.child.pid).children()
    return {child.pid: child.num_threads() for child in children if "resource_tracker" not in " ".join(child.cmdline())}
