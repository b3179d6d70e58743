"""Texts that cannot be sent to Kafka are rejected with their field and have no effect, on each face."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest

from conftest import TopicFactory
from faces.clients import FaceClient
from faces.generic import FaceError

# Kafka's protocol counts the bytes of a text in 15 bits; for the C client one ends at U+0000.
LONG = "l" * 33_000
CUT = "1000\0000"
ACL = {
    "resource_type": "TOPIC",
    "pattern_type": "LITERAL",
    "resource_name": "t",
    "principal": "User:a",
    "host": "*",
    "operation": "READ",
    "permission": "ALLOW",
}

ANY = {"resource_type": "TOPIC", "pattern_type": "ANY", "operation": "ANY", "permission": "ANY"}
IMPOSSIBLE = pytest.mark.parametrize("value", [LONG, CUT], ids=["long", "cut"])


def _in_path(face: FaceClient, text: str) -> str:
    return quote(text) if face.__class__.__name__ == "RestClient" else text


async def test_a_topic_name_is_not_cut_at_a_null_character(face: FaceClient, cluster: str, topic: TopicFactory) -> None:
    name = await topic()
    longer = _in_path(face, name + "\0x")
    calls: list[tuple[Callable[[], Awaitable[object]], int]] = [
        (lambda: face.delete_topic(cluster, longer), 40403),
        (lambda: face.update_partitions(cluster, longer, 5), 40403),
        (lambda: face.configs(cluster, longer), 40002),
        (lambda: face.update_config(cluster, longer, "retention.ms", "1000"), 40002),
        (lambda: face.alter_configs(cluster, longer, [{"name": "retention.ms", "value": "1000"}]), 40002),
    ]
    for call, code in calls:
        with pytest.raises(FaceError) as refused:
            await call()
        assert code in refused.value.codes
    assert len(await face.partitions(cluster, name)) == 1
    assert (await face.config(cluster, name, "retention.ms"))[0] != "1000"


@IMPOSSIBLE
async def test_configs(face: FaceClient, cluster: str, topic: TopicFactory, value: str) -> None:
    name = await topic()
    for call in (
        lambda: face.update_config(cluster, name, "retention.ms", value),
        lambda: face.alter_configs(cluster, name, [{"name": "retention.ms", "value": value}]),
        lambda: face.create_topic(cluster, name + "-new", configs=[{"name": "retention.ms", "value": value}]),
        lambda: face.create_topic(cluster, name + "-new", configs=[{"name": f"retention.ms{value}\0", "value": "1"}]),
        lambda: face.update_cluster_config(cluster, "background.threads", value),
    ):
        with pytest.raises(FaceError) as refused:
            await call()
        assert 40002 in refused.value.codes
        assert "32767 bytes" in str(refused.value) or "U+0000" in str(refused.value)
    assert (await face.config(cluster, name, "retention.ms"))[0] != "1000"
    assert name + "-new" not in await face.topics(cluster)


@pytest.mark.parametrize("field", ["resource_name", "principal", "host"])
@IMPOSSIBLE
async def test_acls(face: FaceClient, cluster: str, field: str, value: str) -> None:
    with pytest.raises(FaceError, match=r"32767 bytes|U\+0000") as refused:
        await face.create_acl(cluster, ACL | {field: value})
    assert 40002 in refused.value.codes
    with pytest.raises(FaceError, match=rf"data\[1\]\.{field}|data\[1\]\.resourceName"):
        await face.create_acls(cluster, [ACL, ACL | {field: value}])
    if face.__class__.__name__ != "RestClient":
        with pytest.raises(FaceError, match=r"32767 bytes|U\+0000"):
            await face.acls(cluster, **{field: value})
        with pytest.raises(FaceError, match=r"32767 bytes|U\+0000"):
            await face.delete_acls(cluster, **(ANY | {field: value}))


async def test_a_group_with_a_long_id(face: FaceClient, cluster: str) -> None:
    if face.__class__.__name__ == "RestClient":
        pytest.skip("a request target is not so long")
    with pytest.raises(FaceError, match="32767 bytes") as refused:
        await face.create_consumer(LONG, uuid.uuid4().hex)
    assert 42204 in refused.value.codes
    assert await face.clusters() == [cluster]
