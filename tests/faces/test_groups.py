"""Consumer groups on each face: members in other processes with both protocols, and groups without members."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from faces.clients import FaceClient, Lag, LagSummary, Reader
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.errors import FacadeError
from kafka_facade_devstack.background import BackgroundStack

Factory = Callable[..., Awaitable[Any]]

_NOBODY = Reader("", None, "")


def _name() -> str:
    return f"faces-{uuid.uuid4().hex[:12]}"


async def _fails(face: FaceClient, kind: type[FacadeError], operation: Awaitable[Any]) -> None:
    with pytest.raises(FaceError) as caught:
        await operation
    assert caught.value.codes == face.codes(kind), caught.value.message
    assert "Traceback" not in caught.value.message


async def _write(stack: BackgroundStack, topic: str, counts: dict[int, int]) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for partition, count in counts.items():
        for _ in range(count):
            producer.produce(topic, b"x", partition=partition)
    assert await asyncio.to_thread(producer.flush, 20) == 0


@pytest.mark.parametrize(("protocol", "assignor"), [("classic", "range"), ("consumer", "uniform")])
async def test_a_group_and_what_is_left_of_it(
    face: FaceClient,
    cluster: str,
    stack: BackgroundStack,
    topic: Factory,
    member: Factory,
    protocol: str,
    assignor: str,
) -> None:
    name, group = await topic(partitions=2), _name()
    await _write(stack, name, {0: 5})
    settings = {"group.protocol": protocol, "group.instance.id": "i-1", "client.id": "reader"}
    if protocol == "classic":
        del settings["group.instance.id"]
    joined = await member(group, name, read=5, partitions=2, settings=settings)
    await _write(stack, name, {0: 3})

    assert (await face.consumer_groups(cluster))[group] == "STABLE"
    described = {"is_simple": False, "type": protocol.upper(), "is_mixed_consumer_group": False, "coordinator_id": 1}
    assert await face.consumer_group(cluster, group) == described | {"partition_assignor": assignor, "state": "STABLE"}
    [reader] = await face.consumers(cluster, group)
    assert reader[1:] == (settings.get("group.instance.id"), "reader")
    assert await face.consumer(cluster, group, reader.consumer_id) == reader
    assert await face.consumer_assignments(cluster, group, reader.consumer_id) == [(name, 0), (name, 1)]
    assert await face.consumer_assignment(cluster, group, reader.consumer_id, name, 1) == (name, 1)
    lag = Lag(name, 0, reader, 5, 8, 3)
    assert await face.lags(cluster, group) == [lag]
    assert await face.lag(cluster, group, name, 0) == lag
    assert await face.lag_summary(cluster, group) == LagSummary(name, 0, reader, 3, 3)
    await _fails(face, errors.NotFound, face.consumer(cluster, group, "nope"))
    await _fails(face, errors.NotFound, face.consumer_assignments(cluster, group, "nope"))
    await _fails(face, errors.NotFound, face.consumer_assignment(cluster, group, reader.consumer_id, name, 7))
    # No commit there yet.
    await _fails(face, errors.NotFound, face.lag(cluster, group, name, 1))

    if protocol == "consumer":
        # A static member is waited for: its place is kept.
        return
    await joined.leave()
    assert await face.consumer_group(cluster, group) == described | {"partition_assignor": "", "state": "EMPTY"}
    assert await face.consumers(cluster, group) == []
    assert await face.lags(cluster, group) == [lag._replace(reader=_NOBODY)]
    assert await face.lag_summary(cluster, group) == LagSummary(name, 0, _NOBODY, 3, 3)


async def test_a_consumer_instance_of_the_gateway_is_a_member(face: FaceClient, cluster: str, topic: Factory) -> None:
    name, group = await topic(), _name()
    await face.create_consumer(group, "one", format="JSON", auto_offset_reset="earliest", auto_commit="false")
    await face.subscribe(group, "one", [name])
    async with asyncio.timeout(20):
        while (await face.consumer_groups(cluster)).get(group) != "STABLE":
            await face.fetch(group, "one", "JSON", 100)
    [reader] = await face.consumers(cluster, group)
    assert await face.consumer_assignments(cluster, group, reader.consumer_id) == [(name, 0)]
    await face.commit(group, "one", [(name, 0, 3)])
    # A group may be ahead of the end, and is never less than nothing behind.
    assert await face.lags(cluster, group) == [Lag(name, 0, reader, 4, 0, 0)]
    await face.delete_consumer(group, "one")
    assert (await face.consumer_group(cluster, group))["state"] == "EMPTY"


async def test_what_does_not_exist(face: FaceClient, cluster: str) -> None:
    for group in (_name(), "ünknown group", "a/b"):
        await _fails(face, errors.ConsumerGroupNotFound, face.consumer_group(cluster, group))
        await _fails(face, errors.ConsumerGroupNotFound, face.consumers(cluster, group))
        await _fails(face, errors.ConsumerGroupNotFound, face.consumer(cluster, group, "x"))
        await _fails(face, errors.ConsumerGroupNotFound, face.consumer_assignments(cluster, group, "x"))
        await _fails(face, errors.ConsumerGroupNotFound, face.consumer_assignment(cluster, group, "x", "t", 0))
        await _fails(face, errors.ConsumerGroupNotFound, face.lag_summary(cluster, group))
        await _fails(face, errors.ConsumerGroupNotFound, face.lags(cluster, group))
        await _fails(face, errors.ConsumerGroupNotFound, face.lag(cluster, group, "t", 0))
    await _fails(face, errors.ConsumerGroupNotFound, face.consumer_group(cluster, "with\0nothing"))
    await _fails(face, errors.ConsumerGroupNotFound, face.consumer_group(cluster, "x" * 3000))
