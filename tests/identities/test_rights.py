"""Operations run with the Kafka authorization of their caller's identity."""

import asyncio

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from conftest import TopicFactory
from denial import allowed
from kafka_facade.core.core import Core
from kafka_facade.core.errors import FacadeError, KafkaAuthorizationFailed, TopicNotFound
from kafka_facade.core.records.model import (
    ConsumeRecords,
    DeliverRecords,
    Delivery,
    Format,
    ProduceRecords,
    RecordData,
    RecordReport,
    RecordToProduce,
)
from kafka_facade.core.topics.model import GetTopic, ListTopics
from kafka_facade_devstack.background import BackgroundStack
from kafka_identities import CoreFactory, User, caller

_ROUNDS = 30


def _records(text: str) -> list[RecordToProduce]:
    return [RecordToProduce(None, RecordData(Format.STRING, text))]


async def _produce(core: Core, user: User, topic: str, text: str = "x") -> Delivery | FacadeError:
    request = DeliverRecords(None, topic, _records(text))
    [outcome] = await core.run("api.v2.produce-to-topic.binary", request, caller(user))
    return outcome


async def _produce_v3(core: Core, user: User, topic: str) -> RecordReport | FacadeError:
    request = ProduceRecords(None, topic, _records(user.name))
    [outcome] = await core.run("api.v3.produce.produce-to-topic", request, caller(user))
    return outcome


async def test_acls_apply_to_each_identity(
    stack: BackgroundStack, new_core: CoreFactory, users: tuple[User, User], topic: TopicFactory
) -> None:
    ann, bob = users
    core, name = await new_core(), await topic()
    everything, reading = (ResourceType.TOPIC, name, AclOperation.ALL), (ResourceType.TOPIC, name, AclOperation.READ)
    async with (
        allowed(stack, everything, principal=ann.principal),
        allowed(stack, reading, principal=bob.principal),
    ):
        assert isinstance(await _produce(core, bob, name), KafkaAuthorizationFailed)
        outcomes = await asyncio.gather(
            *(_produce_v3(core, user, name) for _ in range(_ROUNDS) for user in users), return_exceptions=True
        )
        assert all(isinstance(outcome, RecordReport) for outcome in outcomes[::2])
        assert all(isinstance(outcome, KafkaAuthorizationFailed) for outcome in outcomes[1::2])
        for user in users:
            assert await _read(core, user, name) == [ann.name.encode()] * _ROUNDS


async def test_caches_are_separate_for_each_identity(
    stack: BackgroundStack, new_core: CoreFactory, users: tuple[User, User], topic: TopicFactory
) -> None:
    ann, bob = users
    core, name = await new_core(), await topic()
    async with allowed(stack, (ResourceType.TOPIC, name, AclOperation.ALL), principal=ann.principal):
        # The partitions of the topic and the id of the cluster are remembered now.
        assert isinstance(await _produce(core, ann, name), Delivery)

        async def sees(user: User) -> bool:
            listed = await core.run("api.v3.topics.list", ListTopics(None), caller(user))
            return name in [entry.topic_name for entry in listed]

        assert await asyncio.gather(*(sees(user) for _ in range(5) for user in users)) == [True, False] * 5
        with pytest.raises((KafkaAuthorizationFailed, TopicNotFound)):
            await core.run("api.v3.topics.get", GetTopic(None, name), caller(bob))
        with pytest.raises((KafkaAuthorizationFailed, TopicNotFound)):
            raise await _failure(core, bob, name)
        with pytest.raises((KafkaAuthorizationFailed, TopicNotFound)):
            await _read(core, bob, name)


async def _read(core: Core, user: User, topic: str) -> list[bytes | None]:
    request = ConsumeRecords(None, topic, start="earliest", follow=False)
    with core.admitted("api.facade.records.consume", caller(user)) as call:
        return [record.value async for batch in core.stream(call, request) for record in batch]


async def _failure(core: Core, user: User, topic: str) -> FacadeError:
    outcome = await _produce(core, user, topic)
    assert isinstance(outcome, FacadeError)
    return outcome
