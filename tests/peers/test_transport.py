"""Transports carry the same messages; what is not encrypted stays on the loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from kafka_facade.peers.loopback import loopback
from kafka_facade.peers.transport import TcpTransport, Transport, UnixTransport, admits, new_server, open_channel

_ECHO = "/echo"
_LARGE = 8 * 1024 * 1024


class Echo(grpc.GenericRpcHandler):
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if not admits(self._transport, details.invocation_metadata):
            return None
        return grpc.unary_unary_rpc_method_handler(self._echo)

    async def _echo(self, payload: bytes, _: Any) -> bytes:
        return payload


@pytest.fixture(params=["unix", "tcp", "tcp6"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Transport:
    if request.param == "unix":
        return UnixTransport(tmp_path / "worker.sock")
    return TcpTransport("127.0.0.1" if request.param == "tcp" else "::1", "secret")


@pytest.fixture
async def channel(transport: Transport) -> AsyncIterator[grpc.aio.Channel]:
    server = new_server(Echo(transport))
    transport.listen(server)
    await server.start()
    async with open_channel(transport, transport.address) as opened:
        yield opened
    await server.stop(None)
    transport.close()


async def test_large_messages(transport: Transport, channel: grpc.aio.Channel) -> None:
    send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_ECHO)
    payload = b"x" * _LARGE
    async with asyncio.timeout(30):
        assert await send(payload, metadata=transport.metadata) == payload


@pytest.mark.parametrize("metadata", [(), (("kafka-facade-peer", "guess"),), (("kafka-facade-peer", "\u00e9"),)])
async def test_others_that_connect_over_tcp_are_refused(metadata: Any) -> None:
    transport = TcpTransport("127.0.0.1", "secret")
    assert not admits(transport, metadata)
    server = new_server(Echo(transport))
    transport.listen(server)
    await server.start()
    async with open_channel(transport, transport.address) as channel:
        send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_ECHO)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await send(b"", timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await server.stop(None)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "localhost", "example.org", ""])
def test_only_loopback_addresses(host: str) -> None:
    for make in (loopback, lambda host: TcpTransport(host, "secret")):
        with pytest.raises(ValueError, match="a loopback address such as"):
            make(host)


def test_loopback_addresses() -> None:
    assert [loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1")] == ["127.0.0.1", "127.1.2.3", "::1"]
