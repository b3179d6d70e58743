"""Groups, commits and configs with invalid or hostile texts do not break reads, on any face."""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import Awaitable, Callable

import grpc
import httpx
import pytest

from faces.clients import FaceClient
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2, consumer_instance_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from raw_kafka import RawConnection, array, assignment, text

Factory = Callable[..., Awaitable[str]]

ASSIGNMENTS = {
    "nothing": b"",
    "one byte": b"\0",
    "noise": bytes(range(256)),
    "a name that is no text": assignment([(b"a\xff", [0])]),
    "half of a pair": assignment([(b"\xed\xa0\x80", [0])]),
    "U+0000": assignment([(b"a\0b", [0])]),
    "no name": assignment([(None, [0, 1])]),
    "an empty name": assignment([(b"", [0])]),
    "a path": assignment([(b"../a?b#c%00", [0])]),
    "a negative partition": assignment([(b"a", [-1, -(2**31), 2**31 - 1])]),
    "many entries that are not there": struct.pack(">hi", 0, 2**31 - 1),
    "a negative number of entries": struct.pack(">hi", 0, -5),
    "another version": b"\x7f\xff" + assignment([(b"a", [0])])[2:],
    "a negative version": b"\xff\xff" + assignment([(b"a", [0])])[2:],
    "no partitions": struct.pack(">h", 0) + array([text(b"a") + struct.pack(">i", -1)]) + struct.pack(">i", -1),
    "the same twice": assignment([(b"a", [0, 0]), (b"a", [0])]),
    "long names": assignment([(b"n" * 30_000, [0, 1])]),
}
TEXTS = {
    "not UTF-8": b"\xff\xfe\xc3(",
    "half of a pair": b"\xed\xa0\x80",
    "U+0000": b"a\0b",
    "control characters": b"\r\n\x1b[31m",
    "a path": b"../../x?y#z%00",
    "long": b"l" * 20_000,
    "empty": b"",
}


async def _read_all(face: FaceClient, cluster: str, group: str) -> list[tuple[str, int]]:
    """Read a group with all operations, and return the assignment of its only member."""
    assert (await face.consumer_groups(cluster))[group] == "STABLE"
    assert (await face.consumer_group(cluster, group))["state"] == "STABLE"
    [reader] = await face.consumers(cluster, group)
    assert await face.consumer(cluster, group, reader.consumer_id) == reader
    assert [lag.lag for lag in await face.lags(cluster, group)] == [0]
    assert (await face.lag_summary(cluster, group)).total == 0
    return await face.consumer_assignments(cluster, group, reader.consumer_id)


@pytest.mark.parametrize("assigned", ASSIGNMENTS.values(), ids=ASSIGNMENTS)
async def test_assignments(
    face: FaceClient, cluster: str, stack: BackgroundStack, topic: Factory, assigned: bytes
) -> None:
    name, group = await topic(), f"hostile-{uuid.uuid4().hex}"
    async with RawConnection(stack.bootstrap_servers) as connection:
        assert await connection.commit(group.encode(), name.encode(), 0, 0, b"") == 0
        await connection.join(group.encode(), b"i-1", assigned)
        found = await _read_all(face, cluster, group)
    assert len(found) <= 4


@pytest.mark.parametrize("raw", TEXTS.values(), ids=TEXTS)
async def test_client_ids_and_names_of_assignors(
    face: FaceClient, cluster: str, stack: BackgroundStack, topic: Factory, raw: bytes
) -> None:
    name, group = await topic(), f"hostile-{uuid.uuid4().hex}"
    async with RawConnection(stack.bootstrap_servers, raw) as connection:
        assert await connection.commit(group.encode(), name.encode(), 0, 0, b"") == 0
        await connection.join(group.encode(), b"i-1", assignment([(b"a", [0])]), raw or b"p")
        assert await _read_all(face, cluster, group) == [("a", 0)]
        [reader] = await face.consumers(cluster, group)
    assert "\ufffd" in reader.client_id if raw[:1] > b"\x7f" else reader.client_id == raw.decode()


@pytest.mark.parametrize("raw", TEXTS.values(), ids=TEXTS)
async def test_ids_of_groups(
    face: FaceClient, cluster: str, stack: BackgroundStack, topic: Factory, raw: bytes
) -> None:
    name, group = await topic(), uuid.uuid4().hex
    async with RawConnection(stack.bootstrap_servers) as connection:
        for odd in (raw[:200], b""):
            assert await connection.commit(group.encode() + odd, name.encode(), 0, 0, b"") == 0
    assert (await face.consumer_groups(cluster))[group] == "EMPTY"


@pytest.mark.parametrize("raw", TEXTS.values(), ids=TEXTS)
async def test_metadata_of_commits(gateway: Gateway, stack: BackgroundStack, topic: Factory, raw: bytes) -> None:
    name, group = await topic(), uuid.uuid4().hex
    async with RawConnection(stack.bootstrap_servers) as connection:
        assert await connection.commit(group.encode(), name.encode(), 0, 5, raw[:4000]) == 0
    found: list[tuple[int, str]] = []
    async with (
        httpx.AsyncClient(timeout=30, headers={"content-type": "application/vnd.kafka.v2+json"}) as client,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        await client.post(f"{gateway.rest}/consumers/{group}", json={"name": "c"})
        body = {"partitions": [{"topic": name, "partition": 0}]}
        path = f"{gateway.rest}/consumers/{group}/instances/c"
        [entry] = (await client.request("GET", f"{path}/offsets", json=body)).json()["offsets"]
        found.append((entry["offset"], entry["metadata"]))
        request = consumer_instance_pb2.GetCommittedOffsetsRequest(
            consumer_group_id=group,
            instance_id="c",
            partitions=[consumer_instance_pb2.TopicPartition(topic_name=name, partition_id=0)],
        )
        stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
        [committed] = (await stub.GetCommittedOffsets(request, timeout=30)).offsets
        found.append((committed.offset, committed.metadata))
        query = f"""{{ consumer(group: "{group}", instance: "c") {{
          committedOffsets(partitions: [{{ topicName: "{name}", partitionId: 0 }}]) {{ offset metadata }} }} }}"""
        headers = {"content-type": "application/json"}
        answer = (await client.post(gateway.graphql, json={"query": query}, headers=headers)).json()
        [shown] = answer["data"]["consumer"]["committedOffsets"]
        found.append((shown["offset"], shown["metadata"]))
        await client.delete(path)
    assert len(set(found)) == 1
    assert found[0][0] == 5
    # Brokers store what Java makes of the bytes.
    assert "\ufffd" in found[0][1] if raw[0:1] > b"\x7f" else found[0][1] == raw[:4000].decode()


@pytest.mark.parametrize("raw", TEXTS.values(), ids=TEXTS)
async def test_values_of_configs(face: FaceClient, cluster: str, stack: BackgroundStack, raw: bytes) -> None:
    name = f"odd.{uuid.uuid4().hex}"
    names = [name.encode(), f"{name}.".encode() + raw[:200]]
    async with RawConnection(stack.bootstrap_servers) as connection:
        try:
            for odd in names:
                assert await connection.set_cluster_config(odd, raw) == 0
            [(broker, _, _)] = await face.brokers(cluster)
            async with asyncio.timeout(20):
                while name not in (found := await face.cluster_configs(cluster)):  # noqa: ASYNC110  nothing tells of it
                    await asyncio.sleep(0.1)
            # A config that brokers do not know counts as a secret.
            assert found[name] is None
            assert (await face.cluster_config(cluster, name))["name"] == name
            assert await face.broker_configs(cluster, broker)
            assert await face.all_broker_configs(cluster)
        finally:
            for odd in names:
                await connection.set_cluster_config(odd, None)
