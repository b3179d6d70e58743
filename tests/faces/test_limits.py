"""Lists that exceed their limit are rejected before anything is sent to Kafka; errors name the list."""

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from conftest import TopicFactory
from faces.clients import FaceClient
from faces.conftest import Kafka
from faces.generic import FaceError
from kafka_facade.core import limits
from kafka_facade_devstack.gateway import Gateway

_SECONDS = 10
_CONFIG = {"name": "retention.ms", "value": "1000"}
_ACL = {
    "resource_type": "TOPIC",
    "resource_name": "limits",
    "pattern_type": "LITERAL",
    "principal": "User:limits",
    "host": "*",
    "operation": "READ",
    "permission": "ALLOW",
}


async def test_configs_of_a_new_topic(face: FaceClient, cluster: str, kafka: Kafka) -> None:
    name = f"limits-{uuid.uuid4().hex[:12]}"
    with pytest.raises(FaceError, match="configs has more than 1000 entries"):
        await face.create_topic(cluster, name, configs=[_CONFIG] * (limits.CONFIGS + 1))
    assert name not in await kafka.topics()
    # What is as long as a list may be reaches Kafka, which knows no such config twice.
    created = await face.create_topic(cluster, name, configs=[_CONFIG] * limits.CONFIGS)
    assert created["topic_name"] == name
    await face.delete_topic(cluster, name)


async def test_acls_of_a_batch(face: FaceClient, cluster: str) -> None:
    with pytest.raises(FaceError, match="data has more than 1000 entries"):
        await face.create_acls(cluster, [_ACL] * (limits.ACLS + 1))
    assert await face.acls(cluster, principal="User:limits") == []


def _bodies(topic: str) -> list[tuple[str, str, Any]]:
    """Paths below the cluster, the rejected field, and bodies."""
    many = [_CONFIG] * (limits.CONFIGS + 1)
    topics = [{"topic_name": topic, "configs": []}] * (limits.CONFIG_TOPICS + 1)
    replicas = {"0": [1], "1": [1] * (limits.REPLICAS + 1)}
    partitions = {str(partition): [1] for partition in range(limits.CREATED_PARTITIONS + 1)}
    new = f"limits-{uuid.uuid4().hex[:12]}"
    return [
        ("topics", "configs", {"topic_name": new, "configs": [_CONFIG] * 20_000}),
        ("topics", "replicas_assignments", {"topic_name": new, "replicas_assignments": partitions}),
        ("topics", "replicas_assignments[1]", {"topic_name": new, "replicas_assignments": replicas}),
        (f"topics/{topic}/configs:alter", "data", {"data": many}),
        ("brokers/1/configs:alter", "data", {"data": many}),
        ("broker-configs:alter", "data", {"data": many}),
        ("topics/-/configs:alter", "data", {"data": topics}),
        ("topics/-/configs:alter", "data[0].configs", {"data": [{"topic_name": topic, "configs": many}]}),
        ("acls:batch", "data", {"data": [_ACL] * 5_000}),
    ]


async def test_rest_names_the_list_that_is_too_long(gateway: Gateway, cluster: str, topic: TopicFactory) -> None:
    name = await topic()
    async with httpx.AsyncClient(base_url=f"{gateway.rest}/v3/clusters/{cluster}/", timeout=_SECONDS) as client:
        async with asyncio.timeout(3 * _SECONDS):
            for path, field, body in _bodies(name):
                refused = await client.post(f"/{path}", json=body)
                assert refused.status_code == 400, (path, refused.text)
                found = refused.json()
                assert found["error_code"] == 400
                assert found["message"].startswith(f"{field} has more than "), (path, found)
