"""Callers watch the tasks of brokers."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from itertools import pairwise

import grpc
import pytest
from websockets.exceptions import ConnectionClosed

from balancer.conftest import PlacedTopic
from balancer.removing import NewCluster, fill, hold
from balancer.watchers import WATCHES, Seen, Watch, over_grpc
from faces.generic import FaceError
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.rpc.gen.v1 import broker_task_pb2, broker_task_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

_SECONDS = 240
_SLOW = {"confluent.balancer.throttle.bytes.per.second": "1000000"}
_KILOBYTES = 4000
_NAMES = pytest.mark.parametrize("name", WATCHES)


async def _all(watch: Watch, gateway: Gateway, broker_id: int = 4, task_type: str = "remove-broker") -> list[Seen]:
    """What a caller gets until the end."""
    async with asyncio.timeout(_SECONDS):
        return [seen async for seen in watch(gateway, broker_id, task_type)]


async def test_a_removal_from_its_start_to_its_end(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1], [2, 4], [4, 3], [1, 4]])
    await fill(four_brokers, topic, 4, _KILOBYTES)
    # Few at a time, so that there is something to see.
    cluster = await new_cluster(**_SLOW, **{"balancer.concurrent.moves": "1"})
    other = await new_cluster(**_SLOW, **{"balancer.concurrent.moves": "1"})
    await cluster.remove(4, should_shutdown=False)
    watching = [_all(watch, each.gateway) for watch in WATCHES.values() for each in (cluster, other)]
    ends = set()
    for found in await asyncio.gather(*watching):
        assert {seen.broker_id for seen in found} == {4}
        assert [seen.status for seen in found[:-1]] == ["IN_PROGRESS"] * (len(found) - 1)
        assert all(before != after for before, after in pairwise(found))
        moved = [seen.partitions_moved for seen in found]
        assert moved == sorted(moved)
        # Some are seen while partitions move, with the rate at which they do.
        going = [seen for seen in found if 0 < seen.partitions_moved < seen.partitions_total]
        assert {seen.reassignment for seen in going} == {"IN_PROGRESS"}
        assert max(seen.bytes_per_second or 0 for seen in going) > 10_000
        end = found[-1]
        ends.add(end)
        assert (end.status, end.reassignment, end.message) == ("SUCCESS", "COMPLETED", None)
        assert end.partitions_moved == end.partitions_total >= 4
        assert end.bytes_moved == end.bytes_total >= 4 * _KILOBYTES * 1000
        assert end.bytes_per_second is None
    assert len(ends) == 1
    # One that comes later gets the same end.
    for watch in WATCHES.values():
        assert await _all(watch, cluster.gateway) == [*ends]


async def test_what_has_been_copied_of_a_large_partition(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic, kafka: KafkaPorts
) -> None:
    topic = await placed([[4, 1]])
    await fill(four_brokers, topic, 1, 12_000)
    cluster = await new_cluster(**_SLOW)
    await cluster.remove(4, should_shutdown=False)
    for found in await asyncio.gather(*(_all(watch, cluster.gateway) for watch in WATCHES.values())):
        moved = [seen.bytes_moved for seen in found]
        assert moved == sorted(moved)
        # Besides the other partitions of the broker, which have few bytes.
        copied = {size for size in moved if 2_000_000 < size < 12_000_000}
        assert len(copied) > 1
        assert found[-1].bytes_moved == found[-1].bytes_total > 12_000_000


async def test_a_task_that_waits_for_the_broker_to_be_stopped(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    await placed([[4, 1]])
    cluster = await new_cluster()
    await cluster.remove(4)
    async with asyncio.timeout(_SECONDS), aclosing(over_grpc(cluster.gateway, 4, "remove-broker")) as watching:
        async for seen in watching:
            if seen.reassignment == "COMPLETED":
                break
        assert (seen.status, seen.message) == ("IN_PROGRESS", "The replicas have moved. Stop broker 4 now.")
        assert seen.partitions_moved == seen.partitions_total >= 1
        await four_brokers.stop_broker(3)
        assert [(seen.status, seen.message) async for seen in watching] == [("SUCCESS", None)]


async def test_a_task_that_fails(new_cluster: NewCluster, placed: PlacedTopic) -> None:
    topic = await placed([[4, 1]])
    cluster = await new_cluster(**{"confluent.balancer.exclude.topic.names": topic})
    await cluster.remove(4)
    for watch in WATCHES.values():
        end = (await _all(watch, cluster.gateway))[-1]
        assert (end.status, end.reassignment) == ("FAILED", "ERROR")
        assert topic in (end.message or "")


@_NAMES
async def test_a_task_that_is_not_there(new_cluster: NewCluster, name: str) -> None:
    gateway = (await new_cluster()).gateway
    for broker_id, task_type, message in (
        (4, "remove-broker", "Broker 4 has no task remove-broker."),
        (2**31 - 1, "add-broker", f"Broker {2**31 - 1} has no task add-broker."),
        (-1, "add-broker", "Broker -1 has no task add-broker."),
    ):
        with pytest.raises(FaceError, match=message) as caught:
            await _all(WATCHES[name], gateway, broker_id, task_type)
        assert "NOT_FOUND" in caught.value.codes


async def test_a_type_that_is_none(new_cluster: NewCluster) -> None:
    gateway = (await new_cluster()).gateway
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub = broker_task_pb2_grpc.BrokerTaskServiceStub(channel)
        for number, message in ((0, "task_type is required."), (9, "task_type has a value that this version")):
            request = broker_task_pb2.WatchBrokerTaskRequest(broker_id=4)
            request.MergeFromString(bytes([3 << 3, number]))
            with pytest.raises(grpc.aio.AioRpcError, match=message) as caught:
                async for _ in stub.WatchBrokerTask(request):
                    pass
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@_NAMES
async def test_callers_that_leave(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic, kafka: KafkaPorts, name: str
) -> None:
    topic = await placed([[4, 1]])
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster()
    gateway = cluster.gateway
    await cluster.remove(4)

    async def leave() -> None:
        async with asyncio.timeout(_SECONDS), aclosing(WATCHES[name](gateway, 4, "remove-broker")) as watching:
            await anext(watching)

    await asyncio.gather(*(leave() for _ in range(20)))
    await asyncio.sleep(2)
    assert "Traceback" not in gateway.child.log.read_text()
    # Nothing is left of them for which the gateway would wait; one that is there still is told.
    watching = WATCHES[name](gateway, 4, "remove-broker")
    await anext(watching)
    began = time.monotonic()
    stopping = asyncio.create_task(four_brokers.stop_gateway(gateway))
    # The server closes websockets itself.
    with pytest.raises((FaceError, ConnectionClosed), match=r"shutting down|service restart"):
        async for _ in watching:
            pass
    await stopping
    assert time.monotonic() - began < 10


async def test_a_deadline_ends_the_stream(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic, kafka: KafkaPorts
) -> None:
    topic = await placed([[4, 1]])
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster(**{"api.request.timeout.ms": "3000"})
    await cluster.remove(4)
    request = broker_task_pb2.WatchBrokerTaskRequest(
        broker_id=4, task_type=broker_task_pb2.BROKER_TASK_TYPE_REMOVE_BROKER
    )
    async with grpc.aio.insecure_channel(cluster.gateway.grpc) as channel:
        stub = broker_task_pb2_grpc.BrokerTaskServiceStub(channel)
        began = time.monotonic()
        # The timeout of requests bounds only the start.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.WatchBrokerTask(request, timeout=6):
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began > 5
