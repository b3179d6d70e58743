"""Consumer groups in the graph: the cost of documents, pages, nodes, and null instead of REST's 404."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from kafka_facade_devstack.background import BackgroundStack

Factory = Callable[..., Awaitable[Any]]
Execute = Callable[..., Awaitable[dict[str, Any]]]

# One way to each thing that is loaded: how many requests two ways take depends on which answer comes first.
NESTED = [
    "coordinator { host } cluster { clusterId }",
    "consumers { consumerGroup { state } assignments { partition { partitionId offsets { latestOffset } } } }",
    "consumers { assignments { lag { lag } } }",
    "lags { lag partition { topic { topicName } } }",
    "lags { consumer { clientId } }",
    "lagSummary { maxLag maxLagConsumer { clientId } }",
    "lagSummary { maxLagPartition { partitionId } }",
]


async def _commit(admin: AdminClient, group: str, topic: str) -> None:
    request = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])
    [future] = admin.alter_consumer_group_offsets([request]).values()
    await asyncio.wait_for(asyncio.wrap_future(future), 20)


async def _groups(stack: BackgroundStack, topic: str, count: int) -> list[str]:
    names = [f"graph-{uuid.uuid4().hex[:12]}" for _ in range(count)]
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    await asyncio.gather(*(_commit(admin, name, topic) for name in names))
    return names


async def _counts(local: Any, document: str) -> dict[str, int]:
    async with local.client() as client:
        await client.post("/graphql", json={"query": "{ clusters { topics { totalCount } } }"})
        local.admin.calls.clear()
        local.groups.calls.clear()
        answer = (await client.post("/graphql", json={"query": document})).json()
        assert "errors" not in answer, answer["errors"]
    return dict(local.admin.calls + local.groups.calls)


async def test_the_cost_is_the_same_for_a_group_and_for_thirty(
    local: Any, stack: BackgroundStack, topic: Factory, member: Factory
) -> None:
    name = await topic(partitions=2)
    await member(f"graph-{uuid.uuid4().hex[:12]}", name, partitions=2)
    await _groups(stack, name, 1)
    documents = [f"{{ clusters {{ consumerGroups(first: 1000) {{ nodes {{ {fields} }} }} }} }}" for fields in NESTED]
    before = [await _counts(local, document) for document in documents]
    await _groups(stack, name, 30)
    assert [await _counts(local, document) for document in documents] == before


async def test_a_page_of_groups_with_members_and_lag_takes_four_calls(
    local: Any, stack: BackgroundStack, topic: Factory
) -> None:
    await _groups(stack, await topic(), 3)
    document = """{ clusters { consumerGroups { nodes {
      state consumers { assignments { topicName } } lagSummary { totalLag } } } } }"""
    calls = await _counts(local, document)
    calls.pop("describe_cluster")
    assert calls == {"list_groups": 1, "describe_groups": 1, "committed_offsets": 1, "end_offsets": 1}


async def test_pages(execute: Execute, stack: BackgroundStack, topic: Factory) -> None:
    names = await _groups(stack, await topic(), 31)
    document = """query($after: String) { clusters { consumerGroups(first: 30, after: $after) {
      totalCount pageInfo { hasNextPage endCursor } edges { cursor node { consumerGroupId } } } } }"""
    seen: list[str] = []
    after = None
    while True:
        page = (await execute(document, after=after))["data"]["clusters"][0]["consumerGroups"]
        seen += [edge["node"]["consumerGroupId"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == sorted(seen)
    assert len(seen) == page["totalCount"]
    assert set(names) <= set(seen)
    wrong = await execute("{ clusters { consumerGroups(first: 0) { totalCount } } }")
    assert wrong["errors"][0]["extensions"]["code"] == "INVALID_REQUEST"


async def test_nodes(execute: Execute, topic: Factory, member: Factory, stack: BackgroundStack) -> None:
    name, group = await topic(), "graph/" + uuid.uuid4().hex[:12]
    await member(group, name, settings={"client.id": "reader"})
    document = """query($c: ID!, $g: String!) { cluster(clusterId: $c) { consumerGroup(consumerGroupId: $g) {
      id lags { lag } lagSummary { maxLag } consumers { id assignments { lag { lag } } } } } }"""
    found = (await execute(document, c=stack.cluster_id, g=group))["data"]["cluster"]["consumerGroup"]
    # Nothing is committed: null here, where a request for it alone is an error.
    assert (found["lags"], found["lagSummary"]) == ([], None)
    [consumer] = found["consumers"]
    assert consumer["assignments"] == [{"lag": None}]
    node = "query($id: ID!) { node(id: $id) { ... on ConsumerGroup { state } ... on GroupMember { clientId } } }"
    assert (await execute(node, id=found["id"]))["data"]["node"] == {"state": "STABLE"}
    assert (await execute(node, id=consumer["id"]))["data"]["node"] == {"clientId": "reader"}


@pytest.mark.parametrize("group", ["x" * 40_000, "a\0b", ""])
async def test_invalid_group_ids(client: httpx.AsyncClient, stack: BackgroundStack, group: str) -> None:
    document = """query($c: ID!, $g: String!) { cluster(clusterId: $c) {
      consumerGroup(consumerGroupId: $g) { state } } }"""
    body = json.dumps({"query": document, "variables": {"c": stack.cluster_id, "g": group}})
    answer = (await client.post("/graphql", content=body, headers={"content-type": "application/json"})).json()
    assert answer["errors"][0]["extensions"]["code"] == "CONSUMER_GROUP_NOT_FOUND"


@pytest.mark.parametrize(
    ("blocked", "selection"),
    [
        ("api.v3.consumers.list", "consumers { clientId }"),
        ("api.v3.consumer-group-lag-summary.get", "lagSummary { maxLag }"),
        ("api.v3.consumer-lags.list", "lags { lag }"),
        ("api.v3.consumer-lags.get", 'lag(topicName: "t", partitionId: 0) { lag }'),
        ("api.v3.consumer-assignments.list", "consumers { assignments { topicName } }"),
    ],
)
async def test_access_lists_apply_to_each_field(
    local: Any, topic: Factory, member: Factory, blocked: str, selection: str
) -> None:
    group = f"graph-{uuid.uuid4().hex[:12]}"
    await member(group, await topic())
    document = f'{{ clusters {{ consumerGroup(consumerGroupId: "{group}") {{ state {selection} }} }} }}'
    async with local.client(block=(blocked,)) as client:
        found: httpx.Response = await client.post("/graphql", json={"query": document})
    answer = found.json()
    assert answer["data"]["clusters"][0]["consumerGroup"]["state"] == "STABLE"
    [error] = answer["errors"]
    assert error["extensions"]["metadata"] == {"operation": blocked}
