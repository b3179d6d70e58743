"""A GraphQL client for the running gateway, and the face in this process on an engine that counts calls."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from engines import LoneEngine
from kafka_facade.core.acls.port import AclPort
from kafka_facade.core.clusters.identity import ClusterIdentity
from kafka_facade.core.configs.port import ConfigPort
from kafka_facade.core.core import Core
from kafka_facade.core.groups.port import GroupPort
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.pipeline import AccessLists, Kafka, Pipeline
from kafka_facade.core.reassignments.port import ReassignmentPort
from kafka_facade.core.topics.port import AdminPort
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_graphql.app import create_app
from kafka_facade_graphql.options import GraphQLOptions

Execute = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client for the gateway's endpoint."""
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as found:
        yield found


@pytest.fixture
def execute(client: httpx.AsyncClient) -> Execute:
    """`await execute(document, **variables)`: the response's JSON."""

    async def run(document: str, **variables: Any) -> dict[str, Any]:
        response = await client.post("/graphql", json={"query": document, "variables": variables})
        found: dict[str, Any] = response.json()
        return found

    return run


class Counted:
    """A real port, with a count of the calls of each method."""

    def __init__(
        self,
        port: AdminPort | AclPort | ReassignmentPort | GroupPort | ConfigPort,
        calls: Counter[str] | None = None,
    ) -> None:
        self._port = port
        self.calls: Counter[str] = Counter() if calls is None else calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return method(*arguments, **named)

        return counted


class OpenClients:
    """Clients of one identity, which stay open: a pool and its lease."""

    def __init__(self, identity: KafkaIdentity, ports: KafkaPorts) -> None:
        self.identity = identity
        self.ports = ports

    def take(self, identity: KafkaIdentity) -> OpenClients:
        return self

    async def lease(self, identity: KafkaIdentity, timeout: float) -> OpenClients:
        return self

    def share(self) -> OpenClients:
        return self

    def release(self) -> None:
        """Leave them open."""


class Local:
    """The face in this process, over real Kafka."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.admin = Counted(engine.admin)
        self.groups = Counted(engine.groups)
        self.acls = Counted(engine.acls)
        self.reassignments = Counted(engine.reassignments)
        self._configs = Counted(engine.configs, self.admin.calls)

    def client(self, options: GraphQLOptions | None = None, *, block: tuple[str, ...] = ()) -> httpx.AsyncClient:
        """An HTTP client for a face of its own."""
        app = self.app(options, block=block)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway", timeout=30)

    def app(self, options: GraphQLOptions | None = None, *, block: tuple[str, ...] = ()) -> Any:
        """A face of its own, as an ASGI application."""
        ports = dataclasses.replace(
            self._engine.ports(),
            cluster=ClusterIdentity(self.admin),
            admin=self.admin,
            groups=self.groups,
            acls=self.acls,
            reassignments=self.reassignments,
            configs=self._configs,
        )
        clients = OpenClients(KafkaIdentity("default", "tests"), ports)
        kafka = Kafka(clients, lambda caller, cluster_id: clients.identity)
        core = Core(Pipeline(AccessLists(block=block), 30, kafka=kafka), ports, ConsumerDefaults(), 10)
        return create_app(core, options or GraphQLOptions())


@pytest.fixture
async def local(stack: BackgroundStack) -> AsyncIterator[Local]:
    """The face in this process, over the session's Kafka."""
    engine = await LoneEngine.start(
        KafkaOptions(stack.bootstrap_servers, request_seconds=21, instance_timeout_ms=60_000)
    )
    yield Local(engine)
    await engine.close(10)
