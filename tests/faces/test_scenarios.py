"""Scenarios on REST, gRPC and GraphQL with the same effects in Kafka and the same kinds of errors."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from typing import Any

import pytest

from faces.clients import Data, FaceClient, Produced
from faces.conftest import Kafka
from faces.generic import FaceError
from faces.rest_client import RestClient
from kafka_facade.core import errors
from kafka_facade.core.errors import FacadeError
from kafka_facade_devstack.background import BackgroundStack


def _name(prefix: str = "faces") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


async def _fails(
    face: FaceClient, kind: type[FacadeError], operation: Awaitable[Any], *, v2: bool = False, record: bool = False
) -> FaceError:
    """Check the kind of an error; with ``record`` it is the error of a record, which has no HTTP status on REST."""
    with pytest.raises(FaceError) as caught:
        await operation
    expected = face.codes(kind, v2=v2)
    if record and caught.value.codes[0] is None:
        expected = (None, *expected[1:])
    assert caught.value.codes == expected, caught.value.message
    assert "Traceback" not in caught.value.message
    assert "/kafka_facade/" not in caught.value.message
    return caught.value


async def test_clusters_and_brokers(face: FaceClient, cluster: str, stack: BackgroundStack) -> None:
    assert await face.clusters() == [cluster]
    assert await face.cluster(cluster) == cluster
    [broker] = await face.brokers(cluster)
    assert f"{broker[1]}:{broker[2]}" == stack.bootstrap_servers
    assert await face.broker(cluster, broker[0]) == broker


async def test_what_does_not_exist(face: FaceClient, cluster: str) -> None:
    await _fails(face, errors.NotFound, face.cluster("nope"))
    await _fails(face, errors.NotFound, face.broker(cluster, 99))
    await _fails(face, errors.TopicNotFound, face.topic(cluster, _name()))
    await _fails(face, errors.TopicNotFound, face.partitions(cluster, _name()))
    await _fails(face, errors.TopicNotFound, face.configs(cluster, _name()))
    await _fails(face, errors.TopicNotFound, face.delete_topic(cluster, _name()))
    await _fails(face, errors.ConsumerInstanceNotFound, face.subscribe("none", "none", ["x"]), v2=True)


async def test_create_read_and_delete_a_topic(face: FaceClient, cluster: str, kafka: Kafka) -> None:
    name = _name()
    created = await face.create_topic(
        cluster,
        name,
        partitions_count=2,
        replication_factor=1,
        configs=[{"name": "cleanup.policy", "value": "compact"}],
    )
    expected = {"topic_name": name, "partitions_count": 2, "replication_factor": 1, "is_internal": False}
    assert created == expected
    assert (await kafka.topics())[name] == 2
    assert await face.topic(cluster, name) == expected
    assert name in await face.topics(cluster)
    assert await face.partitions(cluster, name) == [(0, 1), (1, 1)]
    assert await face.partition(cluster, name, 1) == (1, 1)
    # REST has only the general code for a partition of the path.
    kind = errors.NotFound if isinstance(face, RestClient) else errors.PartitionNotFound
    await _fails(face, kind, face.partition(cluster, name, 7))
    await _fails(face, errors.TopicAlreadyExists, face.create_topic(cluster, name))
    assert (await face.update_partitions(cluster, name, 3))["partitions_count"] == 3
    assert (await kafka.topics())[name] == 3
    await _fails(face, errors.InvalidKafkaRequest, face.update_partitions(cluster, name, 1))
    await face.delete_topic(cluster, name)
    assert name not in await kafka.topics()
    await _fails(face, errors.TopicNotFound, face.topic(cluster, name))


async def test_topics_that_cannot_be_created(face: FaceClient, cluster: str, kafka: Kafka) -> None:
    name = _name()
    await _fails(face, errors.InvalidPayload, face.create_topic(cluster, "bad name!"))
    await _fails(face, errors.InvalidKafkaRequest, face.create_topic(cluster, name, partitions_count=0))
    await _fails(face, errors.InvalidKafkaRequest, face.create_topic(cluster, name, replication_factor=5))
    unknown = [{"name": "nope", "value": "1"}]
    await _fails(face, errors.InvalidKafkaRequest, face.create_topic(cluster, name, configs=unknown))
    await _fails(face, errors.ClusterNotFound, face.create_topic("nope", name))
    assert name not in await kafka.topics()


async def test_topic_configs(face: FaceClient, cluster: str) -> None:
    name = _name()
    await face.create_topic(cluster, name)
    assert (await face.configs(cluster, name))["cleanup.policy"] == "delete"
    assert await face.config(cluster, name, "cleanup.policy") == ("delete", True)
    await face.update_config(cluster, name, "cleanup.policy", "compact")
    assert await face.config(cluster, name, "cleanup.policy") == ("compact", False)
    await face.reset_config(cluster, name, "cleanup.policy")
    assert await face.config(cluster, name, "cleanup.policy") == ("delete", True)
    await face.alter_configs(
        cluster, name, [{"name": "retention.ms", "value": "1000"}, {"name": "cleanup.policy", "operation": "DELETE"}]
    )
    assert await face.config(cluster, name, "retention.ms") == ("1000", False)
    await _fails(face, errors.NotFound, face.config(cluster, name, "nope"))
    await _fails(face, errors.NotFound, face.reset_config(cluster, name, "nope"))
    await _fails(face, errors.NotFound, face.alter_configs(cluster, name, [{"name": "nope", "value": "1"}]))
    await _fails(face, errors.InvalidKafkaRequest, face.update_config(cluster, name, "cleanup.policy", "nonsense"))


async def test_producing(face: FaceClient, cluster: str, kafka: Kafka) -> None:
    name = _name()
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    big = 12345678901234567890
    sent = [
        Produced(Data("JSON", {"a": [1, 2.5, None, big]}), Data("STRING", "k"), 0, [("h", b"1"), ("h", b"\xff")]),
        Produced(Data("BINARY", b"\x00\xff")),
        Produced(Data("STRING", "hällo")),
        Produced(None, Data("JSON", "k")),
        Produced(Data("JSON", None), Data("JSON", "k")),
    ]
    assert [await face.produce(cluster, name, record) for record in sent] == [(0, offset) for offset in range(5)]
    stored = await kafka.records(name)
    assert [(record["key"], record["value"]) for record in stored] == [
        (b"k", b'{"a":[1,2.5,null,12345678901234567890]}'),
        (None, b"\x00\xff"),
        (None, "hällo".encode()),
        (b'"k"', None),
        (b'"k"', None),
    ]
    assert stored[0]["headers"] == [("h", b"1"), ("h", b"\xff")]


async def test_records_that_cannot_be_produced(face: FaceClient, cluster: str, kafka: Kafka) -> None:
    name = _name()
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)

    async def fails(kind: type[FacadeError], record: Produced, topic: str = name) -> None:
        await _fails(face, kind, face.produce(cluster, topic, record), record=True)

    await fails(errors.InvalidRequest, Produced(Data("BINARY", "!!")))
    await fails(errors.InvalidRequest, Produced(Data("BINARY", 5)))
    await fails(errors.InvalidRequest, Produced(Data("STRING", 5)))
    await fails(errors.PartitionNotFound, Produced(Data("JSON", 1), partition=9))
    await fails(errors.PartitionNotFound, Produced(Data("JSON", 1), partition=-1))
    await fails(errors.InvalidTopicName, Produced(Data("JSON", 1)), "bad name")
    await fails(errors.PayloadTooLarge, Produced(Data("STRING", "x" * 1_100_000)))
    assert await kafka.records(name) == []


async def test_keys_choose_partitions_as_in_the_java_client(face: FaceClient, cluster: str) -> None:
    name = _name()
    await face.create_topic(cluster, name, partitions_count=10, replication_factor=1)
    # From org.apache.kafka.common.utils.Utils.murmur2, made positive, modulo ten.
    murmur2 = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    for key, value in murmur2.items():
        partition, _ = await face.produce(cluster, name, Produced(Data("STRING", "v"), Data("STRING", key)))
        assert partition == (value & 0x7FFFFFFF) % 10


@pytest.mark.parametrize("format", ["JSON", "BINARY"])
async def test_create_use_and_delete_a_consumer_instance(
    face: FaceClient, cluster: str, kafka: Kafka, stack: BackgroundStack, format: str
) -> None:
    name, group = _name(), _name("group")
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    values: list[Any] = [{"n": 1}, "two", 3.5, None] if format == "JSON" else [b"1", b"\x00\xff", b"3", None]
    for value in values:
        await face.produce(cluster, name, Produced(Data(format, value), Data("JSON", "k")))
    key: Any = "k" if format == "JSON" else b'"k"'
    settings = {"format": format, "auto_offset_reset": "earliest", "auto_commit": "false", "request_timeout_ms": "3000"}
    assert await face.create_consumer(group, "c1", **settings) == "c1"
    await _fails(face, errors.ConsumerAlreadyExists, face.create_consumer(group, "c1", **settings), v2=True)
    await _fails(face, errors.IllegalConsumerState, face.fetch(group, "c1", format, 100), v2=True)
    await face.subscribe(group, "c1", [name])
    expected = [(offset, key, value) for offset, value in enumerate(values)]
    assert await face.fetch(group, "c1", format, 2000) == expected
    assert await kafka.committed(stack.bootstrap_servers, group, name) < 0
    await face.commit(group, "c1")
    assert await kafka.committed(stack.bootstrap_servers, group, name) == 4
    await face.commit(group, "c1", [(name, 0, 1)])
    assert await kafka.committed(stack.bootstrap_servers, group, name) == 2
    await face.seek(group, "c1", [(name, 0, 2)])
    assert await face.fetch(group, "c1", format, 800) == expected[2:]
    await face.seek_to_beginning(group, "c1", [(name, 0)])
    assert await face.fetch(group, "c1", format, 800) == expected
    await face.seek_to_end(group, "c1", [(name, 0)])
    assert await face.fetch(group, "c1", format, 300) == []
    await _fails(face, errors.IllegalConsumerState, face.seek(group, "c1", [(_name(), 0, 0)]), v2=True)
    other = "BINARY" if format == "JSON" else "JSON"
    await _fails(face, errors.ConsumerFormatMismatch, face.fetch(group, "c1", other, 100), v2=True)
    await face.delete_consumer(group, "c1")
    await _fails(face, errors.ConsumerInstanceNotFound, face.delete_consumer(group, "c1"), v2=True)


async def test_an_undecodable_record_is_an_error_and_stays_the_next_one(face: FaceClient, cluster: str) -> None:
    name, group = _name(), _name("group")
    await face.create_topic(cluster, name, partitions_count=1, replication_factor=1)
    for value in ("1", "hello", "3"):
        await face.produce(cluster, name, Produced(Data("STRING", value)))
    await face.create_consumer(group, "c", format="JSON", auto_offset_reset="earliest", request_timeout_ms="2000")
    await face.subscribe(group, "c", [name])
    if face.shows_undecodable:
        found: list[tuple[int, Any, Any]] = []
        while len(found) < 3:
            found += await face.fetch(group, "c", "JSON", 2000)
        assert found == [(0, None, 1), (1, None, b"hello"), (2, None, 3)]
        await face.delete_consumer(group, "c")
        return
    assert await face.fetch(group, "c", "JSON", 2000) == [(0, None, 1)]
    for _ in range(2):
        await _fails(face, errors.DeserializationFailed, face.fetch(group, "c", "JSON", 1000), v2=True)
    await face.seek(group, "c", [(name, 0, 2)])
    assert await face.fetch(group, "c", "JSON", 1000) == [(2, None, 3)]
    await face.delete_consumer(group, "c")


async def test_consumers_with_invalid_settings(face: FaceClient) -> None:
    await _fails(
        face, errors.InvalidConsumerConfig, face.create_consumer(_name(), "c", auto_offset_reset="nope"), v2=True
    )


async def test_operations_that_are_not_implemented_fail(face: FaceClient, cluster: str) -> None:
    await _fails(face, errors.NotImplementedYet, face.not_served_yet(cluster))
