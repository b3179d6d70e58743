"""Configs with security settings that kafka-python does not support."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from confluent_kafka.admin import AdminClient

from kafka_facade.core import errors
from kafka_facade.core.configs.model import AlterOperation, ConfigAlteration
from kafka_facade.kafka.admin.configs import Configs
from kafka_facade.kafka.admin.topics import Admin
from kafka_facade.kafka.authentication import Authentication
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade.kafka.protocol.io_thread import IoThread
from kafka_facade.kafka.protocol.names import Names
from kafka_facade_devstack.background import BackgroundStack

TopicFactory = Callable[..., Awaitable[str]]

NAME = "log.cleaner.threads"


@pytest.fixture
async def configs(stack: BackgroundStack) -> AsyncIterator[Configs]:
    """A port whose librdkafka can connect, and whose kafka-python cannot."""
    blocking, names = Blocking("test", 4), Names()
    plain = {"bootstrap.servers": stack.bootstrap_servers}
    protocol = ProtocolClient(
        plain | {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI"}, blocking, names, IoThread(), 4
    )
    yield Configs(Admin(AdminClient(dict(plain)), Authentication(), blocking), protocol)
    await protocol.close()
    await names.close()
    blocking.close()


async def test_configs_of_topics(configs: Configs, topic: TopicFactory) -> None:
    names = await asyncio.gather(topic(), topic())
    missing = f"missing-{uuid.uuid4().hex[:8]}"
    change = ConfigAlteration("retention.ms", "60000", AlterOperation.SET)
    bad = ConfigAlteration("retention.ms", "x", AlterOperation.SET)
    checked = await configs.alter_topic_configs({names[0]: [bad], names[1]: [change]}, True, 20)
    assert [type(error) for error in checked.values()] == [errors.InvalidKafkaRequest]
    failed = await configs.alter_topic_configs({names[0]: [change], missing: [change]}, False, 20)
    assert {name: (type(error), error.metadata) for name, error in failed.items()} == {
        missing: (errors.TopicNotFound, {"topic_name": missing})
    }
    first, second, third = await configs.topic_configs([*names, missing], 20)
    assert isinstance(third, errors.TopicNotFound)
    assert not isinstance(first, errors.FacadeError)
    assert not isinstance(second, errors.FacadeError)
    assert [config.name for config in first] == sorted(config.name for config in first)
    places = []
    for found in (first, second):
        [config] = [config for config in found if config.name == "retention.ms"]
        places.append((config.topic_name, config.value, config.source, config.is_default))
    assert places == [
        (names[0], "60000", "DYNAMIC_TOPIC_CONFIG", False),
        (names[1], "604800000", "DEFAULT_CONFIG", True),
    ]
    await configs.alter_topic_configs(
        {names[0]: [ConfigAlteration(change.name, None, AlterOperation.DELETE)]}, False, 20
    )
    [again] = await configs.topic_configs([names[0]], 20)
    assert not isinstance(again, errors.FacadeError)
    assert {config.source for config in again if config.name == change.name} == {"DEFAULT_CONFIG"}


async def test_configs_of_brokers(configs: Configs) -> None:
    await configs.alter_broker_configs(1, [ConfigAlteration(NAME, "2", AlterOperation.SET)], False, 20)
    try:
        [found, unknown] = await configs.broker_configs([1, 99], 20)
        assert isinstance(unknown, errors.NotFound)
        assert not isinstance(found, errors.FacadeError)
        values = {config.name: (config.broker_id, config.value, config.source) for config in found}
        assert values[NAME] == (1, "2", "DYNAMIC_BROKER_CONFIG")
        assert values["broker.id"] == (1, "1", "STATIC_BROKER_CONFIG")
        assert {config.value for config in found if config.is_sensitive} == {None}
    finally:
        await configs.alter_broker_configs(1, [ConfigAlteration(NAME, None, AlterOperation.DELETE)], False, 20)
    with pytest.raises(errors.InvalidKafkaRequest):
        await configs.alter_broker_configs(1, [ConfigAlteration(NAME, "x", AlterOperation.SET)], True, 20)
    assert len(await configs.broker_configs(None, 20)) == 1


async def test_configs_of_all_brokers_need_the_other_client(configs: Configs) -> None:
    change = ConfigAlteration(NAME, "2", AlterOperation.SET)
    for refused in (configs.cluster_configs(5), configs.alter_cluster_configs([change], True, 5)):
        with pytest.raises(errors.KafkaError) as caught:
            await refused
        assert (caught.value.codes.v3, "sasl.mechanism=GSSAPI" in caught.value.message) == (50002, True)
