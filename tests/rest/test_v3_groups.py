"""v3 consumer groups, consumers, assignments and lags: members, order, links, codes."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, ElectionType, Producer, TopicPartition
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    ResourceType,
)

from denial import denied
from kafka_facade_devstack.background import BackgroundStack

Factory = Callable[..., Awaitable[Any]]
Commit = Callable[..., Awaitable[None]]

_SECONDS = 20
_NOT_FOUND = {"error_code": 404, "message": "HTTP 404 Not Found"}


_OFFSETS = "__consumer_offsets"


def _new_name() -> str:
    return f"rest-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def commit(stack: BackgroundStack) -> Commit:
    """`await commit(group, {(topic, partition): offset})`: commit for a group without members, as tools do."""

    async def run(group: str, offsets: dict[tuple[str, int], int]) -> None:
        admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
        partitions = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        [future] = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)]).values()
        await asyncio.wait_for(asyncio.wrap_future(future), _SECONDS)

    return run


async def _write(stack: BackgroundStack, topic: str, counts: list[int]) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for partition, count in enumerate(counts):
        for _ in range(count):
            producer.produce(topic, b"x", partition=partition)
    assert await asyncio.to_thread(producer.flush, _SECONDS) == 0


async def _data(client: httpx.AsyncClient, url: str) -> list[dict[str, Any]]:
    response = await client.get(url)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json"), response.text
    document = response.json()
    assert list(document) == ["kind", "metadata", "data"]
    assert document["kind"].endswith("List")
    assert document["metadata"] == {"self": str(response.request.url), "next": None}
    found: list[dict[str, Any]] = document["data"]
    return found


async def _follow(client: httpx.AsyncClient, document: dict[str, Any], relation: str) -> Any:
    response = await client.get(document[relation]["related"])
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(("protocol", "assignor"), [("classic", "range"), ("consumer", "uniform")])
async def test_a_group_with_a_member(
    client: httpx.AsyncClient,
    cluster: str,
    stack: BackgroundStack,
    topic: Factory,
    member: Factory,
    protocol: str,
    assignor: str,
) -> None:
    name, group = await topic(partitions=2), _new_name()
    await _write(stack, name, [2, 0])
    await member(group, name, read=2, partitions=2, settings={"group.protocol": protocol, "client.id": "reader"})
    await _write(stack, name, [1, 0])
    base, where = f"{client.base_url}".rstrip("/"), f"{cluster}/consumer-groups/{group}"

    found = (await client.get(where)).json()
    crn = f"crn:///kafka={stack.cluster_id}/consumer-group={group}"
    assert found == {
        "kind": "KafkaConsumerGroup",
        "metadata": {"self": base + where, "resource_name": crn},
        "cluster_id": stack.cluster_id,
        "consumer_group_id": group,
        "is_simple": False,
        "partition_assignor": assignor,
        "state": "STABLE",
        "type": protocol.upper(),
        "is_mixed_consumer_group": False,
        "coordinator": {"related": f"{base}{cluster}/brokers/1"},
        "consumers": {"related": f"{base}{where}/consumers"},
        "lag_summary": {"related": f"{base}{where}/lag-summary"},
    }
    assert list(found) == [
        *("kind", "metadata", "cluster_id", "consumer_group_id", "is_simple", "partition_assignor", "state", "type"),
        *("is_mixed_consumer_group", "coordinator", "consumers", "lag_summary"),
    ]
    assert found in await _data(client, f"{cluster}/consumer-groups")
    assert (await _follow(client, found, "coordinator"))["kind"] == "KafkaBroker"

    [consumer] = await _data(client, found["consumers"]["related"])
    consumer_id = consumer["consumer_id"]
    at = f"{where}/consumers/{quote(consumer_id, safe='+')}"
    assert consumer == {
        "kind": "KafkaConsumer",
        "metadata": {"self": base + at, "resource_name": f"{crn}/consumer={consumer_id}"},
        "cluster_id": stack.cluster_id,
        "consumer_group_id": group,
        "consumer_id": consumer_id,
        "instance_id": None,
        "client_id": "reader",
        "assignments": {"related": f"{base}{at}/assignments"},
    }
    assert list(consumer)[2:] == [
        *("cluster_id", "consumer_group_id", "consumer_id", "instance_id", "client_id", "assignments")
    ]
    assert (await client.get(consumer["metadata"]["self"])).json() == consumer

    first, second = await _data(client, consumer["assignments"]["related"])
    assert first == {
        "kind": "KafkaConsumerAssignment",
        "metadata": {
            "self": f"{base}{at}/assignments/{name}/partitions/0",
            "resource_name": f"{crn}/consumer={consumer_id}/assignment={name}/partition=0",
        },
        "cluster_id": stack.cluster_id,
        "consumer_group_id": group,
        "consumer_id": consumer_id,
        "topic_name": name,
        "partition_id": 0,
        "partition": {"related": f"{base}{cluster}/topics/{name}/partitions/0"},
        "lag": {"related": f"{base}{where}/lags/{name}/partitions/0"},
    }
    assert second["partition_id"] == 1
    assert (await client.get(first["metadata"]["self"])).json() == first
    assert (await _follow(client, first, "partition"))["kind"] == "KafkaPartition"

    lag = await _follow(client, first, "lag")
    assert lag == {
        "kind": "KafkaConsumerLag",
        "metadata": {
            "self": f"{base}{where}/lags/{name}/partitions/0",
            "resource_name": f"{crn}/lag={name}/partition=0",
        },
        "cluster_id": stack.cluster_id,
        "consumer_group_id": group,
        "topic_name": name,
        "partition_id": 0,
        "consumer_id": consumer_id,
        "instance_id": None,
        "client_id": "reader",
        "current_offset": 2,
        "log_end_offset": 3,
        "lag": 1,
    }
    assert list(lag)[4:] == [
        *("topic_name", "partition_id", "consumer_id", "instance_id", "client_id"),
        *("current_offset", "log_end_offset", "lag"),
    ]
    assert await _data(client, f"{where}/lags") == [lag]

    summary = await _follow(client, found, "lag_summary")
    assert summary == {
        "kind": "KafkaConsumerGroupLagSummary",
        "metadata": {
            "self": f"{base}{where}/lag-summary",
            "resource_name": f"crn:///kafka={stack.cluster_id}/consumer-groups={group}/lag-summary",
        },
        "cluster_id": stack.cluster_id,
        "consumer_group_id": group,
        "max_lag": 1,
        "total_lag": 1,
        "max_lag_consumer_id": consumer_id,
        "max_lag_consumer": {"related": base + at},
        "max_lag_client_id": "reader",
        "max_lag_instance_id": None,
        "max_lag_topic_name": name,
        "max_lag_partition_id": 0,
        "max_lag_partition": {"related": f"{base}{cluster}/topics/{name}/partitions/0"},
    }
    assert list(summary)[4:] == [
        *("max_lag", "total_lag", "max_lag_consumer_id", "max_lag_consumer", "max_lag_client_id"),
        *("max_lag_instance_id", "max_lag_topic_name", "max_lag_partition_id", "max_lag_partition"),
    ]
    assert (await _follow(client, summary, "max_lag_consumer")) == consumer
    assert (await _follow(client, summary, "max_lag_partition"))["kind"] == "KafkaPartition"


async def test_members_share_partitions(
    client: httpx.AsyncClient, cluster: str, topic: Factory, member: Factory
) -> None:
    name, group = await topic(partitions=2), _new_name()
    settings = {"group.protocol": "consumer", "group.instance.id": "static-1"}
    await member(group, name, partitions=2, settings=settings)
    await member(group, name, partitions=1, settings=settings | {"group.instance.id": "static-2"})
    consumers = await _data(client, f"{cluster}/consumer-groups/{group}/consumers")
    assert {consumer["instance_id"] for consumer in consumers} == {"static-1", "static-2"}
    assert [c["consumer_id"] for c in consumers] == sorted(c["consumer_id"] for c in consumers)
    held = [await _data(client, consumer["assignments"]["related"]) for consumer in consumers]
    assert sorted(entry["partition_id"] for entries in held for entry in entries) == [0, 1]


async def test_members_of_both_protocols(
    client: httpx.AsyncClient, cluster: str, topic: Factory, member: Factory
) -> None:
    name, group = await topic(partitions=2), _new_name()
    where = f"{cluster}/consumer-groups/{group}"
    old = await member(group, name, partitions=2, settings={"heartbeat.interval.ms": "300"})
    await member(group, name, settings={"group.protocol": "consumer"})
    found = (await client.get(where)).json()
    assert (found["type"], found["is_mixed_consumer_group"]) == ("CONSUMER", True)
    held = [await _data(client, c["assignments"]["related"]) for c in await _data(client, f"{where}/consumers")]
    assert [len(entries) for entries in held] == [1, 1]
    await old.leave()
    assert (await client.get(where)).json()["is_mixed_consumer_group"] is False


async def test_a_disconnected_static_member(
    client: httpx.AsyncClient, cluster: str, topic: Factory, member: Factory
) -> None:
    name, group = await topic(), _new_name()
    settings = {"group.protocol": "consumer", "group.instance.id": "static"}
    away = await member(group, name, settings=settings)
    await away.leave()
    where = f"{cluster}/consumer-groups/{group}"
    # It keeps its place until its session ends: a state that only groups of this protocol have.
    assert (await client.get(where)).json()["state"] in ("ASSIGNING", "RECONCILING")
    [consumer] = await _data(client, f"{where}/consumers")
    assert consumer["instance_id"] == "static"


async def test_a_group_that_is_rebalancing(
    client: httpx.AsyncClient, cluster: str, topic: Factory, member: Factory
) -> None:
    name, group = await topic(), _new_name()
    gone = await member(group, name, settings={"session.timeout.ms": "10000"})
    await gone.kill()
    await member(group, name, partitions=None)
    where = f"{cluster}/consumer-groups/{group}"
    async with asyncio.timeout(_SECONDS):
        while (await client.get(where)).json()["state"] != "PREPARING_REBALANCE":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await client.get(where)).json()["partition_assignor"] == ""


@pytest.mark.parametrize(("protocol", "assignor"), [("classic", ""), ("consumer", "uniform")])
async def test_a_group_whose_members_have_left(
    client: httpx.AsyncClient,
    cluster: str,
    stack: BackgroundStack,
    topic: Factory,
    member: Factory,
    protocol: str,
    assignor: str,
) -> None:
    name, group = await topic(), _new_name()
    await _write(stack, name, [2])
    left = await member(group, name, read=1, settings={"group.protocol": protocol})
    await left.leave()
    where = f"{cluster}/consumer-groups/{group}"
    found = (await client.get(where)).json()
    shown = ("is_simple", "state", "type", "partition_assignor")
    assert [found[member] for member in shown] == [False, "EMPTY", protocol.upper(), assignor]
    assert await _data(client, f"{where}/consumers") == []
    [lag] = await _data(client, f"{where}/lags")
    assert [lag[part] for part in ("consumer_id", "instance_id", "client_id", "lag")] == ["", None, "", 1]
    summary = await _follow(client, found, "lag_summary")
    assert (summary["max_lag"], summary["max_lag_consumer_id"], summary["max_lag_client_id"]) == (1, "", "")
    assert summary["max_lag_consumer"]["related"].endswith(f"{where}/consumers")
    assert (await _follow(client, summary, "max_lag_consumer"))["data"] == []


async def test_a_group_with_only_offsets(
    client: httpx.AsyncClient, cluster: str, stack: BackgroundStack, topic: Factory, commit: Commit
) -> None:
    wide, narrow = await topic(partitions=3), await topic()
    await _write(stack, wide, [4, 9, 4])
    await _write(stack, narrow, [4])
    group = _new_name()
    await commit(group, {(wide, 0): 1, (wide, 1): 1, (wide, 2): 1, (narrow, 0): 1})
    where = f"{cluster}/consumer-groups/{group}"
    found = (await client.get(where)).json()
    shown = ("is_simple", "state", "type", "partition_assignor")
    assert [found[member] for member in shown] == [True, "EMPTY", "CLASSIC", ""]
    lags = await _data(client, f"{where}/lags")
    equal = sorted([(wide, 0), (wide, 2), (narrow, 0)])
    assert [(lag["topic_name"], lag["partition_id"]) for lag in lags] == [(wide, 1), *equal]
    assert [lag["lag"] for lag in lags] == [8, 3, 3, 3]
    summary = await _follow(client, found, "lag_summary")
    assert (summary["max_lag"], summary["total_lag"], summary["max_lag_partition_id"]) == (8, 17, 1)


async def test_records_of_an_open_transaction_are_not_part_of_the_lag(
    client: httpx.AsyncClient, cluster: str, stack: BackgroundStack, topic: Factory, commit: Commit
) -> None:
    name, group = await topic(), _new_name()
    await _write(stack, name, [1])
    await commit(group, {(name, 0): 0})
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "transactional.id": group})
    await asyncio.to_thread(producer.init_transactions, _SECONDS)
    producer.begin_transaction()
    producer.produce(name, b"x")
    await asyncio.to_thread(producer.flush, _SECONDS)
    where = f"{cluster}/consumer-groups/{group}/lags/{name}/partitions/0"
    assert (await client.get(where)).json()["lag"] == 1
    await asyncio.to_thread(producer.commit_transaction, _SECONDS)
    # The record, and the marker that ends the transaction.
    async with asyncio.timeout(_SECONDS):
        while (await client.get(where)).json()["lag"] != 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_group_without_commits(
    client: httpx.AsyncClient, cluster: str, topic: Factory, member: Factory
) -> None:
    name, group = await topic(), _new_name()
    await member(group, name)
    where = f"{cluster}/consumer-groups/{group}"
    expected = {"error_code": 404, "message": "Consumer group offsets could not be found."}
    for path in ("lags", f"lags/{name}/partitions/0", "lag-summary"):
        response = await client.get(f"{where}/{path}")
        assert (response.status_code, response.json()) == (404, expected)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "HTTP 404 Not Found"),
        ("/consumers", "Consumer Group {} does not exist."),
        ("/consumers/c", "Consumer Group {} does not exist."),
        ("/consumers/c/assignments", "Consumer Group {} does not exist."),
        ("/consumers/c/assignments/t/partitions/0", "Consumer Group {} does not exist."),
        ("/lag-summary", "Consumer Group {} could not be found."),
        ("/lags", "Consumer Group {} could not be found."),
        ("/lags/t/partitions/0", "Consumer Group {} could not be found."),
    ],
)
async def test_unknown_groups(client: httpx.AsyncClient, cluster: str, path: str, message: str) -> None:
    for group in ("nope", "no pe", "nö/pe%?#", "\0", ".."):
        segment = quote(group, safe="").replace("..", "%2E%2E")
        response = await client.get(f"{cluster}/consumer-groups/{segment}{path}")
        expected = {"error_code": 404, "message": message.format(group)}
        assert (response.status_code, response.json()) == (404, expected)
    other = await client.get(f"/v3/clusters/nope/consumer-groups/g{path}")
    assert (other.status_code, other.json()["error_code"]) == (404, 404)
    assert "nope" in other.json()["message"]


async def test_unknown_members_and_partitions(
    client: httpx.AsyncClient, cluster: str, topic: Factory, member: Factory, commit: Commit
) -> None:
    name, group = await topic(), _new_name()
    await member(group, name)
    where = f"{cluster}/consumer-groups/{group}"
    [consumer] = await _data(client, f"{where}/consumers")
    assert (await client.get(f"{where}/consumers/nope")).json() == _NOT_FOUND
    unknown = {"error_code": 404, "message": "Consumer nope does not exist."}
    assert (await client.get(f"{where}/consumers/nope/assignments")).json() == unknown
    assert (await client.get(f"{where}/consumers/nope/assignments/{name}/partitions/0")).json() == unknown
    held = consumer["assignments"]["related"]
    assert (await client.get(f"{held}/{name}/partitions/1")).json() == _NOT_FOUND
    assert (await client.get(f"{held}/nope/partitions/0")).json() == _NOT_FOUND
    kept = _new_name()
    await commit(kept, {(name, 0): 0})
    assert (await client.get(f"{cluster}/consumer-groups/{kept}/lags/{name}/partitions/1")).json() == _NOT_FOUND
    assert (await client.get(f"{cluster}/consumer-groups/{kept}/lags/nope/partitions/0")).json() == _NOT_FOUND


@pytest.mark.parametrize("partition", ["x", "1.5", "2147483648", "0x1", "%20"])
@pytest.mark.parametrize("path", ["lags/t/partitions/", "consumers/c/assignments/t/partitions/"])
async def test_partitions_that_are_not_numbers(
    client: httpx.AsyncClient, cluster: str, path: str, partition: str
) -> None:
    response = await client.get(f"{cluster}/consumer-groups/g/{path}{partition}")
    assert (response.status_code, response.json()["error_code"]) == (400, 400)


async def test_unsupported_requests(client: httpx.AsyncClient, cluster: str) -> None:
    assert (await client.get("/v3/clusters/nope/consumer-groups")).status_code == 404
    for method, path in [("DELETE", "/g"), ("POST", ""), ("PUT", "/g/lag-summary"), ("PATCH", "/g/consumers/c")]:
        response = await client.request(method, f"{cluster}/consumer-groups{path}")
        assert (response.status_code, response.json()["error_code"]) == (405, 405)
    unacceptable = await client.get(f"{cluster}/consumer-groups", headers={"accept": "text/plain"})
    assert unacceptable.status_code == 406


@pytest.mark.parametrize("group", ["with space", "ns:team+1@x", "a/b", "ü", "100%", "q?x#y"])
async def test_links_with_unusual_ids_resolve(
    client: httpx.AsyncClient, cluster: str, topic: Factory, commit: Commit, group: str
) -> None:
    group = f"{group}-{_new_name()}"
    name = await topic()
    await commit(group, {(name, 0): 0})
    [found] = [g for g in await _data(client, f"{cluster}/consumer-groups") if g["consumer_group_id"] == group]
    assert (await client.get(found["metadata"]["self"])).json() == found
    summary = await _follow(client, found, "lag_summary")
    assert summary["consumer_group_id"] == group
    assert (await client.get(summary["metadata"]["self"])).json() == summary
    assert (await _follow(client, found, "consumers"))["metadata"]["self"] == found["consumers"]["related"]
    [lag] = await _data(client, found["metadata"]["self"] + "/lags")
    assert (await client.get(lag["metadata"]["self"])).json() == lag


async def test_a_group_without_authorization_to_describe(
    client: httpx.AsyncClient,
    cluster: str,
    topic: Factory,
    commit: Commit,
    stack: BackgroundStack,
) -> None:
    name, group = await topic(), _new_name()
    await commit(group, {(name, 0): 0})
    where = f"{cluster}/consumer-groups/{group}"
    async with denied(stack, (ResourceType.GROUP, group, AclOperation.ALL)):
        for path in ("", "/consumers", "/lag-summary", "/lags", f"/lags/{name}/partitions/0"):
            response = await client.get(where + path)
            assert (response.status_code, response.json()["error_code"]) == (403, 40301)
        assert group not in [g["consumer_group_id"] for g in await _data(client, f"{cluster}/consumer-groups")]


async def _coordinators(stack: BackgroundStack) -> dict[int, int]:
    """Which broker leads each partition of the groups' topic, which is more than one: tests that kill brokers may have
    left all with one."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    async with asyncio.timeout(_SECONDS):
        while True:
            described = (await asyncio.to_thread(admin.list_topics, _OFFSETS, timeout=10)).topics[_OFFSETS].partitions
            leaders = {partition.id: partition.leader for partition in described.values()}
            if len(set(leaders.values())) > 1:
                return leaders
            partitions = [TopicPartition(_OFFSETS, partition) for partition in leaders]
            await asyncio.wrap_future(admin.elect_leaders(ElectionType.PREFERRED, partitions))
            await asyncio.sleep(0.2)


def _partition_of(group: str, partitions: int) -> int:
    """Where Kafka keeps a group: by the hash of its id, as Java has it."""
    hashed = 0
    for letter in group:
        hashed = (31 * hashed + ord(letter)) & 0xFFFFFFFF
    return abs(hashed - (1 << 32) if hashed >> 31 else hashed) % partitions


async def test_groups_of_several_coordinators(
    three_brokers: BackgroundStack, gateway_factory: Factory, topic: Factory, member: Factory
) -> None:
    name = await topic(partitions=1, replicas=3, on=three_brokers)
    settings = {"group.protocol": "consumer"}
    # The first member makes Kafka create the topic of the groups.
    await member(_new_name(), name, settings=settings, on=three_brokers)
    leaders = await _coordinators(three_brokers)
    groups: list[str] = []
    while len(groups) < 6 or len({leaders[_partition_of(group, len(leaders))] for group in groups}) < 2:
        groups.append(_new_name())
    await asyncio.gather(*(member(group, name, settings=settings, on=three_brokers) for group in groups))
    gateway = await gateway_factory(on=three_brokers)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        found = await _data(client, f"/v3/clusters/{three_brokers.cluster_id}/consumer-groups")
        ours = [group for group in found if group["consumer_group_id"] in groups]
        assert [group["consumer_group_id"] for group in ours] == sorted(groups)
        assert {(group["state"], group["is_mixed_consumer_group"]) for group in ours} == {("STABLE", False)}
        coordinators = {(await _follow(client, group, "coordinator"))["broker_id"] for group in ours}
        assert len(coordinators) > 1
        for group in ours:
            assert (await client.get(group["metadata"]["self"])).json() == group
