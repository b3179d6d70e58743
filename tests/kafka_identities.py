"""Kafka identities for tests: users with passwords, and pools of clients."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from kafka_facade.core.call import Caller
from kafka_facade.core.core import Core
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.kafka.options import KafkaOptions, PoolOptions
from kafka_facade.kafka.pool import ClientPool
from kafka_facade.kafka.shared import Shared
from kafka_facade_devstack.background import BackgroundStack

CoreFactory = Callable[..., Awaitable[Core]]

CLUSTER = "default"
SECONDS = 20


@dataclass(frozen=True)
class User:
    """A user of the stack with a password, who may do what no ACL denies."""

    name: str
    identity: KafkaIdentity

    @property
    def principal(self) -> str:
        """The principal in Kafka."""
        return f"User:{self.name}"


async def new_user(stack: BackgroundStack, prefix: str) -> User:
    name, password = f"{prefix}-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    change = UserScramCredentialUpsertion(name, info, password.encode())
    admin = AdminClient(dict(stack.super_user))
    for future in admin.alter_user_scram_credentials([change]).values():
        await asyncio.to_thread(future.result, SECONDS)
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": name,
        "sasl.password": password,
    }
    return User(name, KafkaIdentity(CLUSTER, name, login, login, login))


@asynccontextmanager
async def new_pool(bootstrap_servers: str, most: int = 10, idle_seconds: float = 60) -> AsyncIterator[ClientPool]:
    """A pool whose clients all connect to these servers."""

    def options_of(identity: KafkaIdentity) -> KafkaOptions:
        return KafkaOptions(bootstrap_servers, identity.producer, identity.consumer, identity.admin)

    pool = ClientPool(options_of, Shared(PoolOptions(max_identities=most)), most, idle_seconds)
    try:
        yield pool
    finally:
        await pool.close(10)


def caller(user: User, face: str = "rest") -> Caller:
    """A caller that is this user."""
    return Caller(face, None, user.principal)
