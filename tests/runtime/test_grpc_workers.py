"""The gRPC port of several workers: each call is answered or fails with UNAVAILABLE at once."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import grpc

from kafka_facade.rpc.gen.v1 import record_pb2, record_pb2_grpc, topic_pb2, topic_pb2_grpc
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_devstack.ports import HOST, PortPlan

GatewayFactory = Callable[..., Awaitable[Gateway]]
TopicFactory = Callable[..., Awaitable[str]]

TIMEOUT_MS = 10_000
_SECONDS = 30
# Each channel has a connection of its own.
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


async def _call(channel: grpc.aio.Channel, topic: str) -> str:
    """The status of one call."""
    try:
        request = topic_pb2.GetTopicRequest(topic_name=topic)
        await topic_pb2_grpc.TopicServiceStub(channel).GetTopic(request, timeout=_SECONDS)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def test_the_port_is_closed_until_a_worker_can_answer(stack: BackgroundStack, topic: TopicFactory) -> None:
    name = await topic()
    ports = PortPlan.free()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kafka_facade", "serve", "-p", "workers=2"),
        *("-p", f"grpc.listeners={HOST}:{ports.grpc}", "-p", f"listeners=http://{HOST}:{ports.rest}"),
        *("-p", f"bootstrap.servers={stack.bootstrap_servers}"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(90):
            while not await _accepts(ports.grpc):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            outcomes: Counter[str] = Counter()
            ends = time.monotonic() + 5
            # The other worker may be starting: its part of the connections is not lost.
            while time.monotonic() < ends:
                async with grpc.aio.insecure_channel(f"{HOST}:{ports.grpc}", _OWN_CONNECTION) as channel:
                    outcomes[await _call(channel, name)] += 1
        assert set(outcomes) == {"OK"}, outcomes
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 45)
    assert process.returncode == 0


async def test_calls_are_answered_or_unavailable_at_sigterm(
    gateway_factory: GatewayFactory, topic: TopicFactory
) -> None:
    name = await topic()
    gateway = await gateway_factory({"workers": "2", "shutdown.timeout.ms": str(TIMEOUT_MS)})
    port = int(gateway.grpc.rpartition(":")[2])
    outcomes: Counter[str] = Counter()
    streams: Counter[str] = Counter()
    longest = 0.0
    told_at: float | None = None

    async def call(fresh: bool) -> None:
        """Call until the port is closed, through a channel for each call or one for all."""
        nonlocal longest
        channel = grpc.aio.insecure_channel(gateway.grpc, _OWN_CONNECTION)
        while await _accepts(port):
            if fresh:
                await channel.close()
                channel = grpc.aio.insecure_channel(gateway.grpc, _OWN_CONNECTION)
            started = time.monotonic()
            outcomes[await _call(channel, name)] += 1
            if told_at is not None:
                longest = max(longest, time.monotonic() - started)
        await channel.close()

    async def follow() -> None:
        async with grpc.aio.insecure_channel(gateway.grpc, _OWN_CONNECTION) as channel:
            stream = record_pb2_grpc.RecordServiceStub(channel).Consume(record_pb2.ConsumeRequest(topic_name=name))
            try:
                async for _ in stream:
                    pass
            except grpc.aio.AioRpcError as error:
                streams[error.code().name] += 1
            else:
                streams["OK"] += 1

    callers = [asyncio.create_task(call(number % 2 == 0)) for number in range(10)]
    followers = [asyncio.create_task(follow()) for _ in range(6)]
    await asyncio.sleep(2)
    os.kill(gateway.child.pid, signal.SIGTERM)
    told_at = time.monotonic()
    async with asyncio.timeout(TIMEOUT_MS / 1000):
        await asyncio.gather(*callers, *followers)
    assert outcomes["OK"] > 20, outcomes
    assert set(outcomes) <= {"OK", "UNAVAILABLE", "CANCELLED"}, outcomes
    # What gRPC had received but not started in the moment in which the port was closed.
    assert outcomes["CANCELLED"] <= len(callers), outcomes
    assert set(streams) <= {"OK", "UNAVAILABLE"}, streams
    assert longest < TIMEOUT_MS / 2000
    async with asyncio.timeout(TIMEOUT_MS / 1000 + 10):
        while gateway.child.running:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert gateway.child.exit_code == 0
