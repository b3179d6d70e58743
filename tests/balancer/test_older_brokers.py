"""Brokers that cannot be excluded, since they are older than Kafka 4.3 or their cluster has not been upgraded yet."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engines import LoneEngine
from kafka_facade.core.balancer.removals import Removals, RemoveBrokersChange
from kafka_facade.core.broker_tasks.model import RemoveBroker
from kafka_facade.core.broker_tasks.operations import BrokerTasks
from kafka_facade.core.call import Call, Caller, KafkaAccess
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.errors import InvalidKafkaRequest, UnsupportedVersion
from kafka_facade.core.exclusions.model import BrokerReplicaExclusionEntry, CreateBrokerReplicaExclusions
from kafka_facade.core.exclusions.operations import Exclusions
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.state.handlers import ChangeRequest
from kafka_facade.core.state.state import State
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 20
# What Kafka 4.3.1 says with metadata.version 4.2-IV1.
_REFUSED = "The cordoned.log.dirs configuration value cannot be set because it requires metadata.version >= 4.3-IV0"


class _Refusing:
    """Configs of brokers that reject a change."""

    async def alter_broker_configs(self, *_: object) -> None:
        raise InvalidKafkaRequest(_REFUSED)


class _Old:
    """Brokers that do not know whether they are cordoned."""

    async def cordons(self, *_: object) -> None:
        raise UnsupportedVersion


class _Lease:
    def __init__(self, ports: KafkaPorts) -> None:
        self.ports = ports


@pytest.fixture
async def ports(stack: BackgroundStack) -> AsyncIterator[KafkaPorts]:
    """What a gateway can do with one broker."""
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    yield engine.ports()
    await engine.close(5)


async def test_a_cluster_that_has_not_been_upgraded(ports: KafkaPorts) -> None:
    """Nothing is written to the state, which is not even open."""
    configs: Any = _Refusing()
    refusing = dataclasses.replace(ports, configs=configs)
    state = State(refusing, f"state-{uuid.uuid4().hex[:12]}")
    unused: Any = None
    lease: Any = _Lease(refusing)
    caller = Caller("rest")
    access = KafkaAccess(unused, unused, caller, lease)

    def call(identifier: str) -> Call:
        return Call(CATALOGUE[identifier], caller, time.monotonic() + _SECONDS, access=access)

    tasks = BrokerTasks(state, asyncio.Event(), ports.placement, enabled=True)
    with pytest.raises(UnsupportedVersion, match="metadata") as caught:
        await tasks.remove_broker(call("api.v3.brokers.delete"), RemoveBroker(None, 1))
    assert caught.value.codes.v3 == 40035
    request = CreateBrokerReplicaExclusions(None, [BrokerReplicaExclusionEntry(1, "A test.")])
    with pytest.raises(UnsupportedVersion):
        await Exclusions(state).create_exclusions(call("api.v3.broker-replica-exclusions.create"), request)


async def test_brokers_that_are_older(ports: KafkaPorts) -> None:
    cordons: Any = _Old()
    removals = Removals(dataclasses.replace(ports, cordons=cordons), enabled=True)
    leader: Any = None
    body = msgspec.json.encode(RemoveBrokersChange("", [1], should_shutdown=True))
    with pytest.raises(UnsupportedVersion):
        await removals.begin(leader, ChangeRequest("a", body, _SECONDS))
