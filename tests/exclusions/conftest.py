"""Several gateways on three brokers with a state of their own, and what other tools do about cordons."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.exclusions.model import (
    BrokerReplicaExclusionEntry,
    CreateBrokerReplicaExclusions,
    DeleteBrokerReplicaExclusions,
    GetBrokerReplicaExclusion,
    ListBrokerReplicaExclusions,
)
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

NewGateway = Callable[..., Awaitable[Gateway]]
NewClient = Callable[[Gateway], "RestClient"]

LIST = "api.v3.broker-replica-exclusions.list"
GET = "api.v3.broker-replica-exclusions.search-by-broker"
CREATE = "api.v3.broker-replica-exclusions.create"
DELETE = "api.v3.broker-replica-exclusions.delete"
REASON = "Broker is to be removed."
_NAME = "cordoned.log.dirs"
_SECONDS = 60
_BROKERS = (1, 2, 3)
_PARTITIONS = 4


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = _SECONDS) -> None:
    """Wait until a condition is met."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.1)


class OtherTool:
    """The super user, with a new client each time: an old one finds a broker that has restarted only after minutes."""

    def __init__(self, stack: BackgroundStack) -> None:
        self._stack = stack

    @property
    def _admin(self) -> AdminClient:
        return AdminClient(dict(self._stack.super_user))

    async def cordon(self, broker_id: int, value: str | None) -> None:
        """Cordon a broker, or uncordon it (None)."""
        operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(_NAME, value, incremental_operation=operation)
        resource = ConfigResource(ResourceType.BROKER, str(broker_id), incremental_configs=[entry])

        async def is_done() -> bool:
            admin = self._admin
            try:
                await asyncio.wrap_future(admin.incremental_alter_configs([resource])[resource])
            except KafkaException:
                # A broker that has just restarted.
                return False
            return True

        await until(is_done)

    async def has_cordoned(self, broker_id: int) -> bool:
        """Whether Kafka has the config of a broker."""
        resource = ConfigResource(ResourceType.BROKER, str(broker_id))
        admin = self._admin
        found = await asyncio.wrap_future(admin.describe_configs([resource])[resource])
        return bool(found[_NAME].value == "*")

    async def hosts(self, topics: int = 10) -> set[int]:
        """The brokers that have the partitions of some new topics."""
        names = [f"placed-{uuid.uuid4().hex[:12]}" for _ in range(topics)]
        admin = self._admin
        created = admin.create_topics([NewTopic(name, _PARTITIONS, 1) for name in names])
        await asyncio.gather(*map(asyncio.wrap_future, created.values()))
        found: set[int] = set()
        for name in names:

            async def has_all(name: str = name) -> bool:
                described = (await asyncio.to_thread(admin.list_topics, name, timeout=10)).topics[name]
                found.update(broker for entry in described.partitions.values() for broker in entry.replicas)
                return len(described.partitions) == _PARTITIONS

            await until(has_all)
        await asyncio.gather(*map(asyncio.wrap_future, admin.delete_topics(names).values()))
        return found


@pytest.fixture
def other_tool(three_brokers: BackgroundStack) -> OtherTool:
    """What others do."""
    return OtherTool(three_brokers)


@pytest.fixture
async def uncordoned_after(other_tool: OtherTool) -> AsyncIterator[None]:
    """No broker is cordoned when the test has ended."""
    yield
    for broker_id in _BROKERS:
        await other_tool.cordon(broker_id, None)


@pytest.fixture
async def new_gateway(
    uncordoned_after: None, gateway_factory: Callable[..., Awaitable[Gateway]], three_brokers: BackgroundStack
) -> AsyncIterator[NewGateway]:
    """`await new_gateway(workers="2")`: one of several gateways with the same state, which only this test has."""
    topic = f"state-{uuid.uuid4().hex[:12]}"

    async def start(**settings: str) -> Gateway:
        return await gateway_factory({"state.topic": topic} | settings, on=three_brokers)

    yield start
    # The gateways stop before brokers are uncordoned: one that leads would cordon them again.
    await three_brokers.heal()


def entries(*broker_ids: int, reason: str = REASON) -> list[BrokerReplicaExclusionEntry]:
    """Brokers with a reason."""
    return [BrokerReplicaExclusionEntry(broker_id, reason) for broker_id in broker_ids]


class Exclusions:
    """Operations on exclusions through one face."""

    def __init__(self, face_name: str, gateway: Gateway, cluster: str) -> None:
        self.face = FACES[face_name](gateway)
        self.name = face_name
        self._cluster = cluster

    async def all(self) -> dict[int, str]:
        """The reasons by broker."""
        found = await self.face.run(LIST, ListBrokerReplicaExclusions(self._cluster))
        return {entry["broker_id"]: entry["reason"] for entry in found}

    async def get(self, broker_id: int) -> Any:
        return await self.face.run(GET, GetBrokerReplicaExclusion(self._cluster, broker_id))

    async def create(self, *broker_ids: int, reason: str = REASON) -> list[Any]:
        return await self._alter(CREATE, CreateBrokerReplicaExclusions, entries(*broker_ids, reason=reason))

    async def delete(self, *broker_ids: int) -> list[Any]:
        return await self._alter(DELETE, DeleteBrokerReplicaExclusions, entries(*broker_ids))

    async def _alter(self, identifier: str, kind: Any, entries: list[BrokerReplicaExclusionEntry]) -> list[Any]:
        """The broker, the change and the error code of each."""
        found = await self.face.run(identifier, kind(self._cluster, entries))
        return [(entry["broker_id"], entry["exclusion"], entry["error_code"]) for entry in found]


@pytest.fixture(params=FACES)
def face_name(request: pytest.FixtureRequest) -> str:
    """Each face in turn."""
    return str(request.param)


@pytest.fixture
async def exclusions(
    face_name: str, new_gateway: NewGateway, three_brokers: BackgroundStack
) -> AsyncIterator[Exclusions]:
    """Exclusions through each face in turn."""
    found = Exclusions(face_name, await new_gateway(), three_brokers.cluster_id)
    yield found
    await found.face.close()


async def refused(face: Any, kind: type[errors.FacadeError], call: Awaitable[Any]) -> FaceError:
    """Return the error of a call, which must be of this kind."""
    with pytest.raises(FaceError) as caught:
        await call
    assert caught.value.codes == face.codes(kind)
    return caught.value


class RestClient:
    """REST with the URL of the cluster."""

    def __init__(self, gateway: Gateway, cluster: str) -> None:
        self.base = f"{gateway.rest}/v3/clusters/{cluster}"
        self.http = httpx.AsyncClient(base_url=self.base, timeout=_SECONDS)

    async def change(self, verb: str, *broker_ids: int) -> httpx.Response:
        """Create or delete exclusions."""
        body = {"data": [{"broker_id": broker_id, "reason": REASON} for broker_id in broker_ids]}
        return await self.http.post(f"/broker-replica-exclusions:{verb}", json=body)

    async def changed(self, verb: str, *broker_ids: int) -> None:
        """The same; all must succeed."""
        answer = await self.change(verb, *broker_ids)
        assert answer.status_code == (201 if verb == "create" else 200), answer.text

    async def listed(self) -> list[int]:
        """The brokers that are excluded."""
        found = await self.http.get("/broker-replica-exclusions")
        assert found.status_code == 200, found.text
        return [entry["broker_id"] for entry in found.json()["data"]]

    async def live(self) -> list[int]:
        """The brokers that are alive."""
        return [entry["broker_id"] for entry in (await self.http.get("/brokers")).json()["data"]]


@pytest.fixture
async def rest(three_brokers: BackgroundStack) -> AsyncIterator[NewClient]:
    """`rest(gateway)`: a client."""
    made: list[RestClient] = []

    def make(gateway: Gateway) -> RestClient:
        made.append(RestClient(gateway, three_brokers.cluster_id))
        return made[-1]

    yield make
    for client in made:
        await client.http.aclose()
