"""Cores with several Kafka identities, on the session's Kafka."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from kafka_facade.core.call import Caller, Identify
from kafka_facade.core.core import Core
from kafka_facade.core.instances.port import PeerPort
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.pipeline import AccessLists, Kafka, Pipeline
from kafka_facade_devstack.background import BackgroundStack
from kafka_identities import SECONDS, CoreFactory, User, new_pool, new_user


@pytest.fixture(scope="module")
async def users(stack: BackgroundStack) -> tuple[User, User]:
    """Two users with SCRAM passwords."""
    return await new_user(stack, "ann"), await new_user(stack, "bob")


@pytest.fixture
async def new_core(stack: BackgroundStack, users: tuple[User, User]) -> AsyncIterator[CoreFactory]:
    """`await new_core(identify, peers=None)`: a core in which callers are the users that they name as principal."""
    by_principal = {user.principal: user.identity for user in users}

    def by_name(caller: Caller, cluster_id: str | None) -> KafkaIdentity:
        return by_principal[caller.principal]

    async with AsyncExitStack() as opened:

        async def make(identify: Identify = by_name, peers: PeerPort | None = None) -> Core:
            pool = await opened.enter_async_context(new_pool(stack.super_user["bootstrap.servers"]))
            own = await pool.lease(users[0].identity, SECONDS)
            pipeline = Pipeline(AccessLists(), 30, kafka=Kafka(pool, identify))
            core = Core(pipeline, own.ports, ConsumerDefaults(), 10, peers=peers)
            await core.start()
            opened.push_async_callback(core.close, 10)
            return core

        yield make
