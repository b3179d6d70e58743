"""The configs that new topics would have, on each face."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from conftest import TopicFactory
from denial import CLUSTER, denied
from faces.conftest import FACES
from faces.generic import FaceError, GraphQLOperations
from kafka_facade.core import errors
from kafka_facade.core.configs.model import (
    ListTopicConfigs,
    ListTopicDefaultConfigs,
    ResetClusterConfig,
    UpdateClusterConfig,
)
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

GatewayFactory = Callable[..., Awaitable[Gateway]]

_IDENTIFIER = "api.v3.topic-default-configs.list"
_SECONDS = 20
_MEMBERS = ("name", "value", "is_read_only", "is_sensitive", "source", "is_default")


def _plain(configs: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(config[member] for member in _MEMBERS) for config in configs]


async def test_a_topic_with_configs_shows_those_that_it_would_have_without(
    face_name: str, gateway: Gateway, stack: BackgroundStack, cluster: str, topic: TopicFactory
) -> None:
    """They are those that Kafka shows of a topic that was created without any."""
    plain, name = await topic(), f"altered-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    new = NewTopic(name, 1, 1, config={"retention.ms": "1234", "cleanup.policy": "compact"})
    await asyncio.to_thread(admin.create_topics([new])[name].result, _SECONDS)
    face = FACES[face_name](gateway)
    found = await face.run(_IDENTIFIER, ListTopicDefaultConfigs(cluster, name))
    expected = await face.run("api.v3.topic-configs.list", ListTopicConfigs(cluster, plain))
    assert _plain(found) == _plain(expected)
    assert [config["synonyms"] for config in found] == [
        [{"name": config["name"], "value": config["value"], "source": config["source"]}] for config in found
    ]
    await face.close()
    await asyncio.to_thread(admin.delete_topics([name])[name].result, _SECONDS)


async def test_a_default_of_the_brokers_counts(
    face_name: str, gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    gateway = await gateway_factory({}, on=three_brokers)
    name = await topic(on=three_brokers)
    face = FACES[face_name](gateway)
    cluster, config = three_brokers.cluster_id, "log.retention.ms"
    request = ListTopicDefaultConfigs(cluster, name)
    await face.run("api.v3.cluster-configs.update", UpdateClusterConfig(cluster, config, "7777000"))
    try:
        async with asyncio.timeout(_SECONDS):
            while True:
                found = {config["name"]: config for config in await face.run(_IDENTIFIER, request)}
                if found["retention.ms"]["value"] == "7777000":
                    break
                await asyncio.sleep(0.1)
        assert found["retention.ms"]["source"] == "DYNAMIC_DEFAULT_BROKER_CONFIG"
        assert not found["retention.ms"]["is_default"]
    finally:
        await face.run("api.v3.cluster-configs.delete", ResetClusterConfig(cluster, config))
    await face.close()


async def test_fewer_brokers_than_replicas(gateway_factory: GatewayFactory, three_brokers: BackgroundStack) -> None:
    """A topic could not be created then, but its configs would be the same."""
    gateway = await gateway_factory({}, on=three_brokers)
    face = FACES["rest"](gateway)
    admin = AdminClient({"bootstrap.servers": three_brokers.bootstrap_servers})

    async def cordon(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry("cordoned.log.dirs", "*", incremental_operation=operation)
        for name in ("2", "3"):
            broker = ConfigResource(ResourceType.BROKER, name, incremental_configs=[entry])
            await asyncio.wrap_future(admin.incremental_alter_configs([broker])[broker])

    request = ListTopicDefaultConfigs(three_brokers.cluster_id, "new")
    await cordon(AlterConfigOpType.SET)
    try:
        # Brokers tell the controller of it a moment later.
        for _ in range(10):
            assert "retention.ms" in [config["name"] for config in await face.run(_IDENTIFIER, request)]
            await asyncio.sleep(0.2)
    finally:
        await cordon(AlterConfigOpType.DELETE)
    await face.close()


async def test_nothing_is_created(gateway: Gateway, stack: BackgroundStack, cluster: str) -> None:
    """The topic need not exist."""
    for name in ("rest", "grpc"):
        face = FACES[name](gateway)
        found = await face.run(_IDENTIFIER, ListTopicDefaultConfigs(cluster, f"new-{uuid.uuid4().hex}"))
        assert "retention.ms" in [config["name"] for config in found]
        await face.close()
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    topics = (await asyncio.to_thread(admin.list_topics, timeout=_SECONDS)).topics
    assert not [name for name in topics if name.startswith(("new-", "default-configs-"))]


@pytest.mark.parametrize(("wrong", "kind"), [("name", errors.InvalidTopicName), ("cluster", errors.ClusterNotFound)])
async def test_what_cannot_be(
    face_name: str, gateway: Gateway, cluster: str, wrong: str, kind: type[errors.FacadeError]
) -> None:
    face = FACES[face_name](gateway)
    request = ListTopicDefaultConfigs("nope" if wrong == "cluster" else cluster, "a b" if wrong == "name" else "t")
    with pytest.raises(FaceError) as caught:
        await face.run(_IDENTIFIER, request)
    assert caught.value.codes in (face.codes(kind), face.codes(errors.NotFound))
    await face.close()


async def test_a_topic_that_is_not_there_in_graphql(gateway: Gateway, cluster: str) -> None:
    """There it is a field of the topic."""
    face = FACES["graphql"](gateway)
    with pytest.raises(FaceError) as caught:
        await face.run(_IDENTIFIER, ListTopicDefaultConfigs(cluster, "absent"))
    assert caught.value.codes == face.codes(errors.TopicNotFound)
    await face.close()


async def test_one_who_may_create_no_topics(
    face_name: str, gateway: Gateway, stack: BackgroundStack, cluster: str, topic: TopicFactory
) -> None:
    name = await topic()
    face = FACES[face_name](gateway)
    rights = [
        (*CLUSTER, AclOperation.CREATE),
        (ResourceType.TOPIC, "*", AclOperation.CREATE),
    ]
    async with denied(stack, *rights):
        with pytest.raises(FaceError) as caught:
            await face.run(_IDENTIFIER, ListTopicDefaultConfigs(cluster, name))
        assert caught.value.codes == face.codes(errors.KafkaAuthorizationFailed)
    await face.close()


async def test_many_topics_in_graphql(gateway: Gateway, cluster: str, topic: TopicFactory) -> None:
    names = [await topic() for _ in range(3)]
    graphql = GraphQLOperations(gateway.graphql)
    fields = " ".join(
        f'{alias}: topic(topicName: "{name}") {{ defaultConfigs {{ name value }} }}'
        for alias, name in zip("abc", names, strict=True)
    )
    found = await graphql.execute(f"query($c: ID!) {{ cluster(clusterId: $c) {{ {fields} }} }}", c=cluster)
    shown = [found["cluster"][alias]["defaultConfigs"] for alias in "abc"]
    assert shown[0] == shown[1] == shown[2]
    assert {"name": "cleanup.policy", "value": "delete"} in shown[0]
    await graphql.close()
