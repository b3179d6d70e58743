"""If one of three brokers hangs, the others describe topics and the cluster, also at the first request."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from conftest import GatewayFactory, TopicFactory
from faces.clients import FaceClient
from faces.conftest import FACES
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

pytestmark = pytest.mark.serial

_SOON = 2.0
_BROKERS = 3


async def _describe_all(face: FaceClient, cluster: str, topic: str) -> None:
    """Run all operations on metadata, concurrently and then one by one, each within the limit."""

    async def ask(work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        found = await work()
        assert time.monotonic() - began < _SOON, work
        return found

    asked = (
        lambda: face.topics(cluster),
        lambda: face.topic(cluster, topic),
        lambda: face.partitions(cluster, topic),
        lambda: face.partition(cluster, topic, 0),
        lambda: face.cluster(cluster),
        lambda: face.clusters(),
        lambda: face.brokers(cluster),
    )
    names, described, partitions, *_ = await asyncio.gather(*map(ask, asked))
    assert topic in names
    assert described["partitions_count"] == len(partitions) == _BROKERS
    for work in asked:
        await ask(work)


@asynccontextmanager
async def _client(face_name: str, gateway: Gateway) -> AsyncIterator[FaceClient]:
    face = FACES[face_name](gateway)
    try:
        # Open the connection first, so that it is not part of the measured time.
        await face.clusters()
        yield face
    finally:
        await face.close()


async def test_any_broker_hangs(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: TopicFactory, face_name: str
) -> None:
    name = await topic(on=three_brokers, partitions=_BROKERS, replicas=3)
    gateway = await gateway_factory(on=three_brokers)
    async with _client(face_name, gateway) as face:
        for broker in range(_BROKERS):
            await three_brokers.pause_broker(broker)
            await _describe_all(face, three_brokers.cluster_id, name)
            await three_brokers.resume_broker(broker)
            await three_brokers.heal()


async def test_the_bootstrap_server_hangs(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: TopicFactory, face_name: str
) -> None:
    name = await topic(on=three_brokers, partitions=_BROKERS, replicas=3)
    only = three_brokers.bootstrap_servers.split(",")[0]
    gateway = await gateway_factory({"bootstrap.servers": only}, on=three_brokers)
    async with _client(face_name, gateway) as face:
        await three_brokers.pause_broker(0)
        await _describe_all(face, three_brokers.cluster_id, name)


@pytest.mark.parametrize("broker", range(_BROKERS))
async def test_a_broker_hangs_from_the_start(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: TopicFactory, broker: int
) -> None:
    name = await topic(on=three_brokers, partitions=_BROKERS, replicas=3)
    # It accepts connections, but never answers.
    await three_brokers.pause_broker(broker)
    gateway = await gateway_factory(on=three_brokers, answering=False)
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=40) as client:
        assert name in (await client.get("/topics")).json()
    assert time.monotonic() - began < _SOON
    async with _client("rest", gateway) as face:
        await _describe_all(face, three_brokers.cluster_id, name)


async def test_a_bootstrap_server_accepts_and_never_answers(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic(on=three_brokers, partitions=_BROKERS, replicas=3)

    async def never_answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)

    opened: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        servers = {"bootstrap.servers": f"127.0.0.1:{port},{three_brokers.bootstrap_servers}"}
        gateway = await gateway_factory(servers, on=three_brokers, answering=False)
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=gateway.rest, timeout=40) as client:
            assert name in (await client.get("/topics")).json()
        assert time.monotonic() - began < _SOON
        async with _client("rest", gateway) as face:
            await _describe_all(face, three_brokers.cluster_id, name)
        for writer in opened:
            writer.close()
