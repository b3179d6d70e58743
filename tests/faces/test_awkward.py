"""What callers do that nobody planned for, through each face."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import httpx
import pytest

from faces.clients import Data, FaceClient, FaceError, Produced
from kafka_facade.devstack.gateway import Gateway

V2 = {"content-type": "application/vnd.kafka.v2+json"}
JSON = {"accept": "application/vnd.kafka.json.v2+json"}


def _name(prefix: str = "awkward") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("group", ["\0", "a\0b"])
async def test_a_group_that_the_client_would_die_of_is_refused(face: FaceClient, cluster: str, group: str) -> None:
    if face.__class__.__name__ == "RestClient":
        group = group.replace("\0", "%00")
    with pytest.raises(FaceError):
        await face.create_consumer(group, "c")
    assert await face.clusters() == [cluster]


async def test_a_topic_made_anew_with_fewer_partitions(face: FaceClient, cluster: str) -> None:
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


async def test_the_first_record_of_a_topic_that_was_asked_for_before(face: FaceClient, cluster: str) -> None:
    name = _name()
    with pytest.raises(FaceError):
        await face.topic(cluster, name)
    started = time.monotonic()
    assert await face.produce(cluster, name, Produced(Data("JSON", 1))) == (0, 0)
    assert time.monotonic() - started < 3


async def test_the_epoch_itself_is_refused_and_not_stored_as_now(gateway: Gateway, cluster: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        path = f"/v3/clusters/{cluster}/topics/{_name()}/records"
        record: dict[str, Any] = {"value": {"type": "JSON", "data": 1}, "timestamp": "1970-01-01T00:00:00Z"}
        assert (await client.post(path, json=record)).json()["error_code"] == 40002
        record["timestamp"] = "1970-01-01T00:00:00.001Z"
        answer = (await client.post(path, json=record)).json()
        assert (answer["error_code"], answer["timestamp"]) == (200, "1970-01-01T00:00:00.001Z")


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


async def test_a_pattern_takes_what_matches_and_what_comes_to_match(gateway: Gateway, cluster: str) -> None:
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


async def test_without_an_offset_to_start_at_one_can_seek(gateway: Gateway, face: FaceClient, cluster: str) -> None:
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


async def test_scalars_are_taken_for_what_they_are(gateway: Gateway, cluster: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        name = _name()
        body = {"topic_name": name, "partitions_count": "2", "configs": [{"name": "retention.ms", "value": 1000}]}
        answer = await client.post(f"/v3/clusters/{cluster}/topics", json=body)
        assert (answer.status_code, answer.json()["partitions_count"]) == (201, 2)
        path = f"/v3/clusters/{cluster}/topics/{name}/configs/retention.ms"
        assert (await client.put(path, json={"value": 2000})).status_code == 204
        assert (await client.get(path)).json()["value"] == "2000"
