"""While Kafka does not respond, each face returns the documented error in time; calls succeed once it is back."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from faces.clients import Data, FaceClient, Produced
from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]

TIMEOUT_SECONDS = 3.0
RETRIABLE = (errors.KafkaTimeout, errors.RetriableKafkaError, errors.LeaderNotAvailable)


async def _fails_in_time(face: FaceClient, operation: Awaitable[Any]) -> None:
    started = time.monotonic()
    with pytest.raises(FaceError) as caught:
        await operation
    assert time.monotonic() - started < TIMEOUT_SECONDS + 3
    expected = {face.codes(kind) for kind in RETRIABLE} | {(None, *face.codes(kind)[1:]) for kind in RETRIABLE}
    assert caught.value.codes in expected, caught.value.message


async def _eventually(operation: Callable[[], Awaitable[Any]]) -> Any:
    """Retry until Kafka has recovered, since a new leader must be elected first."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return await operation()
        except FaceError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


async def test_kafka_that_stops_and_returns(
    face_name: str, three_brokers: BackgroundStack, gateway_factory: GatewayFactory
) -> None:
    settings = {"api.request.timeout.ms": str(int(TIMEOUT_SECONDS * 1000))}
    gateway = await gateway_factory(settings, on=three_brokers)
    face = FACES[face_name](gateway)
    cluster, name = three_brokers.cluster_id, f"broken-{uuid.uuid4().hex[:12]}"
    try:
        await _eventually(lambda: face.create_topic(cluster, name, partitions_count=1, replication_factor=3))
        await face.produce(cluster, name, Produced(Data("JSON", 1)))
        for broker in range(3):
            await three_brokers.pause_broker(broker)
        await _fails_in_time(face, face.topics(cluster))
        await _fails_in_time(face, face.topic(cluster, name))
        await _fails_in_time(face, face.configs(cluster, name))
        await _fails_in_time(face, face.create_topic(cluster, name + "-2"))
        await _fails_in_time(face, face.produce(cluster, name, Produced(Data("JSON", 2))))
        for broker in range(3):
            await three_brokers.resume_broker(broker)
        assert name in await _eventually(lambda: face.topics(cluster))
        partition, offset = await _eventually(lambda: face.produce(cluster, name, Produced(Data("JSON", 3))))
        assert (partition, offset > 0) == (0, True)
    finally:
        await face.close()


async def test_a_killed_leader_is_replaced(
    face_name: str, three_brokers: BackgroundStack, gateway_factory: GatewayFactory
) -> None:
    gateway = await gateway_factory({}, on=three_brokers)
    face = FACES[face_name](gateway)
    cluster, name = three_brokers.cluster_id, f"leader-{uuid.uuid4().hex[:12]}"
    try:
        await _eventually(lambda: face.create_topic(cluster, name, partitions_count=1, replication_factor=3))
        await face.produce(cluster, name, Produced(Data("JSON", 0)))
        _, leader = await face.partition(cluster, name, 0)
        await three_brokers.kill_broker(leader - 1)
        # The producer retries by itself until there is a new leader: no error reaches the caller.
        offsets = [(await face.produce(cluster, name, Produced(Data("JSON", n))))[1] for n in range(1, 5)]
        assert offsets == [1, 2, 3, 4]
        assert (await _eventually(lambda: face.partition(cluster, name, 0)))[1] != leader
    finally:
        await face.close()
