"""Leaders of partitions after restarts of brokers: one broker may lead all partitions for minutes."""

import asyncio

from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient

from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 60
# How long coordinators take to load their groups.
_LOADING_SECONDS = 1


async def spread_leaders(stack: BackgroundStack) -> None:
    """Let the preferred replicas lead, so that groups have several coordinators."""
    admin = AdminClient(dict(stack.super_user))
    async with asyncio.timeout(_SECONDS):
        await asyncio.wrap_future(admin.elect_leaders(ElectionType.PREFERRED, None))
    await asyncio.sleep(_LOADING_SECONDS)
