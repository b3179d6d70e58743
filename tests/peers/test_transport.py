"""Transports carry the same messages, and accept only workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from kafka_facade.peers.certificate import NAME, new_certificate
from kafka_facade.peers.loopback import loopback
from kafka_facade.peers.transport import TcpTransport, Transport, UnixTransport, new_server

_ECHO = "/echo"
_PAYLOAD = b"the call of a caller"
_LARGE = 8 * 1024 * 1024


class Echo(grpc.GenericRpcHandler):
    """Counts the calls that it gets."""

    def __init__(self) -> None:
        self.calls = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        self.calls += 1
        return grpc.unary_unary_rpc_method_handler(self._echo)

    async def _echo(self, payload: bytes, _: Any) -> bytes:
        return payload


@pytest.fixture(params=["unix", "tcp", "tcp6"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Transport:
    if request.param == "unix":
        return UnixTransport(tmp_path / "worker.sock")
    return TcpTransport("127.0.0.1" if request.param == "tcp" else "::1", new_certificate())


@pytest.fixture
async def channel(transport: Transport) -> AsyncIterator[grpc.aio.Channel]:
    server = new_server(Echo())
    transport.listen(server)
    await server.start()
    async with transport.open_channel(transport.address) as opened:
        yield opened
    await server.stop(None)
    transport.close()


async def test_large_messages(channel: grpc.aio.Channel) -> None:
    send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_ECHO)
    payload = b"x" * _LARGE
    async with asyncio.timeout(30):
        assert await send(payload) == payload


async def _refused(channel: grpc.aio.Channel) -> None:
    send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_ECHO)
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await send(_PAYLOAD, timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_other_processes_are_rejected_over_tcp() -> None:
    own, other = new_certificate(), new_certificate()
    transport, echo = TcpTransport("127.0.0.1", own), Echo()
    server = new_server(echo)
    transport.listen(server)
    await server.start()
    named = (("grpc.ssl_target_name_override", NAME),)
    for credentials in (
        grpc.ssl_channel_credentials(own.certificate),
        grpc.ssl_channel_credentials(own.certificate, other.key, other.certificate),
    ):
        await _refused(grpc.aio.secure_channel(transport.address, credentials, options=named))
    await _refused(grpc.aio.insecure_channel(transport.address))
    await server.stop(None)
    assert not echo.calls


async def test_others_that_listen_over_tcp_get_no_call() -> None:
    transport = TcpTransport("127.0.0.1", new_certificate())
    impostor, echo = TcpTransport("127.0.0.1", new_certificate()), Echo()
    server = new_server(echo)
    impostor.listen(server)
    plain = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    for address in (impostor.address, f"127.0.0.1:{plain}"):
        await _refused(transport.open_channel(address))
    await server.stop(None)
    assert not echo.calls


async def test_others_that_listen_over_tcp_learn_nothing() -> None:
    received = b""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received += await reader.read(65536)
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await _refused(TcpTransport("127.0.0.1", new_certificate()).open_channel(f"127.0.0.1:{port}"))
    assert received
    assert _PAYLOAD not in received


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "localhost", "example.org", ""])
def test_only_loopback_addresses(host: str) -> None:
    for make in (loopback, lambda host: TcpTransport(host, new_certificate())):
        with pytest.raises(ValueError, match="a loopback address such as"):
            make(host)


def test_loopback_addresses() -> None:
    assert [loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1")] == ["127.0.0.1", "127.1.2.3", "::1"]
