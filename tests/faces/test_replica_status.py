"""The status of replicas on three brokers, on each face."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.replica_status.model import (
    ListAllReplicaStatuses,
    ListPartitionReplicaStatuses,
    ListTopicReplicaStatuses,
)
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from reassigning import moving

GatewayFactory = Callable[..., Awaitable[Gateway]]

_LIST_ALL = "api.v3.topics.replica-statuses.list-all"
_LIST = "api.v3.topics.replica-statuses.list"
_OF_PARTITION = "api.v3.partitions.replica-statuses.list"
_ABSENT = (errors.TopicNotFound, errors.PartitionNotFound, errors.ClusterNotFound, errors.NotFound)
_SECONDS = 30
_RECORDS = 300


@pytest.fixture
async def topic(three_brokers: BackgroundStack) -> AsyncIterator[str]:
    """A topic of two partitions on all three brokers, led by brokers 1 and 2, with records in the first one."""
    name = f"replicas-{time.time_ns()}"
    admin = AdminClient({"bootstrap.servers": three_brokers.bootstrap_servers})
    created = admin.create_topics([NewTopic(name, num_partitions=2, replica_assignment=[[1, 2, 3], [2, 3, 1]])])
    await asyncio.to_thread(created[name].result, _SECONDS)
    await asyncio.to_thread(_produce, three_brokers, name)
    yield name
    await three_brokers.heal()
    await asyncio.to_thread(admin.delete_topics([name])[name].result, _SECONDS)


def _produce(stack: BackgroundStack, topic: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 5})
    for _ in range(_RECORDS):
        producer.produce(topic, b"x" * 10_000, partition=0)
    assert producer.flush(_SECONDS) == 0


def _ends(statuses: list[dict[str, Any]]) -> list[tuple[int, int, bool, bool, int, int]]:
    return [
        (
            status["partition_id"],
            status["broker_id"],
            status["is_leader"],
            status["is_caught_up"],
            int(status["log_start_offset"]),
            int(status["log_end_offset"]),
        )
        for status in statuses
    ]


async def test_all_replicas_have_what_the_leader_has(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: str
) -> None:
    gateway = await gateway_factory({}, on=three_brokers)
    cluster = three_brokers.cluster_id
    first = [(0, broker, broker == 1, True, 0, _RECORDS) for broker in (1, 2, 3)]
    second = [(1, broker, broker == 2, True, 0, 0) for broker in (1, 2, 3)]
    for make in FACES.values():
        face = make(gateway)
        began = time.time_ns() // 1_000_000
        found = await face.run(_LIST, ListTopicReplicaStatuses(cluster, topic))
        assert _ends(found) == first + second
        for status in found:
            assert status["is_in_isr"]
            assert status["is_isr_eligible"]
            assert not status["is_observer"]
            assert int(status["last_caught_up_time_ms"]) >= began
            fetched = int(status["last_fetch_time_ms"])
            assert (fetched >= began) if status["is_leader"] else (fetched == -1)
        one = await face.run(_OF_PARTITION, ListPartitionReplicaStatuses(cluster, topic, 1))
        assert _ends(one) == second
        everything = await face.run(_LIST_ALL, ListAllReplicaStatuses(cluster))
        assert _ends([status for status in everything if status["topic_name"] == topic]) == first + second
        await face.close()


async def test_a_topic_or_partition_that_is_not_there(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: str
) -> None:
    gateway = await gateway_factory({}, on=three_brokers)
    cluster = three_brokers.cluster_id
    for make in FACES.values():
        face = make(gateway)
        for identifier, request in (
            (_LIST, ListTopicReplicaStatuses(cluster, "absent")),
            (_OF_PARTITION, ListPartitionReplicaStatuses(cluster, topic, 7)),
            (_OF_PARTITION, ListPartitionReplicaStatuses(cluster, "absent", 0)),
            (_LIST_ALL, ListAllReplicaStatuses("nope")),
        ):
            with pytest.raises(FaceError) as caught:
                await face.run(identifier, request)
            assert caught.value.codes in [face.codes(kind) for kind in _ABSENT]
        await face.close()


async def test_a_broker_that_hangs_is_shown_as_unknown(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: str
) -> None:
    gateway = await gateway_factory({"api.request.timeout.ms": "12000"}, on=three_brokers)
    async with httpx.AsyncClient(base_url=f"{gateway.rest}/v3/clusters/{three_brokers.cluster_id}", timeout=30) as rest:
        path = f"/topics/{topic}/partitions/0/replica-status"
        seen = (await rest.get(path)).json()["data"][2]["last_caught_up_time_ms"]
        await three_brokers.pause_broker(2)
        began = time.monotonic()
        answer = await rest.get(path)
        assert time.monotonic() - began < 12
        assert answer.status_code == 200, answer.text
        *live, hung = answer.json()["data"]
        assert [status["log_end_offset"] for status in live] == [_RECORDS, _RECORDS]
        assert hung["broker_id"] == 3
        assert (hung["log_start_offset"], hung["log_end_offset"]) == (-1, -1)
        assert not hung["is_caught_up"]
        assert not hung["is_isr_eligible"]
        assert hung["last_caught_up_time_ms"] == seen


async def test_a_replica_that_is_behind(gateway_factory: GatewayFactory, three_brokers: BackgroundStack) -> None:
    """Partition 0 moves from broker 1 to others, throttled."""
    gateway = await gateway_factory({}, on=three_brokers)
    with ExitStack() as undo:
        found = await asyncio.to_thread(undo.enter_context, moving(three_brokers.bootstrap_servers))
        path = f"/v3/clusters/{three_brokers.cluster_id}/topics/{found.topic}/partitions/0/replica-status"
        async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as rest:
            statuses = (await rest.get(path)).json()["data"]
        leader, *adding = statuses
        assert [status["broker_id"] for status in statuses] == [1, 2, 3]
        assert leader["is_leader"]
        assert leader["is_caught_up"]
        for status in adding:
            assert not status["is_in_isr"]
            assert not status["is_caught_up"]
            assert 0 <= status["log_end_offset"] < leader["log_end_offset"]
            assert status["last_caught_up_time_ms"] == -1
        await asyncio.to_thread(undo.close)


async def test_the_shape_on_rest(gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: str) -> None:
    gateway = await gateway_factory({}, on=three_brokers)
    base = f"{gateway.rest}/v3/clusters/{three_brokers.cluster_id}"
    async with httpx.AsyncClient(timeout=30) as rest:
        answer = (await rest.get(f"{base}/topics/{topic}/partitions/-/replica-status")).json()
    assert answer["kind"] == "KafkaReplicaStatusList"
    assert answer["metadata"] == {"self": f"{base}/topics/{topic}/partitions/-/replica-status", "next": None}
    entry = answer["data"][0]
    assert entry.pop("last_caught_up_time_ms") == entry.pop("last_fetch_time_ms")
    assert entry == {
        "kind": "KafkaReplicaStatus",
        "metadata": {"self": f"{base}/topics/{topic}/partitions/0/brokers/1/replica-status"},
        "cluster_id": three_brokers.cluster_id,
        "topic_name": topic,
        "broker_id": 1,
        "partition_id": 0,
        "is_leader": True,
        "is_observer": False,
        "is_isr_eligible": True,
        "is_in_isr": True,
        "is_caught_up": True,
        "log_start_offset": 0,
        "log_end_offset": _RECORDS,
    }
