"""Calls that are cut off end once, for each kind of client."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest

from kafka_facade.core.outgoing import Outgoing
from kafka_facade.rpc.cut_off import shut_down, taking
from kafka_facade.rpc.errors import reporting

LARGE = bytes(15 * 1024 * 1024)


@pytest.mark.parametrize("peer", ["", "unknown", "unix:", "unix:/run/facade.sock", "unix:/run/a:b", "ipv4:1.2.3.4"])
def test_a_client_without_a_port_has_no_connection_to_end(peer: str) -> None:
    shut_down(peer)


# A client that rejects the message is gone before it is cut off.
@pytest.mark.parametrize("most", [-1, 1024])
async def test_a_client_of_a_unix_socket_that_takes_nothing_is_cut_off_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, most: int
) -> None:
    ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    outgoing = Outgoing(4 * len(LARGE))

    async def serve(message: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        try:
            async with reporting(context), taking(context):
                while True:
                    async with outgoing.hold(len(LARGE), copies=1):
                        asyncio.get_running_loop().call_later(0.5, outgoing.cut_off_largest, 1, 0)
                        await context.write(LARGE)
        except BaseException as error:
            ended.set_result(error)
            raise

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(serve)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test", {"Read": handler})])
    options = [("grpc.http2.bdp_probe", 0), ("grpc.max_receive_message_length", most)]
    address = f"unix:{tmp_path}/grpc.sock"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            read: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/test/Read")
            call = read(b"")
            async with asyncio.timeout(20):
                # The client reads nothing.
                found = await ended
            call.cancel()
    finally:
        await server.stop(0)
    assert isinstance(found, asyncio.CancelledError | grpc.aio.AbortError)
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR] == []
