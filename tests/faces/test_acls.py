"""ACLs and batches of records through REST, gRPC and GraphQL."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from faces.clients import Data, FaceClient, Produced
from faces.conftest import Kafka
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.errors import FacadeError

ANY = {"resource_type": "ANY", "pattern_type": "ANY", "operation": "ANY", "permission": "ANY"}


def _acl(principal: str, **changes: str) -> dict[str, str]:
    whole = {
        "resource_type": "TOPIC",
        "resource_name": "acl-topic",
        "pattern_type": "LITERAL",
        "principal": principal,
        "host": "*",
        "operation": "READ",
        "permission": "ALLOW",
    }
    return whole | changes


async def _fails(face: FaceClient, kind: type[FacadeError], operation: Awaitable[Any]) -> str:
    with pytest.raises(FaceError) as caught:
        await operation
    assert caught.value.codes == face.codes(kind), caught.value.message
    return caught.value.message


@pytest.fixture
async def principal(face: FaceClient, cluster: str) -> AsyncIterator[str]:
    """A principal of the test's own; its ACLs go with the test."""
    name = f"User:faces-{uuid.uuid4().hex[:12]}"
    yield name
    await face.delete_acls(cluster, **ANY, principal=name)


async def test_acls(face: FaceClient, cluster: str, principal: str) -> None:
    first = _acl(principal, pattern_type="PREFIXED", operation="ALL")
    others = [
        _acl(principal, operation="WRITE", permission="DENY", host="10.0.0.1"),
        _acl(principal, resource_type="GROUP", resource_name="g"),
        _acl(principal, resource_type="DELEGATION_TOKEN", resource_name="t", operation="DESCRIBE"),
        _acl(principal, resource_type="USER", resource_name="User:x", operation="DESCRIBE_TOKENS"),
        _acl(principal, resource_type="TRANSACTIONAL_ID", resource_name="x", operation="TWO_PHASE_COMMIT"),
    ]
    await face.create_acl(cluster, first)
    await face.create_acls(cluster, others)
    ordered = [others[0], first, others[1], others[4], others[2], others[3]]
    assert await face.acls(cluster, principal=principal) == ordered
    assert await face.acls(cluster, **ANY, principal=principal) == ordered
    everyone = await face.acls(cluster)
    assert all(entry in everyone for entry in ordered)
    assert await face.acls(cluster, principal=principal, host="10.0.0.1") == [others[0]]
    assert await face.acls(cluster, principal=principal, resource_type="USER") == [others[3]]
    assert await face.acls(cluster, principal=principal, operation="TWO_PHASE_COMMIT") == [others[4]]
    covering = {"resource_type": "TOPIC", "resource_name": "acl-topic-1", "pattern_type": "MATCH"}
    assert await face.acls(cluster, principal=principal, **covering) == [first]
    assert await face.delete_acls(cluster, **ANY | covering, principal=principal) == [first]
    assert await face.delete_acls(cluster, **ANY, principal=principal) == [ordered[0], *ordered[2:]]
    assert await face.delete_acls(cluster, **ANY, principal=principal) == []
    assert await face.acls(cluster, principal=principal) == []


async def test_invalid_acls(face: FaceClient, face_name: str, cluster: str, principal: str) -> None:
    for name, value in (*ANY.items(), ("pattern_type", "MATCH")):
        shown = name if face_name != "graphql" else re.sub("_(.)", lambda found: found[1].upper(), name)
        bad = _acl(principal, **{name: value})
        for work in (face.create_acl(cluster, bad), face.create_acls(cluster, [_acl(principal), bad])):
            assert await _fails(face, errors.InvalidRequest, work) == f"{shown} cannot be {value}"
    await _fails(face, errors.InvalidKafkaRequest, face.create_acl(cluster, _acl("alice")))
    await _fails(face, errors.InvalidKafkaRequest, face.create_acl(cluster, _acl(principal, resource_type="CLUSTER")))
    await _fails(face, errors.InvalidKafkaRequest, face.create_acl(cluster, _acl(principal, resource_name="a\0b")))
    await _fails(face, errors.ClusterNotFound, face.create_acl("nope", _acl(principal)))
    await _fails(face, errors.ClusterNotFound, face.create_acls("nope", []))
    await _fails(face, errors.ClusterNotFound, face.delete_acls("nope", **ANY))
    assert await face.acls(cluster, principal=principal) == []


async def test_a_batch_of_records(face: FaceClient, face_name: str, cluster: str, kafka: Kafka) -> None:
    name = f"faces-{uuid.uuid4().hex[:12]}"
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    successes, failures = await face.produce_batch(
        cluster,
        name,
        [
            ("a", Produced(Data("JSON", {"n": 1}), Data("STRING", "k"), 0, [("h", b"\xff")])),
            ("b", Produced(Data("BINARY", "!!"))),
            ("c", Produced(Data("JSON", 1), partition=9)),
            ("d", Produced(Data("STRING", 5))),
            ("e", Produced(Data("BINARY", b"\x00"))),
        ],
    )
    assert successes == [("a", 0, 0), ("e", 0, 1)]

    def codes(kind: type[FacadeError]) -> tuple[Any, ...]:
        # An error of a record has no HTTP status.
        expected = face.codes(kind)
        return (None, *expected[1:]) if failures[0][1][0] is None else expected

    wanted = [("b", errors.InvalidRequest), ("c", errors.PartitionNotFound), ("d", errors.InvalidRequest)]
    assert failures == [(id, codes(kind)) for id, kind in wanted]
    stored = [(record["key"], record["value"]) for record in await kafka.records(name)]
    assert stored == [(b"k", b'{"n":1}'), (None, b"\x00")]
    good = Produced(Data("JSON", 1))
    for entries, message in (
        ([], "Empty batch."),
        ([("a", good), ("a", good)], "Batch entry IDs are not distinct."),
        ([("", good)], "Batch entry identifier is not a valid string."),
        ([("a b", good)], "Batch entry identifier is not a valid string."),
        ([("a" * 81, good)], "Batch entry identifier is not a valid string."),
        ([(str(number), good) for number in range(11)], "Too many entries in batch."),
    ):
        assert await _fails(face, errors.InvalidBatch, face.produce_batch(cluster, name, entries)) == message
    assert len(await kafka.records(name)) == 2
    elsewhere = face.produce_batch("nope", name, [("a", good)])
    if face_name == "rest":
        # As in the official proxy, v3 produce echoes the cluster's id and does not check it.
        assert await elsewhere == ([("a", 0, 2)], [])
    else:
        await _fails(face, errors.ClusterNotFound, elsewhere)
