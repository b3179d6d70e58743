"""Queries on a real cluster."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from conftest import GatewayFactory
from kafka_facade_devstack.background import BackgroundStack

Execute = Callable[..., Awaitable[dict[str, Any]]]
TopicFactory = Callable[..., Awaitable[str]]

GRAPH = """
query ($cluster: ID!, $topic: String!) {
  cluster(clusterId: $cluster) {
    clusterId
    controller { brokerId }
    brokers { brokerId host port rack cluster { clusterId } partitionReplicas { partition { topic { topicName } } } }
    topic(topicName: $topic) {
      topicName
      isInternal
      replicationFactor
      partitionsCount
      authorizedOperations
      cluster { clusterId }
      partitions {
        partitionId
        topic { topicName }
        leader { brokerId isLeader isInSync broker { host port } }
        replicas { brokerId partition { partitionId } }
        offsets { earliestOffset latestOffset }
      }
      partition(partitionId: 1) { partitionId replica(brokerId: 1) { isLeader } }
      config(name: "retention.ms") { value source isDefault synonyms { name value source } topic { topicName } }
      configs { name }
    }
  }
}
"""


async def test_the_whole_graph_in_one_query(execute: Execute, stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic(partitions=2, config={"retention.ms": "123456"})
    answer = await execute(GRAPH, cluster=stack.cluster_id, topic=name)
    assert "errors" not in answer, answer["errors"]
    cluster = answer["data"]["cluster"]
    assert cluster["clusterId"] == stack.cluster_id
    assert cluster["controller"] == {"brokerId": 1}
    [broker] = cluster["brokers"]
    assert f"{broker['host']}:{broker['port']}" == stack.bootstrap_servers
    assert name in {replica["partition"]["topic"]["topicName"] for replica in broker["partitionReplicas"]}
    found = cluster["topic"]
    assert found["partitionsCount"] == 2
    assert found["replicationFactor"] == 1
    assert "READ" in found["authorizedOperations"]
    for number, partition in enumerate(found["partitions"]):
        assert partition["partitionId"] == number
        assert partition["topic"] == {"topicName": name}
        leader = {"host": broker["host"], "port": broker["port"]}
        assert partition["leader"] == {"brokerId": 1, "isLeader": True, "isInSync": True, "broker": leader}
        assert partition["replicas"] == [{"brokerId": 1, "partition": {"partitionId": number}}]
        assert partition["offsets"] == {"earliestOffset": 0, "latestOffset": 0}
    assert found["partition"] == {"partitionId": 1, "replica": {"isLeader": True}}
    assert found["config"]["value"] == "123456"
    assert found["config"]["source"] == "DYNAMIC_TOPIC_CONFIG"
    assert found["config"]["isDefault"] is False
    names = [config["name"] for config in found["configs"]]
    assert names == sorted(names)
    assert "cleanup.policy" in names


async def test_topics_are_paginated(execute: Execute, stack: BackgroundStack, topic: TopicFactory) -> None:
    mine = sorted([await topic("page") for _ in range(3)])
    seen: list[str] = []
    after = None
    while True:
        answer = await execute(
            """query ($cluster: ID!, $after: String) { cluster(clusterId: $cluster) { topics(first: 2, after: $after) {
                 totalCount edges { cursor node { topicName } } nodes { topicName }
                 pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }""",
            cluster=stack.cluster_id,
            after=after,
        )
        page = answer["data"]["cluster"]["topics"]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        assert page["pageInfo"]["hasPreviousPage"] is bool(seen)
        seen += [node["topicName"] for node in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == sorted(set(seen))
    assert len(seen) == page["totalCount"]
    assert set(mine) <= set(seen)


async def test_configs_of_all_topics(
    gateway_factory: GatewayFactory, stack: BackgroundStack, topic: TopicFactory
) -> None:
    name = await topic(config={"retention.ms": "777"})
    # Other tests have left many.
    gateway = await gateway_factory({"graphql.max.objects": "1000000"})
    document = """query ($c: ID!) { cluster(clusterId: $c) {
        topics(first: 1) { configs { name value topic { topicName } } } } }"""
    async with httpx.AsyncClient(timeout=60) as client:
        body = {"query": document, "variables": {"c": stack.cluster_id}}
        answer = (await client.post(gateway.graphql, json=body)).json()
    configs = answer["data"]["cluster"]["topics"]["configs"]
    assert {"name": "retention.ms", "value": "777", "topic": {"topicName": name}} in configs


# A cursor in which lists are nested more deeply than a decoder may go.
_DEEP = base64.urlsafe_b64encode(b"[" * 5000).decode()


@pytest.mark.parametrize(
    "selection",
    [
        "id __typename",
        "controller { id __typename }",
        "topic(topicName: $topic) { id __typename }",
        "topic(topicName: $topic) { partition(partitionId: 0) { id __typename } }",
        "topic(topicName: $topic) { partition(partitionId: 0) { leader { id __typename } } }",
        'topic(topicName: $topic) { config(name: "retention.ms") { id __typename } }',
        'broker(brokerId: 1) { config(name: "broker.id") { id __typename } }',
        'brokerConfig(name: "min.insync.replicas") { id __typename }',
    ],
)
async def test_a_node_is_found_by_its_id(
    execute: Execute, stack: BackgroundStack, topic: TopicFactory, selection: str
) -> None:
    declared = "$cluster: ID!, $topic: String!" if "$topic" in selection else "$cluster: ID!"
    answer = await execute(
        f"query ({declared}) {{ cluster(clusterId: $cluster) {{ {selection} }} }}",
        cluster=stack.cluster_id,
        topic=await topic(),
    )
    found = answer["data"]["cluster"]
    while "id" not in found:
        [found] = found.values()
    again = await execute("query ($id: ID!) { node(id: $id) { id __typename } }", id=found["id"])
    assert again == {"data": {"node": found}}


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        "%",
        "é",
        base64.b64encode(b"Topic:a").decode(),
        base64.b64encode(b"X:1").decode(),
        base64.b64encode(b"Cluster:\xff").decode(),
        base64.b64encode(b"Cluster:c").decode() + "\n",
        base64.b64encode(b"Cluster:" + b"%41" * 300_000).decode(),
    ],
)
async def test_an_id_of_another_kind_is_refused(execute: Execute, given: str) -> None:
    answer = await execute("query ($id: ID!) { node(id: $id) { id } }", id=given)
    assert answer["data"] == {"node": None}
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("field", "code", "error_code"),
    [
        ('topic(topicName: "no-such-topic") { id }', "TOPIC_NOT_FOUND", 40403),
        ('topic(topicName: "no such name") { id }', "INVALID_TOPIC_NAME", 40002),
        ('topic(topicName: "_schemas") { partition(partitionId: 9) { id } }', "PARTITION_NOT_FOUND", 40402),
        ('topic(topicName: "_schemas") { config(name: "nope") { id } }', "NOT_FOUND", 404),
        ("broker(brokerId: 99) { id }", "NOT_FOUND", 404),
        ('broker(brokerId: 1) { config(name: "nope") { id } }', "NOT_FOUND", 404),
        ('brokerConfig(name: "nope") { id }', "NOT_FOUND", 404),
        ("topics(first: 0) { totalCount }", "INVALID_REQUEST", 400),
        ('topics(after: "!") { totalCount }', "INVALID_REQUEST", 400),
        (f'topics(after: "{_DEEP}") {{ totalCount }}', "INVALID_REQUEST", 400),
        ("acls(resourceType: UNKNOWN) { host }", "INVALID_REQUEST", 400),
        ("link { __typename }", "NOT_IMPLEMENTED_YET", 50101),
        ("link { config }", "NOT_IMPLEMENTED_YET", 50101),
    ],
)
async def test_a_failed_field_does_not_affect_others(
    execute: Execute, stack: BackgroundStack, field: str, code: str, error_code: int
) -> None:
    answer = await execute(
        f"query ($c: ID!) {{ cluster(clusterId: $c) {{ clusterId {field} }} server {{ name }} }}", c=stack.cluster_id
    )
    assert answer["data"]["cluster"]["clusterId"] == stack.cluster_id
    assert answer["data"]["server"] == {"name": "kafka-facade"}
    [error] = answer["errors"]
    assert error["extensions"]["code"] == code
    assert error["extensions"]["errorCode"] == error_code
    assert error["path"][0] == "cluster"


async def test_a_placeholder_names_its_own_operation(execute: Execute, stack: BackgroundStack) -> None:
    answer = await execute(
        "query ($c: ID!) { cluster(clusterId: $c) { link { configs ...Rest } } } fragment Rest on Link { mirrors }",
        c=stack.cluster_id,
    )
    assert answer["data"] == {"cluster": {"link": {"configs": None, "mirrors": None}}}
    assert {error["extensions"]["metadata"]["operation"] for error in answer["errors"]} == {
        "api.v3.link-configs.list",
        "api.v3.mirrors.list",
    }


async def test_an_unknown_cluster(execute: Execute) -> None:
    answer = await execute('{ cluster(clusterId: "nope") { id } }')
    assert answer["data"] == {"cluster": None}
    assert answer["errors"][0]["extensions"]["errorCode"] == 404


async def test_queries_by_get(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql", params={"query": "{ server { name version } }"})
    assert response.json()["data"]["server"]["name"] == "kafka-facade"
