"""Members that the clients of Confluent Server require in responses about brokers and the balancer."""

from __future__ import annotations

from typing import Any, Final

from balancer.conftest import PlacedTopic
from balancer.removing import NewCluster

_ALL: Final = {"kind", "metadata"}
_BROKER: Final = _ALL | {"cluster_id", "broker_id", "broker"}
_REMOVAL: Final = _BROKER | {"broker_task"}
_EXCLUSION: Final = _BROKER | {"reason"}
_TASK: Final = _BROKER | {"task_type", "task_status", "sub_task_statuses", "created_at", "updated_at"}
_REMOVAL_TASK: Final = _BROKER | {
    "broker_replica_exclusion_status",
    "broker_shutdown_status",
    "partition_reassignment_status",
    "shutdown_scheduled",
}
_BALANCER: Final = _ALL | {"cluster_id", "status", "any_uneven_load", "broker_tasks"}
_LOAD: Final = _ALL | {
    "cluster_id",
    "status",
    "status_updated_at",
    "previous_status",
    "previous_status_updated_at",
    "broker_tasks",
}
_REPLICA: Final = _ALL | {
    "cluster_id",
    "topic_name",
    "partition_id",
    "broker_id",
    "is_leader",
    "is_observer",
    "is_isr_eligible",
    "is_in_isr",
    "is_caught_up",
    "log_start_offset",
    "log_end_offset",
    "last_caught_up_time_ms",
    "last_fetch_time_ms",
}
_CONFIG: Final = _ALL | {
    "cluster_id",
    "topic_name",
    "name",
    "is_default",
    "is_read_only",
    "is_sensitive",
    "source",
    "synonyms",
}


def _assert_has(answer: Any, members: set[str], kind: str) -> None:
    """The members are there; a list and its entries have kinds and links."""
    if kind.endswith("List"):
        assert answer.keys() >= _ALL | {"data"}
        assert answer["kind"] == kind
        assert answer["data"]
        for entry in answer["data"]:
            _assert_has(entry, members, kind.removesuffix("List"))
        return
    assert members - answer.keys() == set(), kind
    assert answer["kind"] == kind
    assert answer["metadata"]["self"].startswith("http://")
    assert all(answer[name]["related"].startswith("http://") for name in ("broker", "broker_task") if name in answer)


async def test_required_members(new_cluster: NewCluster, placed: PlacedTopic) -> None:
    topic = await placed([[4, 1]])
    cluster = await new_cluster(**{"confluent.balancer.heal.uneven.load.trigger": "ANY_UNEVEN_LOAD"})
    await cluster.until_leading()
    removal = (await cluster.http.delete("/brokers/4?should_shutdown=false")).json()
    _assert_has(removal, _REMOVAL, "KafkaBrokerRemoval")
    await cluster.until_steps(4, "SUCCESS", "EXCLUDED", "COMPLETED", "CANCELED")
    batch = await cluster.http.post("/brokers:delete", json={"broker_ids": [4]})
    _assert_has(batch.json(), _REMOVAL, "KafkaBrokerRemovalList")
    for path in ("/brokers/-/tasks", "/brokers/4/tasks", "/brokers/-/tasks/remove-broker"):
        _assert_has(await cluster.get(path), _TASK, "KafkaBrokerTaskList")
    _assert_has(await cluster.task(4), _TASK, "KafkaBrokerTask")
    _assert_has(await cluster.get("/remove-broker-tasks"), _REMOVAL_TASK, "KafkaRemoveBrokerTaskList")
    _assert_has(await cluster.get("/remove-broker-tasks/4"), _REMOVAL_TASK, "KafkaRemoveBrokerTask")
    _assert_has(await cluster.get("/balancer"), _BALANCER, "KafkaBalancerStatus")
    _assert_has(await cluster.get("/balancer/any-uneven-load"), _LOAD, "KafkaAnyUnevenLoad")
    body = {"data": [{"broker_id": 3, "reason": "A test."}]}
    created = await cluster.http.post("/broker-replica-exclusions:create", json=body)
    _assert_has(created.json(), _EXCLUSION | {"exclusion"}, "KafkaAlterBrokerReplicaExclusionList")
    _assert_has(await cluster.get("/broker-replica-exclusions"), _EXCLUSION, "KafkaBrokerReplicaExclusionList")
    _assert_has(await cluster.get("/broker-replica-exclusions/3"), _EXCLUSION, "KafkaBrokerReplicaExclusion")
    deleted = await cluster.http.post("/broker-replica-exclusions:delete", json=body)
    _assert_has(deleted.json(), _EXCLUSION | {"exclusion"}, "KafkaAlterBrokerReplicaExclusionList")
    for place in (f"{topic}/partitions/0", f"{topic}/partitions/-", "-/partitions/-"):
        _assert_has(await cluster.get(f"/topics/{place}/replica-status"), _REPLICA, "KafkaReplicaStatusList")
    _assert_has(await cluster.get(f"/topics/{topic}/default-configs"), _CONFIG, "KafkaTopicConfigList")
