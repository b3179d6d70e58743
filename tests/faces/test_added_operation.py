"""Operations that are added as in CONTRIBUTING.md work on each face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer

from conftest import TopicFactory
from faces.added_operation.model import GetTopicSize, ListTopicSizes, PartitionTrim, TrimTopic
from faces.added_operation.parts import CATALOGUE, services
from faces.conftest import Kafka
from faces.generic import FaceError, GraphQLOperations, GrpcOperations, Operations, RestOperations
from kafka_facade.core import errors
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

pytestmark = pytest.mark.xdist_group("added_operation")

_LAUNCHER = str(Path(__file__).parent.parent / "extended_gateway.py")
_CLIENTS: dict[str, Callable[[Gateway], Operations]] = {
    "rest": lambda gateway: RestOperations(gateway.rest, CATALOGUE),
    "grpc": lambda gateway: GrpcOperations(gateway.grpc, CATALOGUE, services()),
    "graphql": lambda gateway: GraphQLOperations(gateway.graphql, CATALOGUE),
}


@pytest.fixture(scope="module")
async def extended(stack: BackgroundStack) -> AsyncIterator[Gateway]:
    """A gateway that serves the added operations too."""
    gateway = await stack.start_gateway({}, program=(_LAUNCHER,))
    yield gateway
    await stack.stop_gateway(gateway)


@pytest.fixture
async def operations(face_name: str, extended: Gateway) -> AsyncIterator[Operations]:
    """A client of the face in turn."""
    client = _CLIENTS[face_name](extended)
    yield client
    await client.close()


async def _filled(stack: BackgroundStack, topic: TopicFactory) -> str:
    name = await topic(partitions=2)
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for partition, count in ((0, 5), (1, 2)):
        for number in range(count):
            producer.produce(name, str(number).encode(), partition=partition)
    assert await asyncio.to_thread(producer.flush, 20) == 0
    return name


async def test_added_operations(
    operations: Operations, cluster: str, stack: BackgroundStack, topic: TopicFactory, kafka: Kafka
) -> None:
    name = await _filled(stack, topic)
    found = await operations.run("api.v3.topic-sizes.get", GetTopicSize(cluster, name))
    assert (found["topic_name"], found["records_count"]) == (name, 7)
    sizes = await operations.run("api.v3.topic-sizes.list", ListTopicSizes(cluster))
    assert {entry["topic_name"]: entry["records_count"] for entry in sizes}[name] == 7

    trim = TrimTopic(cluster, name, [PartitionTrim(0, 4), PartitionTrim(1, 1)], validate_only=True)
    assert (await operations.run("api.v3.topic-sizes.trim", trim))["records_count"] == 7
    trim.validate_only = False
    assert (await operations.run("api.v3.topic-sizes.trim", trim))["records_count"] == 2
    assert [record["value"] for record in await kafka.records(name, 0, first=4)] == [b"4"]


async def test_their_errors(
    operations: Operations, face_name: str, cluster: str, stack: BackgroundStack, topic: TopicFactory
) -> None:
    async def fails(kind: type[errors.FacadeError], identifier: str, request: GetTopicSize | TrimTopic) -> FaceError:
        with pytest.raises(FaceError) as caught:
            await operations.run(f"api.v3.topic-sizes.{identifier}", request)
        assert caught.value.codes == operations.codes(kind), caught.value
        return caught.value

    name = await _filled(stack, topic)
    await fails(errors.TopicNotFound, "get", GetTopicSize(cluster, "no-such-topic"))
    trim = TrimTopic(cluster, name, [PartitionTrim(0, 1), PartitionTrim(1, -1)])
    error = await fails(errors.InvalidRequest, "trim", trim)
    assert (
        error.field
        == {
            "rest": None,
            "grpc": "partitions[1].before_offset",
            "graphql": "input.partitions[1].beforeOffset",
        }[face_name]
    )


async def test_rest_has_their_links(
    extended: Gateway, cluster: str, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await _filled(stack, topic)
    where = f"{extended.rest}/v3/clusters/{cluster}/topics/{name}"
    async with httpx.AsyncClient(base_url=where) as client:
        response = await client.get("/size")
        assert response.json() == {
            "kind": "KafkaTopicSize",
            "metadata": {"self": f"{where}/size", "resource_name": f"crn:///kafka={cluster}/topic={name}/size"},
            "cluster_id": cluster,
            "topic_name": name,
            "records_count": 7,
            "topic": {"related": where},
        }
        response = await client.post("/size:trim", json={"partitions": [{"partition_id": 0, "offset": 1}]})
        assert (response.status_code, response.json()["message"]) == (422, "Unrecognized field: offset")
        response = await client.post("/size:trim", json={"partitions": [{"partition_id": 0, "before_offset": 2**63}]})
        assert (response.status_code, response.json()["error_code"]) == (400, 400)


async def test_the_shipped_gateway_has_none_of_them(gateway: Gateway, cluster: str) -> None:
    client = RestOperations(gateway.rest, CATALOGUE)
    with pytest.raises(FaceError) as caught:
        await client.run("api.v3.topic-sizes.get", GetTopicSize(cluster, "any"))
    assert caught.value.codes == (404, 404)
    await client.close()
