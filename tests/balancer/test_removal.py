"""Removal of brokers: their replicas move away, and the task waits until they are stopped."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from balancer.conftest import PlacedTopic
from balancer.removing import NewCluster, NewGateway, Watch, Writer, fill, hold, until_moving
from balancer.waiting import until
from denial import CLUSTER, allowed, denied
from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.balancer.steps import TaskType
from kafka_facade.core.broker_tasks.model import (
    GetBrokerTask,
    GetRemoveBrokerTask,
    ListAllBrokerTasks,
    ListAllBrokerTasksByType,
    ListBrokerTasks,
    ListRemoveBrokerTasks,
    RemoveBroker,
    RemoveBrokers,
)
from kafka_facade.core.configs.model import ConfigAlteration
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade_devstack.background import BackgroundStack

REMOVE = "api.v3.brokers.delete"
REMOVE_BATCH = "api.v3.brokers.delete-batch"
_SECONDS = 20
_RATE = "confluent.balancer.throttle.bytes.per.second"
_SLOW = {_RATE: "1000000"}
# Throttles let 1 MiB of each partition pass before they hold.
_KILOBYTES = 8000


def _documented_task() -> Any:
    """The task that the documentation shows, without its times."""
    text = (Path(__file__).parents[2] / "docs/server.md").read_text()
    [block] = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return _without_times(json.loads(block))


def _as_documented(task: Any, url: str, cluster_id: str) -> Any:
    text = json.dumps(task).replace(url, "http://localhost:8082").replace(cluster_id, "xzM7tFDaTRmQmhD4vlxDwg")
    return _without_times(json.loads(text))


def _without_times(task: dict[str, Any]) -> dict[str, Any]:
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", task.pop(name))
    return task


async def test_replicas_move_away_before_the_broker_is_stopped(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1], [2, 4], [4, 3], [1, 2]])
    cluster = await new_cluster()
    await cluster.remove(4)
    await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "COMPLETED", "PENDING")
    assert await cluster.throttles(topic) == {}
    found = await cluster.replicas(topic)
    assert [set(found[number]) - {1, 2, 3} for number in range(4)] == [set()] * 4
    assert all(len(brokers) == 2 for brokers in found.values())
    task = await cluster.task(4)
    assert _as_documented(task, cluster.gateway.rest, four_brokers.cluster_id) == _documented_task()
    # Its exclusion is part of the removal.
    exclusion = await cluster.get("/broker-replica-exclusions/4")
    assert exclusion["reason"] == "Broker 4 is to be removed."
    await four_brokers.stop_broker(3)
    await cluster.until_steps(4, "SUCCESS", "COMPLETED", "COMPLETED", "COMPLETED")
    assert "error_message" not in await cluster.task(4)
    [older] = (await cluster.get("/remove-broker-tasks"))["data"]
    assert older["partition_reassignment_status"] == older["broker_shutdown_status"] == "COMPLETE"
    assert (await cluster.http.post("/brokers/4:unregister")).status_code == 202
    assert await cluster.audited_events(4) == [
        "removal-asked",
        "task-begun",
        "exclusion-set",
        "broker-excluded",
        "plan-made",
        "throttles-set",
        "moves-begun",
        "moves-completed",
        "throttles-lifted",
        "replicas-moved",
        "task-completed",
    ]
    # The task stays.
    assert [task["broker_id"] for task in (await cluster.get("/brokers/4/tasks"))["data"]] == [4]


async def test_a_broker_that_gets_replicas_while_its_removal_waits(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    """They move away, too, before the task says again that the broker may be stopped."""
    await placed([[4, 1]])
    cluster = await new_cluster()
    await cluster.remove(4)
    await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "COMPLETED", "PENDING")
    topic = await placed([[4, 2]])
    await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "IN_PROGRESS", "PENDING")
    await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "COMPLETED", "PENDING")
    assert 4 not in (await cluster.replicas(topic))[0]
    assert "replicas-returned" in await cluster.audited_events(4)


@pytest.mark.parametrize("face_name", FACES)
async def test_all_operations_on_each_face(
    new_gateway: NewGateway, four_brokers: BackgroundStack, placed: PlacedTopic, face_name: str
) -> None:
    await placed([[4, 1], [3, 4]])
    face = FACES[face_name](await new_gateway())
    cluster = four_brokers.cluster_id
    try:
        removal = await face.run(REMOVE, RemoveBroker(cluster, 4, should_shutdown=False))
        assert removal["broker_id"] == 4

        async def task() -> Any:
            identifier = "api.v3.brokers.broker-tasks.search-by-type"
            return await face.run(identifier, GetBrokerTask(cluster, 4, TaskType.REMOVE_BROKER))

        async def is_done() -> bool:
            return bool((await task())["task_status"] == "SUCCESS")

        await until(is_done, 120)
        done = await task()
        own = "remove-broker" if face_name == "rest" else "REMOVE_BROKER"
        assert (done["broker_id"], done["task_type"], done["shutdown_scheduled"]) == (4, own, False)
        assert done["sub_task_statuses"] == {
            "broker_replica_exclusion_status": "EXCLUDED",
            "partition_reassignment_status": "COMPLETED",
            "broker_shutdown_status": "CANCELED",
        }
        lists = {
            "api.v3.broker-tasks.list": ListAllBrokerTasks(cluster),
            "api.v3.broker-tasks.search-by-type": ListAllBrokerTasksByType(cluster, TaskType.REMOVE_BROKER),
            "api.v3.brokers.broker-tasks.list": ListBrokerTasks(cluster, 4),
        }
        for identifier, request in lists.items():
            assert await face.run(identifier, request) == [done], identifier
        assert (
            await face.run("api.v3.broker-tasks.search-by-type", ListAllBrokerTasksByType(cluster, TaskType.ADD_BROKER))
            == []
        )
        assert await face.run("api.v3.brokers.broker-tasks.list", ListBrokerTasks(cluster, 1)) == []
        [older] = await face.run("api.v3.broker-tasks.remove-broker.list", ListRemoveBrokerTasks(cluster))
        assert older == await face.run("api.v3.broker-tasks.remove-broker.get", GetRemoveBrokerTask(cluster, 4))
        assert older["partition_reassignment_status"] == "COMPLETE"
        assert older["broker_shutdown_status"] == "CANCELED"
        # A removal after a removal is a new task.
        removals = await face.run(REMOVE_BATCH, RemoveBrokers(cluster, [4], should_shutdown=False))
        assert [entry["broker_id"] for entry in removals] == [4]
        await until(is_done, 120)
    finally:
        await face.close()


@pytest.mark.parametrize("face_name", FACES)
async def test_bad_input(
    new_gateway: NewGateway, four_brokers: BackgroundStack, placed: PlacedTopic, face_name: str
) -> None:
    await placed([[4, 1]])
    face = FACES[face_name](await new_gateway())
    cluster = four_brokers.cluster_id

    async def rejected(kind: type[errors.FacadeError], identifier: str, request: Any, field: str | None = None) -> str:
        with pytest.raises(FaceError) as caught:
            await face.run(identifier, request)
        assert caught.value.codes == face.codes(kind), request
        if face_name != "rest" and field is not None:
            assert str(caught.value.field).endswith(field)
        return caught.value.message

    try:
        message = await rejected(errors.NotFound, REMOVE, RemoveBroker(cluster, 77))
        assert message == f"Broker not found. Broker: 77 not found in the cluster: {cluster}"
        await rejected(errors.NotFound, REMOVE, RemoveBroker(cluster, 2**31 - 1))
        await rejected(errors.NotFound, REMOVE, RemoveBroker(cluster, -1))
        await rejected(errors.ClusterNotFound, REMOVE, RemoveBroker("no-such", 4))
        await rejected(errors.InvalidRequest, REMOVE_BATCH, RemoveBrokers(cluster, [4, 3, 4]), "[2]")
        await rejected(errors.InvalidRequest, REMOVE_BATCH, RemoveBrokers(cluster, [4, -3]), "[1]")
        for many in (1_001, 10_000):
            await rejected(errors.InvalidRequest, REMOVE_BATCH, RemoveBrokers(cluster, list(range(1, many + 1))))
        await rejected(errors.InvalidRequest, REMOVE_BATCH, RemoveBrokers(cluster, []))
        # All or none.
        await rejected(errors.NotFound, REMOVE_BATCH, RemoveBrokers(cluster, [4, 77]))
        older = "api.v3.broker-tasks.remove-broker.get"
        await rejected(errors.NotFound, older, GetRemoveBrokerTask(cluster, 4))
        assert await face.run("api.v3.broker-tasks.list", ListAllBrokerTasks(cluster)) == []
        only = await placed([[4]])
        message = await rejected(errors.OnlyReplica, REMOVE, RemoveBroker(cluster, 4))
        assert message == (
            "Cannot remove broker 4 as there are partitions with replication factor equal to 1 on the broker. "
            f"One such partition: {only}_0."
        )
        assert await face.run("api.v3.broker-tasks.list", ListAllBrokerTasks(cluster)) == []
    finally:
        await face.close()


async def test_bad_requests_over_http(new_cluster: NewCluster) -> None:
    cluster = await new_cluster()
    for path in ("/brokers/99999999999999999999", "/brokers/four", "/brokers/1?should_shutdown=perhaps"):
        answer = await cluster.http.delete(path)
        assert (answer.status_code, answer.json()["error_code"]) == (400, 400), answer.text
    bodies: list[Any] = [{"broker_ids": ["four"]}, {"broker_ids": [2**40]}, {"broker_ids": 4}, {}, []]
    for body in bodies:
        answer = await cluster.http.post("/brokers:delete", content=json.dumps(body))
        assert answer.status_code in (400, 422), answer.text
    assert (await cluster.get("/brokers/-/tasks"))["data"] == []
    for path in ("/brokers/-/tasks/paint-broker", "/brokers/4/tasks/REMOVE_BROKER"):
        answer = await cluster.http.get(path)
        assert (answer.status_code, answer.json()["error_code"]) == (400, 400)
        text = path.rpartition("/")[2]
        assert answer.json()["message"] == f"Unknown task type {text}; expected add-broker or remove-broker."
    missing = await cluster.http.get("/brokers/4/tasks/remove-broker")
    assert (missing.status_code, missing.json()["message"]) == (404, "Broker 4 has no task remove-broker.")
    assert (await cluster.http.get("/brokers/77/tasks")).status_code == 404


@pytest.mark.parametrize("face_name", FACES)
async def test_without_a_balancer(new_gateway: NewGateway, four_brokers: BackgroundStack, face_name: str) -> None:
    face = FACES[face_name](await new_gateway(**{"confluent.balancer.enable": "false"}))
    try:
        with pytest.raises(FaceError) as caught:
            await face.run(REMOVE, RemoveBroker(four_brokers.cluster_id, 4))
        assert caught.value.codes == face.codes(errors.BalancerOffline)
        assert caught.value.message == "The balancer is disabled or not started yet."
    finally:
        await face.close()


async def test_a_caller_without_the_right_to_move_replicas(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    await placed([[4, 1]])
    cluster = await new_cluster()
    await cluster.get("/brokers/-/tasks")
    rights = (
        AclOperation.DESCRIBE,
        AclOperation.DESCRIBE_CONFIGS,
        AclOperation.ALTER_CONFIGS,
        AclOperation.CREATE,
        AclOperation.IDEMPOTENT_WRITE,
    )
    async with allowed(four_brokers, *((*CLUSTER, right) for right in rights), principal="User:ANONYMOUS"):
        answer = await cluster.http.delete("/brokers/4")
        assert (answer.status_code, answer.json()["error_code"]) == (403, 40301)
        assert (await cluster.get("/brokers/-/tasks"))["data"] == []


async def test_replicas_that_the_gateway_may_not_see(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    """Kafka leaves their topic out of its metadata; the broker must not be stopped."""
    topic = await placed([[4, 1]])
    cluster = await new_cluster()
    await cluster.get("/brokers/-/tasks")
    async with denied(four_brokers, (ResourceType.TOPIC, topic, AclOperation.DESCRIBE)):
        await cluster.remove(4)
        await cluster.until_steps(4, "FAILED", "EXCLUDED", "ERROR", "CANCELED")
        task = await cluster.task(4)
    assert task["error_code"] == 10052
    assert task["error_message"] == (
        f"Broker 4 still has a replica of partition 0 of topic {topic}, which the gateway may not describe."
    )


async def test_topics_that_the_gateway_may_not_throttle(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1]])
    cluster = await new_cluster(**_SLOW)
    await cluster.get("/brokers/-/tasks")
    async with denied(four_brokers, (ResourceType.TOPIC, topic, AclOperation.ALTER_CONFIGS)):
        await cluster.remove(4)
        await cluster.until_steps(4, "FAILED", "EXCLUDED", "ERROR", "CANCELED")
        assert (await cluster.task(4))["error_code"] == 10052


async def test_waiting_for_the_broker_can_be_ended(new_cluster: NewCluster, placed: PlacedTopic) -> None:
    await placed([[4, 1]])
    cluster = await new_cluster()
    await cluster.remove(4)
    await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "COMPLETED", "PENDING")
    await cluster.remove(4, should_shutdown=False)
    await cluster.until_steps(4, "SUCCESS", "EXCLUDED", "COMPLETED", "CANCELED")


async def test_too_few_brokers(new_cluster: NewCluster, placed: PlacedTopic) -> None:
    topic = await placed([[1, 2, 3, 4]])
    cluster = await new_cluster()
    await cluster.remove(4)
    await cluster.until_steps(4, "FAILED", "EXCLUDED", "ERROR", "CANCELED")
    task = await cluster.task(4)
    assert task["error_code"] == 10006
    ended = (await cluster.audited())[-1]
    assert (ended["event"], ended["outcome"], ended["error_code"]) == ("task-failed", "FAILED", 10006)
    assert ended["message"] == task["error_message"]
    assert task["error_message"] == (
        f"Error while computing the plan for brokers [4]: partition 0 of topic {topic} can't be moved, "
        "since there are too few other brokers."
    )
    older = await cluster.get("/remove-broker-tasks/4")
    assert older["partition_reassignment_status"] == "FAILED"
    assert older["error_code"] == 10006


async def test_no_record_is_lost_under_load(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """No partition is under-replicated meanwhile, but those that move."""
    topic = await placed([[4, 1, 2], [1, 4, 3], [2, 3, 4], [4, 3, 2]], {"min.insync.replicas": "2"})
    cluster = await new_cluster()
    async with Writer(four_brokers, topic) as writer:

        async def has_begun() -> bool:
            return len(writer.acknowledged) > 1000

        await until(has_begun)
        before = len(writer.acknowledged)
        async with Watch(kafka) as watch:
            await cluster.remove(4)
            await cluster.until_steps(4, "IN_PROGRESS", "EXCLUDED", "COMPLETED", "PENDING")
        assert watch.looks > 3
        assert watch.under_replicated == set()
        await four_brokers.stop_broker(3)
        await cluster.until_steps(4, "SUCCESS", "COMPLETED", "COMPLETED", "COMPLETED")
    assert len(writer.acknowledged) > before
    assert writer.failed == []
    assert await writer.lost(4) == set()


async def test_the_leader_is_killed_while_replicas_move(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """Another gateway completes the removal; no throttle stays but what an operator has set."""
    topic = await placed([[4, 1], [4, 2], [4, 3], [1, 2]])
    await fill(four_brokers, topic, 3, _KILOBYTES)
    replicas = ConfigAlteration("leader.replication.throttled.replicas", "3:1")
    await kafka.configs.alter_topic_configs({topic: [replicas]}, False, _SECONDS)
    await hold(kafka, "1")
    leader = await new_cluster(**_SLOW)
    own = await leader.throttles(topic)
    assert len(own) == 5
    await leader.until_leading()
    other = await new_cluster(**_SLOW)
    await other.remove(4)
    await until_moving(kafka, topic, 3)
    assert (await other.throttles(topic)).items() > {name: own[name] for name in own if topic not in name}.items()
    leader.gateway.child.send(signal.SIGKILL)
    await hold(kafka, None)
    await other.until_steps(4, "IN_PROGRESS", "EXCLUDED", "COMPLETED", "PENDING", seconds=240)
    assert all(4 not in brokers for brokers in (await other.replicas(topic)).values())
    assert await other.throttles(topic) == {f"{topic} leader.replication.throttled.replicas": "3:1"}
    # It names the caller, although another one led when the call came.
    assert {"moves-completed", "throttles-lifted", "replicas-moved"} <= {*await other.audited_events(4)}
    assert {"task-begun", "plan-made", "moves-begun"} <= {*await leader.audited_events(4)}


async def test_a_removal_is_cancelled_by_deleting_the_exclusion(
    new_cluster: NewCluster, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """Nothing moves any more, and what an operator has throttled stays so."""
    topic = await placed([[4, 1], [4, 2], [4, 3]])
    await fill(four_brokers, topic, 3, _KILOBYTES)
    await hold(kafka, "1")
    cluster = await new_cluster()
    before, own = await cluster.replicas(topic), await cluster.throttles(topic)
    assert len(own) == 4
    await cluster.remove(4)
    await until_moving(kafka, topic, 3)
    body = {"data": [{"broker_id": 4, "reason": "It stays."}]}
    answer = await cluster.http.post("/broker-replica-exclusions:delete", json=body)
    assert answer.status_code == 200, answer.text
    await cluster.until_steps(4, "FAILED", "CANCELED", "CANCELED", "CANCELED")
    assert await cluster.throttles(topic) == own
    await hold(kafka, None)

    async def is_as_before() -> bool:
        return await cluster.replicas(topic) == before

    await until(is_as_before)
    assert await kafka.reassignments.list_reassignments(_SECONDS) == []
    assert (await cluster.http.get("/broker-replica-exclusions/4")).status_code == 404
    assert {"exclusion-deleted", "moves-cancelled", "task-cancelled"} <= {*await cluster.audited_events(4)}


async def test_a_dead_broker_is_removed(
    new_cluster: NewCluster, four_brokers: BackgroundStack, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1], [2, 4]])
    cluster = await new_cluster()
    await cluster.get("/brokers/-/tasks")
    await four_brokers.kill_broker(3)
    await cluster.remove(4)
    await cluster.until_steps(4, "SUCCESS", "COMPLETED", "COMPLETED", "COMPLETED")
    assert all(4 not in brokers for brokers in (await cluster.replicas(topic)).values())
