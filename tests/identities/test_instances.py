"""A consumer instance exists only for the identity that created it, on every operation, face and worker."""

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import httpx
import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from conftest import TopicFactory
from denial import allowed
from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import CATALOGUE
from kafka_facade.core.core import Core
from kafka_facade.core.errors import ConsumerInstanceNotFound, KafkaAuthorizationFailed
from kafka_facade.core.instances.model import (
    AssignConsumer,
    CommitOffsets,
    CreateConsumer,
    DeleteConsumer,
    FetchRecords,
    GetAssignments,
    GetCommittedOffsets,
    GetConsumerInstance,
    GetSubscription,
    OfInstance,
    SeekConsumer,
    SeekToBeginning,
    SeekToEnd,
    SubscribeConsumer,
    Unsubscribe,
)
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.request import Request
from kafka_facade.core.topics.positions import PartitionPosition, TopicPartition
from kafka_facade.peers import wire
from kafka_facade.peers.wire import Wire
from kafka_facade.rest.app import create_app as create_rest_app
from kafka_facade.rest.options import RestOptions
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2, consumer_instance_pb2_grpc
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.server import GrpcServer
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_graphql.app import create_app as create_graphql_app
from kafka_facade_graphql.options import GraphQLOptions
from kafka_identities import CoreFactory, User, caller

V2 = {"content-type": "application/vnd.kafka.v2+json"}
_PREFIX = "api.v2.consumers."


def _operations(topic: str, group: str, name: str) -> dict[str, Request[Any]]:
    """A request of each operation on the instance of a group, the one that deletes it last."""
    place = TopicPartition(topic, 0)
    return {
        "subscribe": SubscribeConsumer(group, name, [topic]),
        "get-subscription": GetSubscription(group, name),
        "unsubscribe": Unsubscribe(group, name),
        "assign": AssignConsumer(group, name, [place]),
        "get-assignments": GetAssignments(group, name),
        "consume-binary": FetchRecords(group, name, timeout_ms=1),
        "commit-offsets": CommitOffsets(group, name, [PartitionPosition(topic, 0, 0)]),
        "get-committed-offsets": GetCommittedOffsets(group, name, [place]),
        "seek-to-beginning": SeekToBeginning(group, name, [place]),
        "seek-to-end": SeekToEnd(group, name, [place]),
        "seek-to-offset": SeekConsumer(group, name, [PartitionPosition(topic, 0, 0)]),
        "delete": DeleteConsumer(group, name),
    }


class Forwarding:
    """A worker without slots: each call goes to another one, as it is on the wire."""

    def __init__(self, other: Core) -> None:
        self._other = other
        self.calls = 0

    def holds(self, group: str, instance: str) -> bool:
        return False

    async def forward(self, call: Call, request: OfInstance) -> Any:
        self.calls += 1
        encoding = Wire(self._other.forwardable)
        try:
            answer = await self._other.perform_forwarded(*encoding.decode_call(encoding.encode_call(call, request)))
        except ConsumerInstanceNotFound as error:
            return encoding.decode_outcome(call, request, wire.encode_failure(error))
        pieces = encoding.pieces(call, request, answer)
        return await encoding.read_answer(call, request, pieces.__anext__)


class Moving(Forwarding):
    """A worker that loses its slots when the test says so."""

    has_slots = True

    def holds(self, group: str, instance: str) -> bool:
        return self.has_slots


@pytest.mark.parametrize("forwarded", [False, True])
async def test_a_slot_that_moves_while_clients_are_opened(
    new_core: CoreFactory, users: tuple[User, User], forwarded: bool
) -> None:
    _, bob = users
    where = f"g-{uuid.uuid4()}", "i"
    holder = await new_core()
    moving = Moving(holder)
    core = await new_core(peers=moving)
    create = CreateConsumer(*where)
    if forwarded:
        call = Call(CATALOGUE[f"{_PREFIX}create"], caller(bob), time.monotonic() + 30)
        creating = asyncio.create_task(core.perform_forwarded(call, create))
    else:
        creating = asyncio.create_task(core.run(f"{_PREFIX}create", create, caller(bob)))
    await asyncio.sleep(0)
    assert core.pipeline.in_flight == 1
    moving.has_slots = False
    await creating
    assert moving.calls == 1
    await holder.run(f"{_PREFIX}delete", DeleteConsumer(*where), caller(bob))


@pytest.mark.parametrize("forwarded", [False, True])
async def test_every_operation(
    new_core: CoreFactory, users: tuple[User, User], topic: TopicFactory, forwarded: bool
) -> None:
    ann, bob = users
    name, where = await topic(), (f"g-{uuid.uuid4()}", "i")
    holder = await new_core()
    core = await new_core(peers=Forwarding(holder)) if forwarded else holder
    await core.run(f"{_PREFIX}create", CreateConsumer(*where), caller(ann))
    operations = _operations(name, *where)
    known = {type(request) for request in operations.values()} | {GetConsumerInstance, CreateConsumer}
    assert known == holder.forwardable.requests
    for operation, request in operations.items():
        with pytest.raises(ConsumerInstanceNotFound):
            await core.run(_PREFIX + operation, request, caller(bob))
    with pytest.raises(ConsumerInstanceNotFound):
        await core.format_of(*where, caller(bob))
    # Its owner has it still, and the other one may have an instance of the same name.
    await core.run(f"{_PREFIX}create", CreateConsumer(*where, format="json"), caller(bob))
    await core.run(f"{_PREFIX}delete", DeleteConsumer(*where), caller(bob))
    for operation, request in operations.items():
        await core.run(_PREFIX + operation, request, caller(ann))
    with pytest.raises(ConsumerInstanceNotFound):
        await core.run(f"{_PREFIX}delete", DeleteConsumer(*where), caller(ann))
    if forwarded:
        # The other worker has run all of them.
        assert isinstance(core._instances.peers, Forwarding)
        assert core._instances.peers.calls > len(operations)


async def test_an_instance_reads_as_its_owner(
    stack: BackgroundStack, new_core: CoreFactory, users: tuple[User, User], topic: TopicFactory
) -> None:
    core, name = await new_core(), await topic()
    everything, describing = (
        (ResourceType.TOPIC, name, operation) for operation in (AclOperation.ALL, AclOperation.DESCRIBE)
    )
    async with (
        allowed(stack, everything, principal=users[0].principal),
        allowed(stack, describing, principal=users[1].principal),
    ):
        for user in users:
            where = (f"g-{uuid.uuid4()}", "i")
            await core.run(f"{_PREFIX}create", CreateConsumer(*where, auto_offset_reset="earliest"), caller(user))
            request = AssignConsumer(*where, [TopicPartition(name, 0)])
            await core.run(f"{_PREFIX}assign", request, caller(user))
            fetch = FetchRecords(*where, timeout_ms=3000)
            if user is users[0]:
                assert await core.run(f"{_PREFIX}consume-binary", fetch, caller(user)) == []
            else:
                with pytest.raises(KafkaAuthorizationFailed):
                    await _fetch_until_refused(core, fetch, user)
            await core.run(f"{_PREFIX}delete", DeleteConsumer(*where), caller(user))


async def _fetch_until_refused(core: Core, fetch: FetchRecords, user: User) -> None:
    for _ in range(10):
        await core.run(f"{_PREFIX}consume-binary", fetch, caller(user))


@dataclasses.dataclass
class Faces:
    """REST, whose callers are one user, and GraphQL and gRPC, whose callers are another."""

    rest: httpx.AsyncClient
    graphql: httpx.AsyncClient
    grpc: Any

    async def codes(self, group: str, instance: str) -> tuple[Any, Any, Any]:
        """How each face answers for the subscription of an instance."""
        rest = await self.rest.get(f"/consumers/{group}/instances/{instance}/subscription")
        query = "query($g: String!, $i: String!) { consumer(group: $g, instance: $i) { subscription } }"
        variables = {"g": group, "i": instance}
        answer = (await self.graphql.post("/graphql", json={"query": query, "variables": variables})).json()
        code = answer["errors"][0]["extensions"]["code"] if answer.get("errors") else "OK"
        request = consumer_instance_pb2.GetSubscriptionRequest(consumer_group_id=group, instance_id=instance)
        try:
            await self.grpc.GetSubscription(request)
            status = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            status = error.code()
        return rest.status_code, code, status


@pytest.fixture
async def faces(new_core: Callable[..., Awaitable[Core]], users: tuple[User, User]) -> AsyncIterator[Faces]:
    def by_face(caller: Caller, cluster_id: str | None) -> KafkaIdentity:
        return users[0 if caller.face == "rest" else 1].identity

    core = await new_core(by_face)
    server = GrpcServer(core, RpcOptions())
    port = server.listen("127.0.0.1:0")
    await server.start()
    rest = httpx.ASGITransport(app=create_rest_app(core, RestOptions()))
    graphql = httpx.ASGITransport(app=create_graphql_app(core, GraphQLOptions()))
    async with (
        httpx.AsyncClient(transport=rest, base_url="http://gateway", timeout=30) as rest_client,
        httpx.AsyncClient(transport=graphql, base_url="http://gateway", timeout=30) as graphql_client,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = consumer_instance_pb2_grpc.ConsumerInstanceServiceStub(channel)
        yield Faces(rest_client, graphql_client, stub)
    await server.stop(1)


async def test_every_face(faces: Faces) -> None:
    group = f"g-{uuid.uuid4()}"
    created = await faces.rest.post(f"/consumers/{group}", headers=V2, json={"name": "i"})
    assert created.status_code == 200, created.text
    assert await faces.codes(group, "i") == (200, "CONSUMER_INSTANCE_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    other = f"g-{uuid.uuid4()}"
    request = consumer_instance_pb2.CreateConsumerInstanceRequest(consumer_group_id=other)
    made = await faces.grpc.CreateConsumerInstance(request)
    assert await faces.codes(other, made.instance_id) == (404, "OK", grpc.StatusCode.OK)
