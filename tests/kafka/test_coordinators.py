"""Descriptions of groups are the same from both clients and from all coordinators."""

import asyncio
import time
import uuid
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from conftest import MemberFactory, TopicFactory
from engines import LoneEngine
from group_commits import commit
from kafka_facade.core.errors import ConsumerGroupNotFound, FacadeError, KafkaTimeout, RetriableKafkaError
from kafka_facade.core.groups.model import ConsumerGroupState
from kafka_facade.core.groups.port import GroupDescription
from kafka_facade.kafka.admin.groups import Groups
from kafka_facade.kafka.admin.librdkafka_groups import ClientGroups
from kafka_facade.kafka.admin.log_offsets import ClientLogOffsets
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 20


def _by_id(group: GroupDescription | FacadeError) -> Any:
    if isinstance(group, FacadeError):
        return type(group)
    members = [
        (member.consumer_id, member.instance_id, member.client_id, list(member.assigned.decode()))
        for member in sorted(group.members, key=lambda member: member.consumer_id)
    ]
    return replace(group, members=[]), members


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
async def test_both_clients_return_the_same_groups(
    stack: BackgroundStack, engine: Engine, topic: TopicFactory, member: MemberFactory, protocol: str
) -> None:
    name, group, committed_only = await topic(partitions=3), uuid.uuid4().hex, uuid.uuid4().hex
    settings = {"group.protocol": protocol, "client.id": "reader", "group.instance.id": "first"}
    await member(group, name, partitions=3, settings=settings)
    await commit(stack.bootstrap_servers, [committed_only], name, 7)
    blocking = Blocking("test", 2)
    client = engine.admin.client
    other = Groups(ClientGroups(client, blocking), ClientLogOffsets(client, blocking))
    wanted = [group, "nobody", committed_only, group, "", "\0", "é"]
    ours, theirs = [await groups.describe_groups(wanted, _SECONDS) for groups in (engine.groups, other)]
    assert [_by_id(group) for group in ours] == [_by_id(group) for group in theirs]
    assert [entry.state for entry in ours if isinstance(entry, GroupDescription)] == [
        *(ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.STABLE)
    ]
    assert sum(isinstance(entry, ConsumerGroupNotFound) for entry in ours) == 4
    for groups in (engine.groups, other):
        assert set(await groups.list_groups(_SECONDS)) >= {group, committed_only}
        assert await groups.committed_offsets([committed_only, group], _SECONDS) == [{(name, 0): 7}, {}]
    blocking.close()


async def test_a_hung_coordinator_does_not_delay_others(three_brokers: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic(on=three_brokers, replicas=3)
    ids = [uuid.uuid4().hex for _ in range(30)]
    await commit(three_brokers.bootstrap_servers, ids, name, 1)
    engine = await LoneEngine.start(KafkaOptions(three_brokers.bootstrap_servers))
    try:
        await _one_hung(three_brokers, engine, ids, name)
    finally:
        await engine.close(5)


async def _one_hung(stack: BackgroundStack, engine: Engine, ids: list[str], topic: str) -> None:
    described = await engine.groups.describe_groups(ids, _SECONDS)
    of = {entry.consumer_group_id: entry.coordinator_id for entry in described if isinstance(entry, GroupDescription)}
    assert [entry for entry in described if not isinstance(entry, GroupDescription)] == []
    # Where brokers were away before, one may keep all groups.
    hung, _ = Counter(of.values()).most_common(1)[0]
    assert hung is not None
    stuck = [group for group in ids if of[group] == hung]
    free = [group for group in ids if of[group] != hung]
    # What brokers have copied they take for committed a moment later: a new coordinator would say that there is none.
    await asyncio.sleep(1)
    await stack.pause_broker(hung - 1)
    there = {(topic, 0): 1}
    began = time.monotonic()
    waiting = [asyncio.create_task(engine.groups.committed_offsets(stuck, _SECONDS)) for _ in range(20)]
    await asyncio.sleep(0.5)
    # It may take several attempts: the hung broker may be the one that is asked for a coordinator.
    assert await engine.groups.committed_offsets(free, _SECONDS) == [there] * len(free)
    # In the end another broker becomes the coordinator.
    late = [entry for answer in await asyncio.gather(*waiting) for entry in answer if entry != there]
    assert [entry for entry in late if not isinstance(entry, (KafkaTimeout, RetriableKafkaError))] == []
    assert time.monotonic() - began < _SECONDS + 3
    await stack.resume_broker(hung - 1)
    async with asyncio.timeout(_SECONDS):
        while await engine.groups.committed_offsets(ids, 4) != [there] * len(ids):
            pass
