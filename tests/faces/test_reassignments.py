"""Ongoing reassignments of partitions on three brokers, on each face."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack

import httpx
import pytest

from faces.clients import FaceClient
from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from reassigning import moving

GatewayFactory = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def moving_topic(three_brokers: BackgroundStack) -> AsyncIterator[str]:
    """A topic of which partitions 0 and 1 are moving."""
    with ExitStack() as undo:
        found = await asyncio.to_thread(undo.enter_context, moving(three_brokers.bootstrap_servers))
        yield found.topic
        await asyncio.to_thread(undo.close)


async def test_an_ongoing_reassignment(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, moving_topic: str
) -> None:
    gateway = await gateway_factory({}, on=three_brokers)
    cluster = three_brokers.cluster_id
    expected = [(moving_topic, 0, [2, 3], [1]), (moving_topic, 1, [3], [])]
    for make in FACES.values():
        face = make(gateway)
        assert await face.reassignments(cluster) == expected
        assert await face.reassignments(cluster, moving_topic) == expected
        assert [await face.reassignment(cluster, moving_topic, partition) for partition in range(3)] == [
            *expected,
            None,
        ]
        await _refuses_another_cluster(face)
        await face.close()
    await _is_exact_on_rest(gateway, cluster, moving_topic)
    await _nests_in_graphql(gateway, cluster, moving_topic)
    # Whichever broker has been asked so far, the next answers in its place.
    for index in range(2):
        await three_brokers.kill_broker(index)
        client = FACES["rest"](gateway)
        began = time.monotonic()
        assert await client.reassignments(cluster, moving_topic) == expected
        assert time.monotonic() - began < 25
        await client.close()
        await three_brokers.start_broker(index)


async def _refuses_another_cluster(face: FaceClient) -> None:
    for work in (face.reassignments("nope"), face.reassignments("nope", "x")):
        with pytest.raises(FaceError) as caught:
            await work
        assert caught.value.codes[-1] == 404


async def _is_exact_on_rest(gateway: Gateway, cluster: str, topic: str) -> None:
    base = f"{gateway.rest}/v3/clusters/{cluster}"
    partition = f"{base}/topics/{topic}/partitions/0"
    async with httpx.AsyncClient(timeout=30) as client:
        everything = (await client.get(f"{base}/topics/-/partitions/-/reassignment")).json()
        entry = everything["data"][0]
        assert everything["kind"] == "KafkaReassignmentList"
        assert everything["metadata"] == {"self": f"{base}/topics/-/partitions/-/reassignment", "next": None}
        assert entry == {
            "kind": "KafkaReassignment",
            "metadata": {
                "self": f"{partition}/reassignment",
                "resource_name": f"crn:///kafka={cluster}/topic={topic}/partition=0/reassignment",
            },
            "cluster_id": cluster,
            "topic_name": topic,
            "partition_id": 0,
            "adding_replicas": [2, 3],
            "removing_replicas": [1],
            "replicas": {"related": f"{partition}/replicas"},
        }
        assert (await client.get(entry["metadata"]["self"])).json() == entry
        replicas = (await client.get(entry["replicas"]["related"])).json()
        assert {replica["broker_id"] for replica in replicas["data"]} == {1, 2, 3}
        of_topic = (await client.get(f"{base}/topics/{topic}/partitions/-/reassignment")).json()
        assert of_topic["metadata"] == {"self": f"{base}/topics/{topic}/partitions/-/reassignment", "next": None}
        assert of_topic["data"] == everything["data"]
        for name in ("cluster", "topic", "partition"):
            path = {"cluster": base, "topic": f"{base}/topics/{topic}", "partition": partition}[name]
            document = (await client.get(path)).json()
            link = document["reassignment" if name == "partition" else "partition_reassignments"]["related"]
            assert (await client.get(link)).status_code == 200


async def _nests_in_graphql(gateway: Gateway, cluster: str, topic: str) -> None:
    document = (
        "query($c: ID!, $t: String!) { cluster(clusterId: $c) { partitionReassignments { replicas { brokerId } } "
        "topic(topicName: $t) { partitions { partitionId reassignment { addingReplicas } } } } }"
    )
    async with httpx.AsyncClient(timeout=30) as client:
        body = {"query": document, "variables": {"c": cluster, "t": topic}}
        said = (await client.post(gateway.graphql, json=body)).json()
    found = said["data"]["cluster"]
    assert [len(entry["replicas"]) for entry in found["partitionReassignments"]] == [3, 2]
    reassignments = [entry["reassignment"] for entry in found["topic"]["partitions"]]
    assert reassignments == [{"addingReplicas": [2, 3]}, {"addingReplicas": [3]}, None]


async def test_brokers_that_do_not_answer(gateway_factory: GatewayFactory, three_brokers: BackgroundStack) -> None:
    gateway = await gateway_factory({"api.request.timeout.ms": "4000"}, on=three_brokers)
    client = FACES["rest"](gateway)
    cluster = three_brokers.cluster_id
    assert await client.reassignments(cluster) == []
    for index in range(3):
        await three_brokers.pause_broker(index)
    began = time.monotonic()
    with pytest.raises(FaceError) as caught:
        await client.reassignments(cluster)
    assert caught.value.codes == client.codes(errors.KafkaTimeout)
    assert time.monotonic() - began < 6
    for index in range(3):
        await three_brokers.resume_broker(index)
    deadline = time.monotonic() + 30
    while True:
        try:
            assert await client.reassignments(cluster) == []
            break
        except FaceError:
            assert time.monotonic() < deadline
    await client.close()


async def test_no_reassignments(face: FaceClient, cluster: str) -> None:
    assert await face.reassignments(cluster) == []
