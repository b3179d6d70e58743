"""A response that the handler writes itself: the caller learns of an error while the write is stuck, and after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from kafka_facade.core.call import Call
from kafka_facade.core.core import Core
from kafka_facade.core.errors import ConsumerInstanceNotFound
from kafka_facade.core.instances.interruption import unless
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.pipeline import AccessLists, Pipeline
from kafka_facade.rpc.dispatch import Context, Written
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2 as messages
from kafka_facade.rpc.gen.v1.record_pb2 import RecordData
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.receiving import Receiver

_SECONDS = 20
_METHOD = "/test/Fetch"
_SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]
Fetch = grpc.aio.UnaryStreamMultiCallable[Any, bytes]


class Server:
    """A server with one method, which fails once its instance ends. It needs no Kafka."""

    def __init__(self, size: int, write_seconds: float = 60) -> None:
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer = messages.FetchRecordsResponse()
        self._answer.records.add(value=RecordData(binary=b"x" * size))
        own: Any = SimpleNamespace(admin=None, placement=None)
        defaults = ConsumerDefaults(1000, 1_000_000, 300_000, -1, "latest", True, 100)
        pipeline = Pipeline(AccessLists(), 30)
        core = Core(pipeline, own, defaults, 10)
        serve = Written(self._run, self._identify).serve(core, RpcOptions(write_seconds=write_seconds))
        encode = messages.FetchRecordsResponse.SerializeToString
        receiver = Receiver(pipeline.overload, pipeline.deadlines, 10_000, 60)
        handler = receiver.stream(messages.FetchRecordsRequest, serve, encode)
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test", {"Fetch": handler})])
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    async def __aenter__(self) -> Server:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    def end(self) -> None:
        """End the instance."""
        self._ended.set_result(None)

    async def _identify(self, core: Core, message: Any, context: Context) -> str:
        return "api.v2.consumers.consume-binary"

    async def _run(
        self,
        core: Core,
        call: Call,
        message: Any,
        options: RpcOptions,
        write: Callable[[Message], Awaitable[None]],
    ) -> None:
        async def written() -> None:
            await write(self._answer)

        await unless(self._ended, written())
        await self._ended
        raise ConsumerInstanceNotFound(group="g", instance="i")


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Server], Fetch]]:
    channels: list[grpc.aio.Channel] = []

    def open(server: Server) -> Fetch:
        channels.append(grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=_SMALL_WINDOW))
        return channels[-1].unary_stream(_METHOD, messages.FetchRecordsRequest.SerializeToString)

    yield open
    for channel in channels:
        await channel.close()


async def outcome(call: Any) -> grpc.StatusCode:
    """The code, once all is read."""
    try:
        while await asyncio.wait_for(call.read(), _SECONDS) is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError:
        pass
    found: grpc.StatusCode = await call.code()
    return found


async def begun(fetch: Fetch, timeout: float | None = None) -> Any:
    """A call whose answer is under way, and of which nothing is read yet."""
    call = fetch(messages.FetchRecordsRequest(), timeout=timeout)
    await asyncio.wait_for(call.initial_metadata(), _SECONDS)
    return call


@pytest.mark.parametrize("size", [10, 2_000_000], ids=["written", "stuck"])
async def test_an_instance_that_ends_during_a_write(connect: Callable[[Server], Fetch], size: int) -> None:
    async with Server(size) as server:
        call = await begun(connect(server))
        server.end()
        assert await outcome(call) is grpc.StatusCode.NOT_FOUND


async def test_a_client_that_does_not_read(connect: Callable[[Server], Fetch]) -> None:
    async with Server(2_000_000, write_seconds=0.2) as server:
        call = await begun(connect(server))
        await asyncio.sleep(0.5)
        assert await outcome(call) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("deadline", [None, 0.3])
@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_a_client_that_disconnects(
    connect: Callable[[Server], Fetch], caplog: pytest.LogCaptureFixture, size: int, deadline: float | None
) -> None:
    with caplog.at_level(logging.WARNING):
        async with Server(size) as server:
            call = await begun(connect(server), deadline)
            if deadline is None:
                call.cancel()
            # Both happen at once.
            server.end()
            codes = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.NOT_FOUND}
            assert await asyncio.wait_for(call.code(), _SECONDS) in codes
    assert not caplog.records
