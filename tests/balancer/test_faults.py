"""Removals while leaders are killed or paused, brokers hang, and others get in between."""

from __future__ import annotations

import asyncio
import signal

import pytest
from confluent_kafka.admin import AclOperation, AdminClient

from balancer.conftest import PlacedTopic
from balancer.removing import Cluster, NewCluster, fill, hold, until_moving
from balancer.waiting import until
from denial import CLUSTER, allowed, denied
from kafka_facade.core.configs.model import ConfigAlteration
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 20
# Throttles let 1 MiB of each partition pass before they hold.
_KILOBYTES = 4000
_SLOW = {"confluent.balancer.throttle.bytes.per.second": "1000000"}
_IMPATIENT = {"balancer.stall.timeout.ms": "3000"}
_MOVED = ("IN_PROGRESS", "EXCLUDED", "COMPLETED", "PENDING")
_FAILED = ("FAILED", "EXCLUDED", "ERROR", "CANCELED")


async def _until_none_moves(kafka: KafkaPorts) -> None:
    async def is_still() -> bool:
        return not await kafka.reassignments.list_reassignments(_SECONDS)

    await until(is_still)


async def _two(new_cluster: NewCluster) -> tuple[Cluster, Cluster]:
    """A gateway that leads, and another one."""
    leader = await new_cluster(**_SLOW)
    await leader.until_leading()
    return leader, await new_cluster(**_SLOW)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_leader_fails_before_the_broker_is_excluded(
    new_cluster: NewCluster, placed: PlacedTopic, sent: signal.Signals
) -> None:
    topic = await placed([[4, 1], [2, 4]])
    leader, other = await _two(new_cluster)
    await other.remove(4)
    leader.gateway.child.send(sent)
    await other.until_steps(4, *_MOVED)
    assert all(4 not in brokers for brokers in (await other.replicas(topic)).values())
    leader.gateway.child.send(signal.SIGCONT)


async def test_the_leader_is_paused_while_replicas_move(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """Another one leads; what the first one still believes changes nothing once it runs again."""
    topic = await placed([[4, 1], [4, 2], [4, 3]])
    await fill(four_brokers, topic, 3, _KILOBYTES)
    await hold(kafka, "1")
    leader, other = await _two(new_cluster)
    own = await other.throttles(topic)
    await other.remove(4)
    await until_moving(kafka, topic, 3)
    leader.gateway.child.send(signal.SIGSTOP)
    await other.until_leading()
    leader.gateway.child.send(signal.SIGCONT)
    await asyncio.sleep(2)
    assert (await other.throttles(topic)).items() >= own.items()
    await until_moving(kafka, topic, 3)
    await hold(kafka, None)
    await other.until_steps(4, *_MOVED)
    assert all(4 not in brokers for brokers in (await other.replicas(topic)).values())
    assert await other.throttles(topic) == {}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_leader_fails_while_the_broker_is_to_be_stopped(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic, sent: signal.Signals
) -> None:
    await placed([[4, 1]])
    leader, other = await _two(new_cluster)
    await other.remove(4)
    await other.until_steps(4, *_MOVED)
    leader.gateway.child.send(sent)
    await four_brokers.stop_broker(3)
    await other.until_steps(4, "SUCCESS", "COMPLETED", "COMPLETED", "COMPLETED")
    leader.gateway.child.send(signal.SIGCONT)


@pytest.mark.parametrize("index", [0, 3])
async def test_a_broker_hangs_while_replicas_move(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic, index: int
) -> None:
    """One that keeps its replicas, and the one that is to be removed; the removal waits until it is back."""
    topic = await placed([[4, 1], [4, 2], [4, 3]])
    await fill(four_brokers, topic, 3, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster(**_SLOW)
    await cluster.remove(4)
    await until_moving(kafka, topic, 3)
    await four_brokers.pause_broker(index)
    await asyncio.sleep(15)
    assert (await cluster.steps(4))[0] == "IN_PROGRESS"
    await four_brokers.resume_broker(index)

    async def is_removed() -> bool:
        # Configs cannot be altered at once.
        await hold(kafka, None)
        return True

    await until(is_removed)
    await cluster.until_steps(4, *_MOVED, seconds=240)
    assert all(4 not in brokers for brokers in (await cluster.replicas(topic)).values())


async def test_a_move_that_makes_no_progress_fails(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1]])
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster(**_IMPATIENT)
    await cluster.remove(4)
    await cluster.until_steps(4, *_FAILED)
    task = await cluster.task(4)
    assert task["error_code"] == 10054
    # Kafka's own topics move, too.
    assert " makes no progress: the partition is written faster than the throttle" in task["error_message"]
    await _until_none_moves(kafka)

    async def is_as_before() -> bool:
        return await cluster.replicas(topic) == {0: [4, 1]}

    await until(is_as_before)


async def test_the_gateway_loses_the_right_to_look(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """The removal fails instead of waiting for ever; its moves are cancelled when the gateway may look again."""
    topic = await placed([[4, 1]])
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster(**_SLOW)
    await cluster.remove(4)
    await until_moving(kafka, topic, 1)
    async with denied(four_brokers, (*CLUSTER, AclOperation.DESCRIBE)):
        # Five looks in a row.
        await asyncio.sleep(45)
    # Not all brokers learn of it at once.
    await asyncio.sleep(2)
    await cluster.until_steps(4, *_FAILED, seconds=5)
    assert (await cluster.task(4))["error_code"] == 10052
    await _until_none_moves(kafka)
    assert await cluster.replicas(topic) == {0: [4, 1]}


async def test_the_gateway_loses_the_right_to_move(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """The removal fails in the middle; what has moved stays, and nothing else moves."""
    topic = await placed([[4, 1], [4, 2]])
    await fill(four_brokers, topic, 2, _KILOBYTES)
    # Kafka's own partitions, which are small, come first and are not held.
    await hold(kafka, "200000")
    cluster = await new_cluster(**_SLOW, **{"balancer.concurrent.moves": "1"})
    await cluster.remove(4)
    await until_moving(kafka, topic, 1)
    rights = (
        AclOperation.DESCRIBE,
        AclOperation.DESCRIBE_CONFIGS,
        AclOperation.ALTER_CONFIGS,
        AclOperation.CREATE,
        AclOperation.IDEMPOTENT_WRITE,
    )
    async with allowed(four_brokers, *((*CLUSTER, right) for right in rights), principal="User:ANONYMOUS"):
        # Not all brokers learn of it at once.
        await asyncio.sleep(1)
        await hold(kafka, None)
        await cluster.until_steps(4, *_FAILED)
    assert (await cluster.task(4))["error_code"] == 10052
    await _until_none_moves(kafka)
    assert [4 in brokers for brokers in (await cluster.replicas(topic)).values()].count(True) == 1


async def test_the_broker_to_remove_is_lost_while_replicas_move(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """The other replicas are copied instead, and the removal succeeds: the broker need not be stopped any more."""
    topic = await placed([[4, 1], [4, 2], [4, 3]])
    await fill(four_brokers, topic, 3, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster(**_SLOW)
    await cluster.remove(4)
    await until_moving(kafka, topic, 3)
    await four_brokers.kill_broker(3)
    await hold(kafka, None, brokers=(1, 2, 3))
    await cluster.until_steps(4, "SUCCESS", "COMPLETED", "COMPLETED", "COMPLETED")
    found = (await cluster.replicas(topic)).values()
    assert all(len(brokers) == 2 and 4 not in brokers for brokers in found)


async def _after(clusters: list[Cluster], event: str, count: int = 1) -> Cluster:
    """Return the gateway that has done something, as soon as it says so in its audit log."""
    found: list[Cluster] = []

    async def is_done() -> bool:
        found[:] = [
            cluster for cluster in clusters if [line["event"] for line in await cluster.audited()].count(event) >= count
        ]
        return bool(found)

    await until(is_done)
    return found[0]


async def test_leaders_are_killed_while_they_plan_and_throttle_and_cancel(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """Each takes up what the one before it has begun; the last one leaves all as it was."""
    topic = await placed([[4, 1], [4, 2]])
    await fill(four_brokers, topic, 2, _KILOBYTES)
    await hold(kafka, "1")
    clusters = [await new_cluster(**_SLOW) for _ in range(4)]
    before, own = await clusters[0].replicas(topic), await clusters[0].throttles(topic)
    await clusters[0].remove(4)
    for event in ("broker-excluded", "plan-made"):
        leader = await _after(clusters, event)
        leader.gateway.child.send(signal.SIGKILL)
        clusters.remove(leader)
    leader = await _after(clusters, "moves-begun")
    await until_moving(kafka, topic, 2)
    clusters.remove(leader)
    [last] = clusters
    body = {"data": [{"broker_id": 4, "reason": "It stays."}]}
    deleting = asyncio.create_task(last.http.post("/broker-replica-exclusions:delete", json=body))
    await _after([leader], "exclusion-deleted")
    leader.gateway.child.send(signal.SIGKILL)
    # The next leader makes the change again if the first one could not answer any more.
    assert (await deleting).status_code == 200
    await last.until_steps(4, "FAILED", "CANCELED", "CANCELED", "CANCELED")
    assert await last.throttles(topic) == own
    await hold(kafka, None)

    async def is_as_before() -> bool:
        return await last.replicas(topic) == before

    await until(is_as_before)
    assert await kafka.reassignments.list_reassignments(_SECONDS) == []


async def test_another_tool_moves_partitions_for_too_long(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """The removal fails, and leaves the other move alone."""
    throttled = {f"{role}.replication.throttled.replicas": "*" for role in ("leader", "follower")}
    topic, other = await placed([[4, 1]]), await placed([[1, 2]], throttled)
    await fill(four_brokers, other, 1, _KILOBYTES)
    for broker_id in (1, 2, 3, 4):
        changes = [ConfigAlteration(f"{role}.replication.throttled.rate", "1") for role in ("leader", "follower")]
        await kafka.configs.alter_broker_configs(broker_id, changes, False, _SECONDS)
    cluster = await new_cluster(**_IMPATIENT)
    assert await kafka.reassignments.reassign({(other, 0): [1, 3]}, _SECONDS) == {}
    await cluster.remove(4)
    await cluster.until_steps(4, *_FAILED)
    task = await cluster.task(4)
    assert (task["error_code"], task["error_message"]) == (10051, "Other reassignments go on for too long.")
    assert await cluster.replicas(topic) == {0: [4, 1]}
    assert [entry.topic for entry in await kafka.reassignments.list_reassignments(_SECONDS)] == [other]
    assert await kafka.reassignments.reassign({(other, 0): None}, _SECONDS) == {}


async def test_partitions_are_under_replicated_for_too_long(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1], [4, 3]])
    cluster = await new_cluster(**_IMPATIENT)
    await cluster.get("/brokers/-/tasks")
    await four_brokers.kill_broker(2)

    async def is_seen() -> bool:
        return 3 not in (await kafka.placement.placement(_SECONDS)).partitions[topic, 1].in_sync

    await until(is_seen)
    await cluster.remove(4)
    await cluster.until_steps(4, *_FAILED)
    assert (await cluster.task(4))["error_code"] == 10050


async def test_a_broker_that_is_not_stopped(new_cluster: NewCluster, placed: PlacedTopic) -> None:
    await placed([[4, 1]])
    cluster = await new_cluster(**{"balancer.shutdown.timeout.ms": "1000"})
    await cluster.remove(4)
    await cluster.until_steps(4, "FAILED", "EXCLUDED", "COMPLETED", "ERROR")
    task = await cluster.task(4)
    assert (task["error_code"], task["error_message"]) == (10053, "Broker 4 was not stopped in time.")


async def test_the_state_topic_is_deleted_while_replicas_move(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """The task is forgotten; what Kafka has begun goes on, and the broker can be removed anew."""
    topic = await placed([[4, 1], [4, 2]])
    await fill(four_brokers, topic, 2, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster()
    await cluster.remove(4)
    await until_moving(kafka, topic, 2)
    names = [entry["topic_name"] for entry in (await cluster.get("/topics"))["data"]]
    [state] = [name for name in names if name.startswith("state-")]
    admin = AdminClient({"bootstrap.servers": four_brokers.bootstrap_servers})
    await asyncio.wrap_future(admin.delete_topics([state])[state])

    async def is_forgotten() -> bool:
        return (await cluster.http.get("/brokers/4/tasks/remove-broker")).status_code == 404

    await until(is_forgotten)
    await hold(kafka, None)
    await cluster.remove(4)
    await cluster.until_steps(4, *_MOVED)
    assert all(4 not in brokers for brokers in (await cluster.replicas(topic)).values())
