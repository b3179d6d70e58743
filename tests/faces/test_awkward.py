"""Unusual requests and situations, on each face."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import pytest

from conftest import TopicFactory
from faces.clients import Data, FaceClient, Produced
from faces.conftest import Kafka
from faces.generic import FaceError
from kafka_facade.rpc.gen.v1 import topic_config_pb2, topic_config_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

V2 = {"content-type": "application/vnd.kafka.v2+json"}
JSON = {"accept": "application/vnd.kafka.json.v2+json"}


def _name(prefix: str = "awkward") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("group", ["\0", "a\0b"])
async def test_a_group_that_would_crash_the_client_is_rejected(face: FaceClient, cluster: str, group: str) -> None:
    if face.__class__.__name__ == "RestClient":
        group = group.replace("\0", "%00")
    with pytest.raises(FaceError):
        await face.create_consumer(group, "c")
    assert await face.clusters() == [cluster]


async def test_a_recreated_topic_with_fewer_partitions(face: FaceClient, cluster: str) -> None:
    name = _name()
    await face.create_topic(cluster, name, partitions_count=6, replication_factor=1)
    for key in "abcdefgh":
        await face.produce(cluster, name, Produced(Data("JSON", 1), Data("STRING", key)))
    await face.delete_topic(cluster, name)
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    failed: list[FaceError] = []
    for key in "abcdefgh":
        try:
            assert (await face.produce(cluster, name, Produced(Data("JSON", 1), Data("STRING", key))))[0] == 0
        except FaceError as error:
            failed.append(error)
    # A record in flight to a partition that is gone may fail, with an error that says that trying again helps.
    assert len(failed) <= 1
    assert all(50003 in error.codes for error in failed)


async def test_the_first_record_of_a_topic_that_was_unknown_before(face: FaceClient, cluster: str) -> None:
    name = _name()
    with pytest.raises(FaceError):
        await face.topic(cluster, name)
    started = time.monotonic()
    assert await face.produce(cluster, name, Produced(Data("JSON", 1))) == (0, 0)
    assert time.monotonic() - started < 3


async def test_the_epoch_as_timestamp_is_rejected(gateway: Gateway, cluster: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        path = f"/v3/clusters/{cluster}/topics/{_name()}/records"
        record: dict[str, Any] = {"value": {"type": "JSON", "data": 1}, "timestamp": "1970-01-01T00:00:00Z"}
        assert (await client.post(path, json=record)).json()["error_code"] == 40002
        record["timestamp"] = "1970-01-01T00:00:00.001Z"
        answer = (await client.post(path, json=record)).json()
        assert (answer["error_code"], answer["timestamp"]) == (200, "1970-01-01T00:00:00.001Z")


async def test_a_header_name_that_would_be_truncated_is_rejected(face: FaceClient, cluster: str) -> None:
    name = _name()
    with pytest.raises(FaceError, match="cannot hold the character U\\+0000") as refused:
        await face.produce(cluster, name, Produced(Data("JSON", 1), headers=[("whole", b""), ("a\0b", b"")]))
    assert 40002 in refused.value.codes
    assert await face.produce(cluster, name, Produced(Data("JSON", 1), headers=[("ab", b"")])) == (0, 0)


async def test_offsets_out_of_range(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30, headers=V2) as client:
        group = _name("group")
        await client.post(f"/consumers/{group}", content='{"name":"c"}')
        for path in ("offsets", "positions"):
            for offset, partition in ((2**63 - 1, 0), (-1, 0), (1, -1)):
                body = {"offsets": [{"topic": "t", "partition": partition, "offset": offset}]}
                answer = await client.post(f"/consumers/{group}/instances/c/{path}", json=body, headers=V2)
                assert answer.status_code == 400, answer.text
        await client.delete(f"/consumers/{group}/instances/c")


async def test_a_pattern_includes_topics_created_later(gateway: Gateway, cluster: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30, headers=V2) as client:
        stem, group = _name("pattern"), _name("group")
        topics = f"/v3/clusters/{cluster}/topics"
        await client.post(topics, json={"topic_name": f"{stem}-1"}, headers={"content-type": "application/json"})
        await client.post(f"/consumers/{group}", content='{"name":"c","format":"json","auto.offset.reset":"earliest"}')
        instance = f"/consumers/{group}/instances/c"
        answer = await client.post(f"{instance}/subscription", json={"topic_pattern": f"{stem}-\\d"}, headers=V2)
        assert answer.status_code == 204
        assert (await client.get(f"{instance}/subscription")).json() == {"topics": [f"{stem}-1"]}
        for name in (f"{stem}-1", f"{stem}-2", f"{stem}-x"):
            body = {"value": {"type": "JSON", "data": name}}
            await client.post(f"{topics}/{name}/records", json=body, headers={"content-type": "application/json"})
        seen: set[str] = set()
        for _ in range(20):
            seen |= {entry["value"] for entry in (await client.get(f"{instance}/records", headers=JSON)).json()}
            if len(seen) == 2:
                break
        assert seen == {f"{stem}-1", f"{stem}-2"}
        await client.delete(instance)


async def test_a_seek_without_a_start_offset(gateway: Gateway, face: FaceClient, cluster: str) -> None:
    name, group = _name(), _name("group")
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    for number in range(3):
        await face.produce(cluster, name, Produced(Data("JSON", number)))
    await face.create_consumer(group, "c", format="JSON", auto_offset_reset="none", request_timeout_ms="1000")
    await face.subscribe(group, "c", [name])
    for _ in range(10):
        try:
            await face.seek(group, "c", [(name, 0, 1)])
            break
        except FaceError:
            await asyncio.sleep(0.5)
    found: list[Any] = []
    for _ in range(5):
        try:
            found += await face.fetch(group, "c", "JSON", 1000)
        except FaceError:
            continue
        if found:
            break
    assert [value for _, _, value in found] == [1, 2]
    await face.delete_consumer(group, "c")


async def test_strings_and_numbers_are_converted_to_the_expected_type(gateway: Gateway, cluster: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        name = _name()
        body = {"topic_name": name, "partitions_count": "2", "configs": [{"name": "retention.ms", "value": 1000}]}
        answer = await client.post(f"/v3/clusters/{cluster}/topics", json=body)
        assert (answer.status_code, answer.json()["partitions_count"]) == (201, 2)
        path = f"/v3/clusters/{cluster}/topics/{name}/configs/retention.ms"
        assert (await client.put(path, json={"value": 2000})).status_code == 204
        assert (await client.get(path)).json()["value"] == "2000"


async def test_a_rebalance_repeats_no_records_and_moves_no_commit_back(
    face: FaceClient, cluster: str, kafka: Kafka, stack: BackgroundStack
) -> None:
    name, group = _name(), _name("group")
    await face.create_topic(cluster, name, partitions_count=2, replication_factor=1)
    for number in range(20):
        await face.produce(cluster, name, Produced(Data("JSON", number), partition=number % 2))
    settings = {"format": "JSON", "auto_offset_reset": "earliest", "auto_commit": "false", "request_timeout_ms": "2000"}
    await face.create_consumer(group, "a", **settings)
    await face.subscribe(group, "a", [name])
    # One read may return one partition only: gRPC and GraphQL return available records.
    first: list[tuple[int, Any, Any]] = []
    async with asyncio.timeout(20):
        while len(first) < 20:
            first += await face.fetch(group, "a", "JSON", 2000)
    await face.create_consumer(group, "b", **settings)
    await face.subscribe(group, "b", [name])
    # B gets one of the partitions from where the group stands: nothing is committed, so from its start.
    taken: list[tuple[int, Any, Any]] = []
    for _ in range(10):
        taken += await face.fetch(group, "b", "JSON", 1000)
        again = await face.fetch(group, "a", "JSON", 500)
        if len(taken) == 10:
            break
    assert len({value for _, _, value in taken}) == len(taken) == 10
    assert not {value for _, _, value in again} & {value for _, _, value in taken}
    partition = taken[0][2] % 2
    await face.commit(group, "b")
    assert await kafka.committed(stack.bootstrap_servers, group, name, partition) == 10
    await face.seek_to_beginning(group, "a", [(name, 1 - partition)])
    await face.commit(group, "a")
    assert await kafka.committed(stack.bootstrap_servers, group, name, partition) == 10
    for member in ("a", "b"):
        await face.delete_consumer(group, member)


async def test_records_before_the_first_read_are_returned(face: FaceClient, cluster: str) -> None:
    name, group = _name(), _name("group")
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    await face.produce(cluster, name, Produced(Data("JSON", "before")))
    await face.create_consumer(group, "c", format="JSON", auto_offset_reset="latest", request_timeout_ms="2000")
    await face.subscribe(group, "c", [name])
    await asyncio.sleep(4)
    for number in range(3):
        await face.produce(cluster, name, Produced(Data("JSON", number)))
    await asyncio.sleep(1)
    assert [value for _, _, value in await face.fetch(group, "c", "JSON", 2000)] == [0, 1, 2]
    await face.delete_consumer(group, "c")


async def test_a_new_partition_accepts_records(face: FaceClient, cluster: str) -> None:
    name = _name()
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    await face.produce(cluster, name, Produced(Data("JSON", 1)))
    await face.update_partitions(cluster, name, 3)
    assert await face.produce(cluster, name, Produced(Data("JSON", 1), partition=2)) == (2, 0)


async def test_configs_of_all_topics(gateway: Gateway, cluster: str, face: FaceClient) -> None:
    await face.create_topic(cluster, _name())
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        rest = (await client.get(f"/v3/clusters/{cluster}/topics/-/configs")).json()["data"]
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        stub = topic_config_pb2_grpc.TopicConfigServiceStub(channel)
        listed = await stub.ListAllTopicConfigs(topic_config_pb2.ListAllTopicConfigsRequest(cluster_id=cluster))
    assert listed.total_size == len(rest) > 30


async def test_malformed_messages_are_rejected(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        call: Any = channel.unary_unary("/kafka_facade.v1.TopicService/GetTopic")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"\xff\xff\xff")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_waiting_read_ends_at_shutdown(
    gateway_factory: Callable[..., Awaitable[Gateway]], cluster: str, topic: Callable[..., Awaitable[str]]
) -> None:
    gateway = await gateway_factory({"shutdown.timeout.ms": "20000"})
    name, group = await topic(), _name("group")
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30, headers=V2) as client:
        settings = {"name": "c", "format": "json", "consumer.request.timeout.ms": "60000"}
        await client.post(f"/consumers/{group}", json=settings, headers=V2)
        await client.post(f"/consumers/{group}/instances/c/subscription", json={"topics": [name]}, headers=V2)
        read = asyncio.create_task(client.get(f"/consumers/{group}/instances/c/records", headers=JSON))
        await asyncio.sleep(1)
        started = time.monotonic()
        gateway.child.send(signal.SIGTERM)
        answer = await read
    assert (answer.status_code, answer.json()) == (200, [])
    assert time.monotonic() - started < 5


async def test_shutdown_without_kafka(
    three_brokers: BackgroundStack, gateway_factory: Callable[..., Awaitable[Gateway]]
) -> None:
    gateway = await gateway_factory({"shutdown.timeout.ms": "6000"}, on=three_brokers)
    group = _name("group")
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30, headers=V2) as client:
        await client.post(f"/consumers/{group}", json={"name": "c"}, headers=V2)
        await client.post(f"/consumers/{group}/instances/c/subscription", json={"topics": ["none"]}, headers=V2)
        await asyncio.sleep(2)
        for broker in range(3):
            await three_brokers.pause_broker(broker)
        waiting = asyncio.create_task(client.get(f"/v3/clusters/{three_brokers.cluster_id}/topics"))
        await asyncio.sleep(0.5)
        gateway.child.send(signal.SIGTERM)
        answer = await waiting
    assert (answer.status_code, answer.json()["error_code"]) in ((503, 503), (500, 50003))
    for _ in range(200):
        if gateway.child.exit_code is not None:
            break
        await asyncio.sleep(0.05)
    assert gateway.child.exit_code == 0


async def test_delivered_records_are_committed_when_a_member_leaves(
    face: FaceClient, cluster: str, kafka: Kafka, stack: BackgroundStack
) -> None:
    name, group = _name(), _name("group")
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    for number in range(3):
        await face.produce(cluster, name, Produced(Data("JSON", number)))
    await face.create_consumer(group, "c", format="JSON", auto_offset_reset="earliest", request_timeout_ms="2000")
    await face.subscribe(group, "c", [name])
    assert len(await face.fetch(group, "c", "JSON", 2000)) == 3
    await face.delete_consumer(group, "c")
    assert await kafka.committed(stack.bootstrap_servers, group, name) == 3


async def test_short_lived_members_do_not_block_the_server(gateway: Gateway, cluster: str) -> None:
    name, group = _name(), _name("group")
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30, headers=V2) as client:
        await client.post(
            f"/v3/clusters/{cluster}/topics", json={"topic_name": name}, headers={"content-type": "application/json"}
        )

        async def visit(member: int) -> None:
            for visit in range(8):
                path = f"/consumers/{group}-{member % 3}/instances/c{member}"
                await client.post(f"/consumers/{group}-{member % 3}", json={"name": f"c{member}"}, headers=V2)
                await client.post(f"{path}/subscription", json={"topics": [name]}, headers=V2)
                await asyncio.sleep(0.05 * (visit % 4))
                assert (await client.delete(path)).status_code == 204

        visits = asyncio.gather(*(visit(member) for member in range(6)))
        while not visits.done():
            assert (await asyncio.wait_for(client.get("/"), 5)).status_code == 200
            await asyncio.sleep(0.1)
        await visits


async def test_a_record_that_kafka_rejects_fails_alone(face: FaceClient, cluster: str, topic: TopicFactory) -> None:
    name = await topic(config={"cleanup.policy": "compact"})

    async def produce(key: Data | None) -> tuple[int, int] | FaceError:
        try:
            return await face.produce(cluster, name, Produced(Data("JSON", 1), key))
        except FaceError as error:
            return error

    outcomes = await asyncio.gather(
        *(produce(None if number % 10 == 5 else Data("STRING", "k")) for number in range(50))
    )
    for number, outcome in enumerate(outcomes):
        if number % 10 == 5:
            assert isinstance(outcome, FaceError)
            assert 40002 in outcome.codes or "INVALID_ARGUMENT" in outcome.codes
            assert "without a key" in outcome.message
        else:
            assert isinstance(outcome, tuple)


@pytest.mark.parametrize("count", [0, -5, 100_001])
async def test_an_invalid_number_of_partitions(face: FaceClient, cluster: str, topic: TopicFactory, count: int) -> None:
    name = await topic()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: face.update_partitions(cluster, name, count),
        lambda: face.create_topic(cluster, _name(), partitions_count=count),
    ]
    for call in calls:
        with pytest.raises(FaceError, match=r"Number of partitions|100000 partitions") as refused:
            await call()
        assert 40002 in refused.value.codes


async def test_more_than_one_instance_can_read(face: FaceClient, cluster: str) -> None:
    name, group = _name(), _name("group")
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    await face.create_consumer(group, "c")
    with pytest.raises(FaceError, match="At most 2000 partitions") as refused:
        await face.assign(group, "c", [(name, number) for number in range(2_001)])
    assert 400 in refused.value.codes
    with pytest.raises(FaceError, match="10000") as refused:
        await face.subscribe(group, "c", [f"{name}-{number}" for number in range(10_001)])
    # gRPC rejects such a list before it is read.
    assert {400, 413} & set(refused.value.codes)
    await face.assign(group, "c", [(name, number) for number in range(2_000)])
    await face.delete_consumer(group, "c")
