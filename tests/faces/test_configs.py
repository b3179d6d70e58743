"""Configs of brokers, of all brokers together and of several topics, on REST, gRPC and GraphQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from faces.clients import FaceClient
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.errors import FacadeError

TopicFactory = Callable[..., Awaitable[str]]

NAME = "log.cleaner.threads"
OTHER = "compression.type"
DEFAULT = ("1", "DEFAULT_CONFIG")


async def _fails(face: FaceClient, kind: type[FacadeError], operation: Awaitable[Any]) -> None:
    with pytest.raises(FaceError) as caught:
        await operation
    assert caught.value.codes == face.codes(kind), caught.value.message
    assert "Traceback" not in caught.value.message


@pytest.fixture
async def broker(face: FaceClient, cluster: str) -> AsyncIterator[int]:
    """A broker whose config changes, and those of all brokers, are reverted after the test."""
    yield 1
    reset = [{"name": name, "operation": "DELETE"} for name in (NAME, OTHER)]
    await face.alter_broker_configs(cluster, 1, reset)
    await face.alter_cluster_configs(cluster, reset)


async def test_configs_of_brokers(face: FaceClient, cluster: str, broker: int) -> None:
    configs = await face.broker_configs(cluster, broker)
    assert (configs["broker.id"], configs[NAME]) == ("1", "1")
    assert await face.all_broker_configs(cluster) == [(broker, name) for name in sorted(configs)]
    found = await face.broker_config(cluster, broker, NAME)
    plain = {"name": NAME, "value": "1", "source": "DEFAULT_CONFIG"}
    assert found == {
        **plain,
        "is_default": True,
        "is_read_only": False,
        "is_sensitive": False,
        "synonyms": [DEFAULT],
    }
    static = await face.broker_config(cluster, broker, "broker.id")
    assert (static["source"], static["is_default"], static["is_read_only"]) == ("STATIC_BROKER_CONFIG", False, True)

    await face.update_cluster_config(cluster, NAME, "2")
    await face.update_broker_config(cluster, broker, NAME, "3")
    found = await face.broker_config(cluster, broker, NAME)
    of_all = ("2", "DYNAMIC_DEFAULT_BROKER_CONFIG")
    assert found["synonyms"] == [("3", "DYNAMIC_BROKER_CONFIG"), of_all, DEFAULT]
    assert (found["value"], found["source"], found["is_default"]) == ("3", "DYNAMIC_BROKER_CONFIG", False)
    await face.reset_broker_config(cluster, broker, NAME)
    assert (await face.broker_config(cluster, broker, NAME))["synonyms"] == [of_all, DEFAULT]
    changes = [{"name": NAME, "operation": "DELETE"}, {"name": OTHER, "value": "lz4"}]
    await face.alter_broker_configs(cluster, broker, changes, validate_only=True)
    assert (await face.broker_config(cluster, broker, OTHER))["value"] == "producer"
    await face.alter_broker_configs(cluster, broker, changes)
    assert (await face.broker_config(cluster, broker, OTHER))["value"] == "lz4"

    await _fails(face, errors.ClusterNotFound, face.update_broker_config("nope", broker, NAME, "2"))
    await _fails(face, errors.NotFound, face.broker_configs(cluster, 99))
    await _fails(face, errors.NotFound, face.update_broker_config(cluster, 99, NAME, "2"))
    await _fails(face, errors.NotFound, face.broker_config(cluster, broker, "nope"))
    await _fails(face, errors.NotFound, face.update_broker_config(cluster, broker, "nope", "1"))
    await _fails(face, errors.NotFound, face.reset_broker_config(cluster, broker, "nope"))
    await _fails(face, errors.InvalidKafkaRequest, face.update_broker_config(cluster, broker, NAME, "x"))
    await _fails(face, errors.InvalidKafkaRequest, face.update_broker_config(cluster, broker, "broker.id", "7"))
    null = [{"name": NAME}]
    await _fails(face, errors.InvalidKafkaRequest, face.alter_broker_configs(cluster, broker, null))


async def test_configs_of_all_brokers(face: FaceClient, cluster: str, broker: int) -> None:
    before = await face.cluster_configs(cluster)
    await _fails(face, errors.NotFound, face.cluster_config(cluster, NAME))
    await face.update_cluster_config(cluster, NAME, "2")
    source = "DYNAMIC_DEFAULT_BROKER_CONFIG"
    plain = {"name": NAME, "value": "2", "source": source}
    assert await face.cluster_config(cluster, NAME) == {
        **plain,
        "is_default": False,
        "is_read_only": False,
        "is_sensitive": False,
        "synonyms": [("2", source)],
    }
    assert await face.cluster_configs(cluster) == before | {NAME: "2"}
    await face.reset_cluster_config(cluster, NAME)
    await _fails(face, errors.NotFound, face.reset_cluster_config(cluster, NAME))
    changes = [{"name": NAME, "value": "2"}, {"name": OTHER, "value": "zstd"}]
    await face.alter_cluster_configs(cluster, changes, validate_only=True)
    assert await face.cluster_configs(cluster) == before
    await face.alter_cluster_configs(cluster, changes)
    assert await face.cluster_configs(cluster) == before | {NAME: "2", OTHER: "zstd"}

    await _fails(face, errors.ClusterNotFound, face.update_cluster_config("nope", NAME, "2"))
    await _fails(face, errors.NotFound, face.update_cluster_config(cluster, "nope", "1"))
    unknown = [{"name": "nope", "value": "1"}]
    await _fails(face, errors.NotFound, face.alter_cluster_configs(cluster, unknown))
    await _fails(face, errors.InvalidKafkaRequest, face.update_cluster_config(cluster, NAME, "x"))


async def test_configs_of_several_topics(face: FaceClient, cluster: str, topic: TopicFactory) -> None:
    first, second = await topic(), await topic()
    changes = {first: [{"name": "retention.ms", "value": "1000"}], second: [{"name": OTHER, "value": "gzip"}]}
    assert await face.alter_many_configs(cluster, changes, validate_only=True) == []
    assert await face.config(cluster, second, OTHER) == ("producer", True)
    assert await face.alter_many_configs(cluster, changes) == []
    assert await face.config(cluster, first, "retention.ms") == ("1000", False)
    assert await face.config(cluster, second, OTHER) == ("gzip", False)

    changes = {first: [{"name": "retention.ms", "operation": "DELETE"}], second: [{"name": OTHER, "value": "nope"}]}
    [(refused, codes, message)] = await face.alter_many_configs(cluster, changes)
    assert (refused, codes) == (second, face.codes(errors.InvalidKafkaRequest)[-len(codes) :])
    assert "Invalid value nope" in message
    assert (await face.config(cluster, first, "retention.ms"))[1] is True
    assert await face.config(cluster, second, OTHER) == ("gzip", False)

    missing = changes | {"no-such-topic": [{"name": OTHER, "value": "gzip"}]}
    await _fails(face, errors.TopicNotFound, face.alter_many_configs(cluster, missing))
    unknown = {first: [{"name": "nope", "value": "1"}]}
    await _fails(face, errors.NotFound, face.alter_many_configs(cluster, unknown))
    await _fails(face, errors.ClusterNotFound, face.alter_many_configs("nope", unknown))
