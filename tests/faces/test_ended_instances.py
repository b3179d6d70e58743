"""Instances that end while they are read: the caller is told so, and what it did not get is not committed.

There are two workers: any of them may get a call, and hands it to the one that holds the instance.
"""

import asyncio
import contextlib
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import psutil
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from conftest import Connect, GatewayFactory, TopicFactory
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2 as messages
from kafka_facade.rpc.gen.v1.consumer_instance_pb2_grpc import ConsumerInstanceServiceStub
from kafka_facade.rpc.gen.v1.record_pb2 import ProduceRecordsRequest, RecordData, RecordToProduce
from kafka_facade.rpc.gen.v1.record_pb2_grpc import RecordServiceStub
from kafka_facade_devstack.gateway import Gateway

_SECONDS = 40
_V2 = {"content-type": "application/vnd.kafka.v2+json"}
_BINARY = "application/vnd.kafka.binary.v2+json"
# Half of them are an answer, and more than a connection of gRPC holds.
_RECORDS, _LARGE = 600, 3000
_MIN_BYTES = _RECORDS * _LARGE // 2
# The same for a connection of REST, whose buffers are those of the operating system.
_REST_MIN_BYTES = 9_000_000
# Each of the workers gets one at least, as good as certainly, and holds one.
_INSTANCES = 6
_OWN = ("grpc.use_local_subchannel_pool", 1)
_SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536), _OWN]


@pytest.fixture
async def gateway(gateway_factory: GatewayFactory) -> AsyncIterator[Gateway]:
    """A gateway whose log has no error by the end of the test."""
    started = await gateway_factory({"workers": "2"})
    yield started
    log = started.child.log.read_text()
    assert " ERROR " not in log, log


@pytest.fixture
async def channel(gateway: Gateway) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(gateway.grpc, options=[_OWN]) as opened:
        yield opened


class Instance:
    """An instance of a group of its own, which is assigned a topic's partition."""

    def __init__(self, channel: grpc.aio.Channel, topic: str) -> None:
        self.stub: Any = ConsumerInstanceServiceStub(channel)
        self.topic = topic
        self.where: dict[str, Any] = {"consumer_group_id": f"g-{uuid.uuid4().hex}", "instance_id": "i"}
        self.path = f"/consumers/{self.where['consumer_group_id']}/instances/i"
        self.partition = messages.TopicPartition(topic_name=topic, partition_id=0)

    async def create(self, min_bytes: int = _MIN_BYTES, auto_commit: bool = True) -> None:
        settings: dict[str, Any] = {"auto_offset_reset": "earliest", "request_timeout_ms": 60_000}
        await self.stub.CreateConsumerInstance(
            messages.CreateConsumerInstanceRequest(
                **self.where, **settings, fetch_min_bytes=min_bytes, auto_commit=auto_commit
            )
        )
        await self.stub.AssignPartitions(messages.AssignPartitionsRequest(**self.where, partitions=[self.partition]))

    async def delete(self) -> None:
        await self.stub.DeleteConsumerInstance(messages.DeleteConsumerInstanceRequest(**self.where))

    async def has_lost_nothing(self) -> None:
        """The group has committed no record, and a new instance begins at the first one."""
        await self.create(auto_commit=False)
        asked = messages.GetCommittedOffsetsRequest(**self.where, partitions=[self.partition])
        assert all(entry.offset == 0 for entry in (await self.stub.GetCommittedOffsets(asked)).offsets)
        found = await self.stub.FetchRecords(messages.FetchRecordsRequest(**self.where, max_bytes=1))
        assert [record.offset for record in found.records] == [0]
        await self.delete()


async def instances(channel: grpc.aio.Channel, name: str) -> list[Instance]:
    made = [Instance(channel, name) for _ in range(_INSTANCES)]
    for instance in made:
        await instance.create()
    return made


async def filled(channel: grpc.aio.Channel, topic: TopicFactory) -> str:
    name = await topic()
    records = [RecordToProduce(value=RecordData(text="x" * _LARGE))] * _RECORDS
    await RecordServiceStub(channel).ProduceRecords(ProduceRecordsRequest(topic_name=name, records=records))
    return name


class Stalled:
    """A fetch whose answer is being written, and of which nothing is read yet."""

    def __init__(self, gateway: Gateway, instance: Instance) -> None:
        self.instance = instance
        self._channel = grpc.aio.insecure_channel(gateway.grpc, options=_SMALL_WINDOW)
        method: grpc.aio.UnaryStreamMultiCallable[Any, bytes] = self._channel.unary_stream(
            "/kafka_facade.v1.ConsumerInstanceService/FetchRecords", messages.FetchRecordsRequest.SerializeToString
        )
        self._call: Any = method(messages.FetchRecordsRequest(**instance.where))

    async def __aenter__(self) -> "Stalled":
        await asyncio.wait_for(self._call.initial_metadata(), _SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def outcome(self) -> tuple[grpc.StatusCode, str]:
        """Read everything, and return the code and the reason in the details."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await asyncio.wait_for(self._call.read(), _SECONDS) is not grpc.aio.EOF:
                pass
        code = await self._call.code()
        details = dict(await self._call.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        info = ErrorInfo()
        for detail in Status.FromString(details).details:
            if detail.Is(ErrorInfo.DESCRIPTOR):
                detail.Unpack(info)
        return code, info.reason


async def test_grpc_deleted(channel: grpc.aio.Channel, gateway: Gateway, topic: TopicFactory) -> None:
    for instance in await instances(channel, await filled(channel, topic)):
        async with Stalled(gateway, instance) as stalled:
            await instance.delete()
            assert await stalled.outcome() == (grpc.StatusCode.NOT_FOUND, "CONSUMER_INSTANCE_NOT_FOUND")
        await instance.has_lost_nothing()


async def test_grpc_in_use_is_not_idle(gateway_factory: GatewayFactory, topic: TopicFactory) -> None:
    gateway = await gateway_factory({"workers": "2", "consumer.instance.timeout.ms": "1000"})
    async with grpc.aio.insecure_channel(gateway.grpc, options=[_OWN]) as channel:
        instance = Instance(channel, await filled(channel, topic))
        await instance.create()
        async with Stalled(gateway, instance) as stalled:
            await asyncio.sleep(4)
            assert await stalled.outcome() == (grpc.StatusCode.OK, "")


async def test_grpc_a_worker_drains(
    channel: grpc.aio.Channel, gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    gateway = await gateway_factory({"workers": "2", "shutdown.timeout.ms": "4000"})
    name = await filled(channel, topic)
    async with contextlib.AsyncExitStack() as stack:
        own = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.grpc, options=[_OWN]))
        made = await instances(own, name)
        stalled = [await stack.enter_async_context(Stalled(gateway, instance)) for instance in made]
        worker = workers(gateway)[0]
        os.kill(worker.pid, signal.SIGTERM)
        await asyncio.to_thread(psutil.wait_procs, [worker], _SECONDS)
        outcomes = [await call.outcome() for call in stalled]
    # Instances of the other worker live on; calls of both get an answer.
    ended = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE}
    codes = {code for code, _ in outcomes}
    assert codes & ended
    assert codes <= {grpc.StatusCode.OK, *ended}
    async with grpc.aio.insecure_channel(gateway.grpc, options=[_OWN]) as again:
        for instance, (code, _) in zip(made, outcomes, strict=True):
            if code in ended:
                renewed = Instance(again, name)
                renewed.where = {**instance.where, "instance_id": "renewed"}
                await until_replaced(renewed)
                await renewed.has_lost_nothing()


async def until_replaced(instance: Instance) -> None:
    """Wait until the slot of the instance is served again."""
    async with asyncio.timeout(2 * _SECONDS):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await instance.create()
                return await instance.delete()
            await asyncio.sleep(0.5)


def workers(gateway: Gateway) -> list[psutil.Process]:
    children = psutil.Process(gateway.child.pid).children()
    return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


async def test_rest_deleted_while_it_waits(channel: grpc.aio.Channel, gateway: Gateway, topic: TopicFactory) -> None:
    name = await topic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        for instance in await instances(channel, name):
            fetch = client.get(f"{instance.path}/records", params={"timeout": 20_000}, headers={"accept": _BINARY})
            waiting = asyncio.create_task(fetch)
            await asyncio.sleep(0.3)
            await instance.delete()
            answer = await asyncio.wait_for(waiting, _SECONDS)
            assert (answer.status_code, answer.json()["error_code"]) == (404, 40403)


async def test_rest_deleted_while_it_is_written(
    channel: grpc.aio.Channel, gateway: Gateway, topic: TopicFactory, connect: Connect
) -> None:
    name = await topic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        for _ in range(15):
            body = {"records": [{"value": "AAAA" * 55_000}] * 4}
            sent = await client.post(f"/topics/{name}", json=body, headers={"content-type": _BINARY})
            assert sent.status_code == 200
    for instance in [Instance(channel, name) for _ in range(_INSTANCES)]:
        await instance.create(_REST_MIN_BYTES)
        connection = await connect(gateway, 16_384)
        path = f"{instance.path}/records?timeout=20000"
        await connection.send(f"GET {path} HTTP/1.1\r\nHost: h\r\nAccept: {_BINARY}\r\n\r\n".encode())
        status, fields = await connection.head()
        assert status == 200
        connection.stop_reading()
        await instance.delete()
        connection.read_on()
        # The status is sent: a body that ends early says that the read has failed.
        with contextlib.suppress(ConnectionResetError):
            assert len(await connection.rest()) < int(fields["content-length"])
        await instance.has_lost_nothing()


def reading(key: str, instance: Instance) -> str:
    group = instance.where["consumer_group_id"]
    return f"""{key}: fetchConsumerRecords(input: {{group: "{group}", instance: "i", timeoutMs: 5000}}) {{
        records {{ record {{ offset }} }} }}"""


async def graphql_deleted(gateway: Gateway, instance: Instance, query: str, accept: str, seconds: float) -> Any:
    """Delete an instance during a mutation, after a delay, and return the response."""
    async with httpx.AsyncClient(timeout=_SECONDS) as client:
        waiting = asyncio.create_task(client.post(gateway.graphql, json={"query": query}, headers={"accept": accept}))
        await asyncio.sleep(seconds)
        await instance.delete()
        answer = await asyncio.wait_for(waiting, _SECONDS)
    text = answer.text.partition("data: ")[2].partition("\n")[0] if "event" in accept else answer.text
    found = json.loads(text)
    [error] = found["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["read"], "CONSUMER_INSTANCE_NOT_FOUND")
    return found["data"]


async def test_graphql_deleted_while_it_waits(channel: grpc.aio.Channel, gateway: Gateway, topic: TopicFactory) -> None:
    instance = Instance(channel, await topic())
    for accept in ("application/json", "text/event-stream"):
        await instance.create()
        query = f"mutation {{ {reading('read', instance)} }}"
        assert await graphql_deleted(gateway, instance, query, accept, 0.5) == {"read": None}


async def test_graphql_deleted_before_the_answer_is_written(
    channel: grpc.aio.Channel, gateway: Gateway, topic: TopicFactory
) -> None:
    instance, other = Instance(channel, await filled(channel, topic)), Instance(channel, await topic())
    await other.create()
    for accept in ("application/json", "text/event-stream"):
        await instance.create()
        query = f"mutation {{ {reading('read', instance)} {reading('waits', other)} }}"
        data = await graphql_deleted(gateway, instance, query, accept, 2.0)
        assert data == {"read": None, "waits": {"records": []}}
        await instance.has_lost_nothing()
