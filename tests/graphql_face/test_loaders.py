"""The cost of nested queries, counted in calls of the real engine."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from kafka_facade_graphql.options import GraphQLOptions

TopicFactory = Callable[..., Awaitable[str]]

BROKERS = """{ clusters {
  controller { host }
  brokers { brokerId configs { name broker { host } } config(name: "broker.id") { value } }
  brokers { partitionReplicas { broker { host } partition { partitionId } } }
} }"""
TOPICS = """{ clusters { topics { nodes {
  authorizedOperations
  cluster { controller { brokerId } }
  partitions {
    offsets { latestOffset }
    leader { broker { host cluster { clusterId } } partition { topic { topicName } } }
    replicas { broker { rack } }
    replica(brokerId: 1) { broker { brokerId } }
    topic { partitions { partitionId } config(name: "cleanup.policy") { value } }
  }
  configs { name topic { topicName } }
  config(name: "retention.ms") { value }
} } } }"""
PARTITION = "{ clusters { topics { nodes { partition(partitionId: 0) { offsets { earliestOffset } } } } } }"


_MOST_BATCHES = 10


async def _ask(client: httpx.AsyncClient, document: str) -> Any:
    answer = (await client.post("/graphql", json={"query": document})).json()
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


async def _counts(local: Any, document: str) -> dict[str, int]:
    # Other tests may have left many topics.
    async with local.client(GraphQLOptions(max_objects=200_000)) as client:
        await _ask(client, "{ clusters { topics { totalCount } } }")
        local.admin.calls.clear()
        await _ask(client, document)
    return dict(local.admin.calls)


async def test_the_cost_does_not_grow_with_the_number_of_topics(local: Any, topic: TopicFactory) -> None:
    await topic("loaded")
    documents = (BROKERS, TOPICS, PARTITION)
    before = [await _counts(local, document) for document in documents]
    await asyncio.gather(*(topic("loaded", partitions=2) for _ in range(50)))
    after = [await _counts(local, document) for document in documents]
    assert [set(counts) for counts in after] == [set(counts) for counts in before]
    # Many things of a kind are loaded in a few batches, as those who want them get their turns.
    for counts in (*before, *after):
        assert max(counts.values()) <= _MOST_BATCHES


async def test_the_usual_nesting_takes_three_calls(local: Any, topic: TopicFactory) -> None:
    await asyncio.gather(*(topic("loaded", partitions=2) for _ in range(50)))
    calls = await _counts(
        local, "{ clusters { topics { nodes { partitions { leader { broker { host } } } configs { name value } } } } }"
    )
    assert calls == {"describe_cluster": 1, "list_topics": 1, "topic_configs": 1}


async def test_configs_of_brokers_are_requested_once(local: Any) -> None:
    replicas = 'partitionReplicas { broker { config(name: "broker.id") { value broker { host } } } }'
    calls = await _counts(local, f"{{ clusters {{ brokers {{ configs {{ name }} {replicas} }} }} }}")
    assert calls["broker_configs"] == 1
    calls = await _counts(
        local, '{ clusters { brokerConfigs { name } brokerConfig(name: "min.insync.replicas") { name } } }'
    )
    assert calls["cluster_configs"] == 1


@pytest.mark.parametrize("blocked", ["api.v3.broker-configs.list", "api.v3.broker-configs.get"])
async def test_access_lists_apply_to_configs_of_brokers(local: Any, blocked: str) -> None:
    selection = 'brokerId configs { name } config(name: "broker.id") { value }'
    async with local.client(block=(blocked,)) as client:
        answer = (
            await client.post("/graphql", json={"query": f"{{ clusters {{ brokers {{ {selection} }} }} }}"})
        ).json()
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "OPERATION_BLOCKED"
    assert error["extensions"]["metadata"] == {"operation": blocked}


@pytest.mark.parametrize(
    ("blocked", "selection"),
    [
        ("api.v3.partitions.list", "partitions { partitionId }"),
        ("api.v3.partitions.get", "partition(partitionId: 0) { partitionId }"),
        ("api.v3.topic-configs.list", "configs { name }"),
        ("api.v3.topic-configs.get", 'config(name: "retention.ms") { name }'),
        ("api.v3.partition-reassignments.search-by-topic", "partitionReassignments { addingReplicas }"),
    ],
)
async def test_access_lists_apply_to_each_field(local: Any, topic: TopicFactory, blocked: str, selection: str) -> None:
    name = await topic()
    document = f'{{ clusters {{ topic(topicName: "{name}") {{ topicName {selection} }} }} }}'
    async with local.client(block=(blocked,)) as client:
        answer = (await client.post("/graphql", json={"query": document})).json()
    assert answer["data"]["clusters"][0]["topic"]["topicName"] == name
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "OPERATION_BLOCKED"
    assert error["extensions"]["metadata"] == {"operation": blocked}


async def test_access_lists_apply_to_cached_resources(local: Any, topic: TopicFactory) -> None:
    name = await topic()
    held = "partitions { replicas { brokerId } leader { id } }"
    document = f'{{ clusters {{ topic(topicName: "{name}") {{ {held} }} }} }}'
    async with local.client(block=("api.v3.replicas.*",)) as client:
        answer = (await client.post("/graphql", json={"query": document})).json()
    assert answer["data"]["clusters"][0]["topic"]["partitions"] == [{"replicas": None, "leader": None}]
    assert {error["extensions"]["metadata"]["operation"] for error in answer["errors"]} == {
        "api.v3.replicas.list",
        "api.v3.replicas.get",
    }


async def test_acls_and_reassignments_are_requested_once(local: Any, topic: TopicFactory) -> None:
    await asyncio.gather(*(topic("loaded", partitions=2) for _ in range(5)))
    reassignments = "partitionReassignments { addingReplicas } partitions { reassignment { addingReplicas } }"
    document = f"{{ clusters {{ topics {{ nodes {{ {reassignments} }} }} acls {{ principal }} b: acls {{ host }} }} }}"
    await _counts(local, document)
    assert local.reassignments.calls == {"list_reassignments": 1}
    assert local.acls.calls == {"list_acls": 1}


async def test_access_lists_apply_to_acls_and_reassignments(local: Any, topic: TopicFactory) -> None:
    name = await topic()
    inner = "partition(partitionId: 0) { reassignment { addingReplicas } }"
    document = (
        f'{{ clusters {{ acls {{ host }} partitionReassignments {{ addingReplicas }} topic(topicName: "{name}") '
        f"{{ {inner} }} }} }}"
    )
    async with local.client(block=("api.v3.acls.*", "api.v3.partition-reassignments.*")) as client:
        answer = (await client.post("/graphql", json={"query": document})).json()
    [cluster] = answer["data"]["clusters"]
    assert cluster == {
        "acls": None,
        "partitionReassignments": None,
        "topic": {"partition": {"reassignment": None}},
    }
    assert {error["extensions"]["metadata"]["operation"] for error in answer["errors"]} == {
        "api.v3.acls.list",
        "api.v3.partition-reassignments.list",
        "api.v3.partition-reassignments.get",
    }
