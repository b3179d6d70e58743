"""Broker replica exclusions, on each face."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka.admin import AclOperation

from conftest import GatewayFactory, TopicFactory
from denial import CLUSTER, allowed
from exclusions.conftest import (
    CREATE,
    DELETE,
    GET,
    LIST,
    Exclusions,
    NewClient,
    NewGateway,
    OtherTool,
    entries,
    refused,
    until,
)
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.exclusions.model import (
    CreateBrokerReplicaExclusions,
    DeleteBrokerReplicaExclusions,
    GetBrokerReplicaExclusion,
    ListBrokerReplicaExclusions,
)
from kafka_facade_devstack.background import BackgroundStack


async def test_an_excluded_broker_gets_no_replicas(exclusions: Exclusions, other_tool: OtherTool) -> None:
    assert await exclusions.all() == {}
    assert await exclusions.create(1, 3) == [(1, "SET", None), (3, "SET", None)]
    assert await exclusions.all() == {1: "Broker is to be removed.", 3: "Broker is to be removed."}
    assert (await exclusions.get(3))["reason"] == "Broker is to be removed."
    assert await other_tool.hosts() == {2}
    assert await exclusions.create(1, reason="Another reason.") == [(1, "SET", None)]
    assert await exclusions.all() == {1: "Another reason.", 3: "Broker is to be removed."}
    assert await exclusions.delete(3, 1) == [(3, "DELETE", None), (1, "DELETE", None)]
    assert await exclusions.all() == {}
    if exclusions.name == "graphql":
        assert await exclusions.get(3) is None
    else:
        await refused(exclusions.face, errors.NotFound, exclusions.get(3))
    assert await other_tool.hosts() == {1, 2, 3}


async def test_brokers_that_are_unknown_or_not_excluded(exclusions: Exclusions) -> None:
    """They fail alone."""
    unknown = errors.BrokerNotRegistered.codes.v3
    assert await exclusions.delete(2, 99) == [(2, "DELETE", 404), (99, "DELETE", 404)]
    assert await exclusions.create(2**31 - 1, 2, 4) == [
        (2**31 - 1, "SET", unknown),
        (2, "SET", None),
        (4, "SET", unknown),
    ]
    assert (await exclusions.all()).keys() == {2}
    assert await exclusions.delete(1, 2, 99) == [(1, "DELETE", 404), (2, "DELETE", None), (99, "DELETE", 404)]
    assert await exclusions.delete(2) == [(2, "DELETE", 404)]
    assert await exclusions.all() == {}


async def test_bad_input(exclusions: Exclusions, three_brokers: BackgroundStack) -> None:
    face = exclusions.face
    for change in (exclusions.create, exclusions.delete):
        error = await refused(face, errors.InvalidRequest, change(1, -10))
        assert error.message == "The given broker id -10 is invalid"
        await refused(face, errors.InvalidRequest, change(1, 2, 1))
        for many in (1001, 10_000):
            with pytest.raises(FaceError) as caught:
                await change(*range(many))
            # GraphQL limits the values of variables itself.
            assert caught.value.codes == face.codes(errors.InvalidRequest) or exclusions.name == "graphql"
            assert "more than" in caught.value.message
        assert await change() == []
    await refused(face, errors.InvalidRequest, exclusions.create(1, reason="x" * 1001))
    assert await exclusions.all() == {}
    assert await exclusions.create(1, reason="\U0001f98a" * 1000) == [(1, "SET", None)]
    assert await exclusions.create(2, reason="") == [(2, "SET", None)]
    assert await exclusions.all() == {1: "\U0001f98a" * 1000, 2: ""}
    if exclusions.name == "graphql":
        return
    await refused(face, errors.ClusterNotFound, face.run(LIST, ListBrokerReplicaExclusions("nope")))
    await refused(face, errors.ClusterNotFound, face.run(GET, GetBrokerReplicaExclusion("nope", 1)))
    for broker_id in (99, -1, 2**31 - 1):
        await refused(face, errors.NotFound, exclusions.get(broker_id))


async def test_another_cluster(exclusions: Exclusions) -> None:
    face = exclusions.face
    await refused(face, errors.ClusterNotFound, face.run(CREATE, CreateBrokerReplicaExclusions("nope", entries(1))))
    await refused(face, errors.ClusterNotFound, face.run(DELETE, DeleteBrokerReplicaExclusions("nope", entries(1))))


async def test_a_caller_without_the_right(exclusions: Exclusions, three_brokers: BackgroundStack) -> None:
    """Nothing is changed, also in the state."""
    face = exclusions.face
    rights = (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS, AclOperation.CREATE, AclOperation.IDEMPOTENT_WRITE)
    async with allowed(three_brokers, *((*CLUSTER, right) for right in rights), principal="User:ANONYMOUS"):
        await refused(face, errors.KafkaAuthorizationFailed, exclusions.create(1))
        await refused(face, errors.KafkaAuthorizationFailed, exclusions.create(99))
        await refused(face, errors.KafkaAuthorizationFailed, exclusions.delete(1))
        assert await exclusions.all() == {}
    async with allowed(three_brokers, (*CLUSTER, AclOperation.ALTER_CONFIGS), principal="User:ANONYMOUS"):
        await refused(face, errors.KafkaAuthorizationFailed, exclusions.all())
    assert await exclusions.create(1) == [(1, "SET", None)]


async def test_brokers_that_other_tools_have_cordoned(exclusions: Exclusions, other_tool: OtherTool) -> None:
    # Kafka cannot create its topic of transactions while a broker is cordoned.
    assert await exclusions.create(1) == [(1, "SET", None)]
    assert await exclusions.delete(1) == [(1, "DELETE", None)]
    await other_tool.cordon(2, "*")
    expected = {2: "cordoned outside of kafka-facade"}

    async def is_listed() -> bool:
        return await exclusions.all() == expected

    await until(is_listed)
    assert await exclusions.delete(1, 2) == [(1, "DELETE", 404), (2, "DELETE", None)]
    assert await exclusions.all() == {}
    await other_tool.cordon(3, "*")
    assert await exclusions.create(3) == [(3, "SET", None)]
    assert await exclusions.all() == {3: "Broker is to be removed."}


async def test_the_shapes_on_rest(new_gateway: NewGateway, rest: NewClient, three_brokers: BackgroundStack) -> None:
    client = rest(await new_gateway())
    base, cluster = client.base, three_brokers.cluster_id

    def entry(kind: str, broker_id: int, **fields: Any) -> dict[str, Any]:
        return {
            "kind": kind,
            "metadata": {
                "self": f"{base}/broker-replica-exclusions/{broker_id}",
                "resource_name": f"crn:///kafka={cluster}/broker-replica-exclusions={broker_id}",
            },
            "cluster_id": cluster,
            "broker_id": broker_id,
            **fields,
            "broker": {"related": f"{base}/brokers/{broker_id}"},
        }

    def listed(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
        metadata = {"self": f"{base}/broker-replica-exclusions", "next": None}
        return {"kind": f"{kind}List", "metadata": metadata, "data": list(entries)}

    altered, shown = "KafkaAlterBrokerReplicaExclusion", "KafkaBrokerReplicaExclusion"
    reason = "Broker is to be removed."
    no_error = {"error_code": None, "error_message": None}
    answer = await client.change("create", 1)
    expected = entry(altered, 1, exclusion="SET", reason=reason, **no_error)
    assert (answer.status_code, answer.json()) == (201, listed(altered, expected))
    assert list(answer.json()["data"][0]) == list(expected)
    answer = await client.http.get("/broker-replica-exclusions")
    expected = entry(shown, 1, reason=reason)
    assert (answer.status_code, answer.json()) == (200, listed(shown, expected))
    answer = await client.http.get("/broker-replica-exclusions/1")
    assert (answer.status_code, answer.json()) == (200, expected)
    answer = await client.http.get("/broker-replica-exclusions/2")
    message = "No replica exclusion for broker 2 was present."
    assert (answer.status_code, answer.json()) == (404, {"error_code": 404, "message": message})
    answer = await client.change("delete", 2, 1)
    expected = entry(altered, 1, exclusion="DELETE", reason=reason, **no_error)
    failed = entry(altered, 2, exclusion="DELETE", reason=reason, error_code=404, error_message=message)
    assert (answer.status_code, answer.json()) == (404, listed(altered, failed, expected))
    answer = await client.change("create", 1, 99)
    expected = entry(altered, 1, exclusion="SET", reason=reason, **no_error)
    message = "The given broker ID was not registered in the cluster."
    failed = entry(altered, 99, exclusion="SET", reason=reason, error_code=404102, error_message=message)
    assert (answer.status_code, answer.json()) == (404, listed(altered, expected, failed))
    await client.changed("delete", 1)
    for answer in (await client.change("create", 1, -10), await client.change("delete", -10)):
        assert (answer.status_code, answer.json()["error_code"]) == (400, 400)


async def test_a_state_topic_that_loses_records(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: TopicFactory, face_name: str
) -> None:
    name = await topic(on=three_brokers)
    gateway = await gateway_factory({"state.topic": name}, on=three_brokers)
    found = Exclusions(face_name, gateway, three_brokers.cluster_id)
    for call in (found.all(), found.create(1), found.delete(1)):
        error = await refused(found.face, errors.StateUnusable, call)
        assert error.message == f"The state topic {name} would lose records: its cleanup.policy is delete, not compact."
    await found.face.close()
