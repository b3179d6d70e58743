"""Clients for four brokers, and topics on brokers of the test's choice."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from msgspec import Struct

from balancer.removing import Cluster, NewCluster, NewGateway
from balancer.waiting import until
from conftest import GatewayFactory
from engines import LoneEngine
from kafka_facade.core.balancer.records import RECORDS
from kafka_facade.core.configs.model import AlterOperation, ConfigAlteration
from kafka_facade.core.exclusions.keeper import ExclusionRecord
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.state.handlers import ChangeRequest, Done, Leader
from kafka_facade.core.state.state import State
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

PlacedTopic = Callable[..., Awaitable[str]]
Lead = Callable[[Callable[[Leader], Awaitable[object]]], Awaitable[None]]
_SECONDS = 60
_RATES = tuple(f"{role}.replication.throttled.rate" for role in ("leader", "follower"))


@pytest.fixture
async def kafka(four_brokers: BackgroundStack) -> AsyncIterator[KafkaPorts]:
    """What the gateway can do with the four brokers."""
    engine = await LoneEngine.start(KafkaOptions(four_brokers.bootstrap_servers))
    yield engine.ports()
    await engine.close(5)


@pytest.fixture
async def placed(four_brokers: BackgroundStack) -> AsyncIterator[PlacedTopic]:
    """`await placed([[1, 2], [3]])`: a topic with its partitions on these brokers; deleted at the end."""
    made: list[str] = []
    admin = AdminClient({"bootstrap.servers": four_brokers.bootstrap_servers})

    async def create(assignment: list[list[int]], config: dict[str, str] | None = None) -> str:
        name = f"placed-{uuid.uuid4().hex[:12]}"
        new = NewTopic(name, len(assignment), replica_assignment=assignment, config=config or {})
        # A new client drops the connection to which it has sent a request before it knew the brokers.
        await asyncio.to_thread(admin.list_topics, timeout=_SECONDS)
        await asyncio.wrap_future(admin.create_topics([new])[name])
        made.append(name)

        async def has_leaders() -> bool:
            described = (await asyncio.to_thread(admin.list_topics, name, timeout=_SECONDS)).topics[name]
            leaders = [entry.leader for entry in described.partitions.values()]
            return len(leaders) == len(assignment) and min(leaders) >= 0

        await until(has_leaders)
        return name

    yield create
    if made:
        # A broker may have been away: the client learns here that its connection has gone.
        admin = AdminClient({"bootstrap.servers": four_brokers.bootstrap_servers})
        await asyncio.to_thread(admin.list_topics, timeout=_SECONDS)
        await asyncio.gather(
            *map(asyncio.wrap_future, admin.delete_topics(made).values()),
            return_exceptions=True,
        )


@pytest.fixture
async def new_gateway(gateway_factory: GatewayFactory, four_brokers: BackgroundStack) -> AsyncIterator[NewGateway]:
    """`await new_gateway(**{"key": "value"})`: one of several gateways with the same state.

    All brokers get replicas again at the end of the test.
    """
    topic = f"state-{uuid.uuid4().hex[:12]}"
    fixed = {
        "state.topic": topic,
        "confluent.balancer.enable": "true",
        "confluent.balancer.disk.max.load": "1",
        # Partitions of Kafka's own topics that a throttle holds must not keep those of the test waiting.
        "balancer.concurrent.moves": "1000",
        "balancer.concurrent.moves.per.broker": "1000",
    }

    started: list[Gateway] = []

    async def start(**settings: str) -> Gateway:
        started.append(await gateway_factory(fixed | settings, on=four_brokers))
        return started[-1]

    yield start
    for gateway in started:
        await four_brokers.stop_gateway(gateway)
    await four_brokers.heal()
    engine = await LoneEngine.start(KafkaOptions(four_brokers.bootstrap_servers))
    names = ("cordoned.log.dirs", *_RATES)
    changes = [ConfigAlteration(name, operation=AlterOperation.DELETE) for name in names]
    for broker_id in (1, 2, 3, 4):
        await engine.configs.alter_broker_configs(broker_id, changes, False, _SECONDS)
    await engine.close(5)
    admin = AdminClient({"bootstrap.servers": four_brokers.bootstrap_servers})
    await asyncio.gather(*map(asyncio.wrap_future, admin.delete_topics([topic]).values()), return_exceptions=True)


@pytest.fixture
async def new_cluster(new_gateway: NewGateway, four_brokers: BackgroundStack) -> AsyncIterator[NewCluster]:
    """`await new_cluster(**{"key": "value"})`: the cluster behind a gateway of its own."""
    made: list[Cluster] = []

    async def start(**settings: str) -> Cluster:
        made.append(Cluster(await new_gateway(**settings), four_brokers))
        return made[-1]

    yield start
    for cluster in made:
        await cluster.http.aclose()


class _Empty(Struct):
    pass


@pytest.fixture
async def lead(stack: BackgroundStack, four_brokers: BackgroundStack, kafka: KafkaPorts) -> AsyncIterator[Lead]:
    """`await lead(work)`: let the leader of a state do work. No rates are left at the end.

    The state is in another cluster, so that no broker of the test has to move it.
    """
    name = f"state-{uuid.uuid4().hex[:12]}"
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    state = State(engine.ports(), name)
    given: list[Callable[[Leader], Awaitable[object]]] = []

    async def run(leader: Leader, _: ChangeRequest) -> Done:
        await given[-1](leader)
        return Done(_Empty())

    state.handlers.records += (*RECORDS, ExclusionRecord)
    state.handlers.changes["work"] = run
    await state.start()

    async def do(work: Callable[[Leader], Awaitable[object]]) -> None:
        given.append(work)
        await state.change("work", _Empty(), _Empty, _SECONDS)

    yield do
    await state.close()
    await engine.close(5)
    await four_brokers.heal()
    changes = [ConfigAlteration(rate, operation=AlterOperation.DELETE) for rate in _RATES]
    for broker in (1, 2, 3, 4):
        await kafka.configs.alter_broker_configs(broker, changes, False, _SECONDS)
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    await asyncio.gather(*map(asyncio.wrap_future, admin.delete_topics([name]).values()), return_exceptions=True)
