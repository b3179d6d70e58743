"""The balancer's status, new brokers, uneven load, brokers that are gone, and tasks that give way to others."""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest

from balancer.conftest import PlacedTopic
from balancer.removing import Cluster, NewCluster, fill, hold
from balancer.waiting import until
from balancer.watchers import WATCHES, Seen, Watch
from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.balancer.model import GetAnyUnevenLoad, GetBalancerStatus
from kafka_facade.core.balancer.planning.goals import Goals
from kafka_facade.core.balancer.planning.planner import plan
from kafka_facade.core.balancer.snapshots import look, take_snapshot
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade_devstack.background import BackgroundStack
from machine_speed import slowness

STATUS = "api.v3.balancer.get"
LOAD = "api.v3.balancer.any-uneven-load.get"
_SECONDS = 20
_OFTEN = {"balancer.interval.ms": "1000"}
_ANY = {"confluent.balancer.heal.uneven.load.trigger": "ANY_UNEVEN_LOAD"}


async def _is_even(kafka: KafkaPorts) -> bool:
    """Whether the planner has nothing to do."""
    seen = await look(kafka, _SECONDS)
    snapshot = await take_snapshot(kafka, seen, leaving=(), excluded=(), offline_since_ms={}, timeout=_SECONDS)
    return plan(snapshot, Goals(max_disk_load=1.0)).is_empty


async def _empty_broker_4(cluster: Cluster, held: KafkaPorts | None = None) -> None:
    """Move the replicas of broker 4 away, and let it get replicas again; with ``held`` these hardly move."""
    await cluster.remove(4, should_shutdown=False)
    await cluster.until_steps(4, "SUCCESS", "EXCLUDED", "COMPLETED", "CANCELED")
    if held is not None:
        await hold(held, "1")
    body = {"data": [{"broker_id": 4, "reason": ""}]}
    assert (await cluster.http.post("/broker-replica-exclusions:delete", json=body)).status_code == 200


async def _until_task(cluster: Cluster, status: str) -> None:
    """Wait until broker 4 has a task that adds it, with a status."""

    async def has_it() -> bool:
        answer = await cluster.http.get("/brokers/4/tasks/add-broker")
        return answer.status_code == 200 and answer.json()["task_status"] == status

    await until(has_it, 120)


async def _cost(cluster: Cluster, seconds: float = 4) -> float:
    """How much of a processor a gateway uses."""

    def used() -> float:
        found = 0.0
        for process in [root, *root.children(recursive=True)]:
            times = process.cpu_times()
            found += times.user + times.system
        return found

    root = psutil.Process(cluster.gateway.child.pid)
    before, began = used(), time.monotonic()
    await asyncio.sleep(seconds)
    return (used() - before) / (time.monotonic() - began)


async def _watched(watch: Watch, cluster: Cluster) -> list[Seen]:
    """What a caller gets of the task that adds broker 4, until its end."""
    async with asyncio.timeout(240):
        return [seen async for seen in watch(cluster.gateway, 4, "add-broker")]


@pytest.mark.parametrize("face_name", FACES)
async def test_the_status_on_each_face(new_cluster: NewCluster, four_brokers: BackgroundStack, face_name: str) -> None:
    face = FACES[face_name]((await new_cluster()).gateway)
    cluster = four_brokers.cluster_id

    async def is_enabled() -> bool:
        return bool((await face.run(STATUS, GetBalancerStatus(cluster)))["status"] == "ENABLED")

    try:
        assert (await face.run(STATUS, GetBalancerStatus(cluster)))["status"] in ("STARTING", "ENABLED")
        await until(is_enabled)
        load = await face.run(LOAD, GetAnyUnevenLoad(cluster))
        # Load is evened only when a broker is empty.
        assert (load["status"], load["previous_status"]) == ("DISABLED", "UNKNOWN")
        with pytest.raises(FaceError) as caught:
            await face.run(STATUS, GetBalancerStatus("no-such"))
        assert caught.value.codes[-1] == 404
    finally:
        await face.close()


@pytest.mark.parametrize("face_name", FACES)
async def test_the_status_without_a_balancer(
    new_cluster: NewCluster, four_brokers: BackgroundStack, face_name: str
) -> None:
    face = FACES[face_name]((await new_cluster(**{"confluent.balancer.enable": "false"})).gateway)
    cluster = four_brokers.cluster_id
    try:
        assert (await face.run(STATUS, GetBalancerStatus(cluster)))["status"] == "DISABLED"
        with pytest.raises(FaceError) as caught:
            await face.run(LOAD, GetAnyUnevenLoad(cluster))
        assert caught.value.codes == face.codes(errors.BalancerOffline)
    finally:
        await face.close()


async def test_a_new_broker_gets_replicas(new_cluster: NewCluster, kafka: KafkaPorts, placed: PlacedTopic) -> None:
    topic = await placed([[1, 2], [2, 3], [3, 1], [1, 3], [2, 1], [3, 2]])
    cluster = await new_cluster(**_OFTEN)
    await _empty_broker_4(cluster)
    await _until_task(cluster, "SUCCESS")
    for watch in WATCHES.values():
        [end] = await _watched(watch, cluster)
        assert (end.broker_id, end.status, end.reassignment) == (4, "SUCCESS", "COMPLETED")
        assert end.partitions_moved == end.partitions_total >= 1
        assert end.bytes_moved == end.bytes_total
    task = await cluster.task(4, "add-broker")
    assert task["sub_task_statuses"] == {"partition_reassignment_status": "COMPLETED"}
    assert "shutdown_scheduled" not in task
    assert any(4 in brokers for brokers in (await cluster.replicas(topic)).values())
    assert await cluster.throttles(topic) == {}
    await until(lambda: _is_even(kafka))


async def test_uneven_load_is_evened(new_cluster: NewCluster, kafka: KafkaPorts, placed: PlacedTopic) -> None:
    topic = await placed([[1, 2]] * 12)
    cluster = await new_cluster(**_OFTEN, **_ANY)
    seen: list[str] = []

    async def is_balanced() -> bool:
        answer = await cluster.http.get("/balancer/any-uneven-load")
        if answer.status_code != 200:
            return False
        load = answer.json()
        seen.append(load["status"])
        return (load["status"], load["previous_status"]) == ("BALANCED", "BALANCING")

    try:
        await until(is_balanced, 240)
    except TimeoutError:
        answer = await cluster.http.get("/balancer/any-uneven-load")
        raise AssertionError(f"{answer.text} after {seen[:40]}") from None
    found = await cluster.replicas(topic)
    assert {broker for brokers in found.values() for broker in brokers} == {1, 2, 3, 4}
    assert await cluster.throttles(topic) == {}
    await until(lambda: _is_even(kafka))


async def test_a_removal_overrides_the_addition_of_a_broker(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[1, 2]] * 8)
    await fill(four_brokers, topic, 8, 3000)
    cluster = await new_cluster(**_OFTEN)
    await _empty_broker_4(cluster, kafka)
    await _until_task(cluster, "IN_PROGRESS")
    watching = [asyncio.create_task(_watched(watch, cluster)) for watch in WATCHES.values()]

    async def moves() -> bool:
        return bool(await kafka.reassignments.list_reassignments(_SECONDS))

    await until(moves)
    await cluster.remove(3, should_shutdown=False)
    await _until_task(cluster, "FAILED")
    for found in await asyncio.gather(*watching):
        assert (found[0].broker_id, found[0].status, found[0].reassignment) == (4, "IN_PROGRESS", "IN_PROGRESS")
        assert max(seen.partitions_total for seen in found) >= 1
        assert (found[-1].status, found[-1].reassignment) == ("FAILED", "CANCELED")
        assert found[-1].message == "The balancer operation was overridden by a higher priority operation."
    task = await cluster.task(4, "add-broker")
    assert task["error_code"] == 10013
    assert task["sub_task_statuses"] == {"partition_reassignment_status": "CANCELED"}
    await hold(kafka, None)
    await cluster.until_steps(3, "SUCCESS", "EXCLUDED", "COMPLETED", "CANCELED")
    assert await cluster.throttles(topic) == {}


@pytest.mark.serial
async def test_the_cost_of_an_idle_balancer(new_cluster: NewCluster) -> None:
    """Below 1 % of a processor, beyond what a gateway without one costs."""
    plain = await new_cluster(**{"confluent.balancer.enable": "false"})
    cluster = await new_cluster()
    await cluster.until_leading()
    await asyncio.sleep(5)
    costs = [[await _cost(each) for each in (plain, cluster)] for _ in range(3)]
    without, with_one = (min(found) for found in zip(*costs, strict=True))
    assert with_one - without < 0.01 * slowness()


async def test_replicas_of_a_broker_that_is_gone_are_created_elsewhere(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1], [2, 4], [3, 4]])
    cluster = await new_cluster(**_OFTEN, **{"confluent.balancer.heal.broker.failure.threshold.ms": "2000"})
    await cluster.until_leading()
    await four_brokers.kill_broker(3)

    async def is_healed() -> bool:
        return all(4 not in brokers for brokers in (await cluster.replicas(topic)).values())

    await until(is_healed, 120)
    found = await cluster.replicas(topic)
    assert all(len(brokers) == 2 for brokers in found.values())
