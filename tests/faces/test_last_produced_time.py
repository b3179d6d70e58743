"""The largest timestamp of a topic's records, on each face."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import TopicFactory
from faces.conftest import FACES
from faces.generic import FaceError, GraphQLOperations
from kafka_facade.core import errors
from kafka_facade.core.topics.model import GetLastProducedTime
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]

_IDENTIFIER = "api.v3.topics.last-produced-time"
_QUERY = "query($c: ID!, $t: String!) { cluster(clusterId: $c) { topic(topicName: $t) { lastProducedTime } } }"
_ALL = "query($c: ID!) { cluster(clusterId: $c) { topics(first: 1000) { nodes { topicName lastProducedTime } } } }"
_SECONDS = 30
_TIME = datetime(2021, 3, 4, 5, 6, 7, 89_000, UTC)


def _produce(stack: BackgroundStack, topic: str, times: dict[int, list[datetime]]) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for partition, found in times.items():
        for moment in found:
            producer.produce(topic, b"x", partition=partition, timestamp=round(moment.timestamp() * 1000))
    assert producer.flush(_SECONDS) == 0


async def _time(name: str, face: Any, cluster: str, topic: str) -> datetime | None:
    """What a face shows."""
    if name == "graphql":
        shown = (await face.execute(_QUERY, c=cluster, t=topic))["cluster"]["topic"]["lastProducedTime"]
    else:
        answer = await face.run(_IDENTIFIER, GetLastProducedTime(cluster, topic))
        assert (answer["cluster_id"], answer["topic_name"]) == (cluster, topic)
        shown = answer["last_produced_time"]
    if isinstance(shown, dict):
        return datetime.fromtimestamp(shown["seconds"], UTC) + timedelta(microseconds=shown["nanos"] // 1000)
    return None if shown is None else datetime.fromisoformat(shown)


async def test_it_is_the_largest_of_all_partitions(
    face_name: str, gateway: Gateway, stack: BackgroundStack, cluster: str, topic: TopicFactory
) -> None:
    """Neither the last record of a partition nor the last partition needs to have it."""
    name = await topic(partitions=3)
    face = FACES[face_name](gateway)
    assert await _time(face_name, face, cluster, name) is None
    earlier = _TIME - timedelta(hours=1)
    await asyncio.to_thread(_produce, stack, name, {0: [earlier], 1: [earlier, _TIME, earlier]})
    assert await _time(face_name, face, cluster, name) == _TIME
    await face.close()


async def test_the_shape_on_rest(gateway: Gateway, stack: BackgroundStack, cluster: str, topic: TopicFactory) -> None:
    name = await topic()
    await asyncio.to_thread(_produce, stack, name, {0: [_TIME]})
    url = f"{gateway.rest}/v3/clusters/{cluster}/topics/{name}/last-produced-time"
    async with httpx.AsyncClient(timeout=30) as rest:
        answer = await rest.get(url)
    assert answer.json() == {
        "kind": "KafkaLastProducedTime",
        "metadata": {"self": url, "resource_name": f"crn:///kafka={cluster}/topic={name}/last-produced-time"},
        "cluster_id": cluster,
        "topic_name": name,
        "last_produced_time": "2021-03-04T05:06:07.089Z",
    }


async def test_many_topics_in_graphql(
    gateway: Gateway, stack: BackgroundStack, cluster: str, topic: TopicFactory
) -> None:
    names = [await topic(partitions=2) for _ in range(3)]
    for name in names[:2]:
        await asyncio.to_thread(_produce, stack, name, {1: [_TIME]})
    graphql = GraphQLOperations(gateway.graphql)
    found = await graphql.execute(_ALL, c=cluster)
    times = {entry["topicName"]: entry["lastProducedTime"] for entry in found["cluster"]["topics"]["nodes"]}
    assert [times[name] is None for name in names] == [False, False, True]
    await graphql.close()


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [("topic", errors.TopicNotFound), ("name", errors.InvalidTopicName), ("cluster", errors.ClusterNotFound)],
)
async def test_what_is_not_there(
    face_name: str, gateway: Gateway, cluster: str, wrong: str, kind: type[errors.FacadeError]
) -> None:
    face = FACES[face_name](gateway)
    of, name = "nope" if wrong == "cluster" else cluster, "a b" if wrong == "name" else "absent"
    with pytest.raises(FaceError) as caught:
        await _time(face_name, face, of, name)
    assert caught.value.codes in (face.codes(kind), face.codes(errors.NotFound))
    await face.close()


async def test_a_partition_without_a_leader(gateway_factory: GatewayFactory, three_brokers: BackgroundStack) -> None:
    """There is no answer then: the partition may have the largest timestamp."""
    gateway = await gateway_factory({"api.request.timeout.ms": "8000"}, on=three_brokers)
    name = f"away-{time.time_ns()}"
    admin = AdminClient({"bootstrap.servers": three_brokers.bootstrap_servers})
    created = admin.create_topics([NewTopic(name, num_partitions=2, replica_assignment=[[1], [2]])])
    await asyncio.to_thread(created[name].result, _SECONDS)
    await asyncio.to_thread(_produce, three_brokers, name, {0: [_TIME], 1: [_TIME]})
    await three_brokers.stop_broker(1)
    for face_name, make in FACES.items():
        face = make(gateway)
        with pytest.raises(FaceError) as caught:
            await _time(face_name, face, three_brokers.cluster_id, name)
        assert caught.value.codes[-1] == errors.RetriableKafkaError.codes.v3, (face_name, caught.value)
        await face.close()
    await three_brokers.heal()
    rest = FACES["rest"](gateway)
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                assert await _time("rest", rest, three_brokers.cluster_id, name) == _TIME
                break
            except FaceError:
                await asyncio.sleep(0.2)
    await rest.close()
    await asyncio.to_thread(admin.delete_topics([name])[name].result, _SECONDS)
