"""A websocket message must arrive within ``request.body.timeout.ms``."""

import asyncio
import struct

import pytest

from conftest import Connect, GatewayFactory
from http_connection import Connection
from kafka_facade_devstack.gateway import Gateway

_HEAD = (
    b"GET /graphql HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
_FIN, _CONT, _TEXT, _PING = 0x80, 0, 1, 9
_PING_MESSAGE = b'{"type":"ping"}'
_SECONDS = 20


def _frame(first: int, data: bytes) -> bytes:
    """A frame whose mask is zeros."""
    return bytes([first, 0x80 | len(data)]) + bytes(4) + data


async def _connected(gateway: Gateway, connect: Connect) -> Connection:
    connection = await connect(gateway)
    await connection.send(_HEAD)
    assert (await connection.head())[0] == 101
    await connection.send(_frame(_FIN | _TEXT, b'{"type":"connection_init"}'))
    await connection.until(b"}")
    return connection


@pytest.mark.parametrize(
    ("first", "further"),
    [
        (_frame(_FIN | _TEXT, b"x" * 100)[:7], b"x"),
        (_frame(_FIN | _TEXT, b"x")[:1], b""),
        (_frame(_TEXT, b"x"), _frame(_CONT, b"x") + _frame(_FIN | _PING, b"")),
        (_frame(_FIN | _PING, b"x" * 100)[:7], b"x"),
    ],
    ids=["one frame", "half of a head", "parts", "ping"],
)
async def test_a_message_that_trickles_closes_the_connection(
    gateway_factory: GatewayFactory, connect: Connect, first: bytes, further: bytes
) -> None:
    connection = await _connected(await gateway_factory({"request.body.timeout.ms": "1000"}), connect)
    await connection.send(first)

    async def trickle() -> None:
        while True:
            await asyncio.sleep(0.1)
            await connection.send(further)

    trickling = asyncio.create_task(trickle())
    async with asyncio.timeout(_SECONDS):
        said = await connection.rest()
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)
    assert said.endswith(struct.pack("!H", 1008) + b"the message took too long.")


async def test_each_message_has_the_whole_time(gateway_factory: GatewayFactory, connect: Connect) -> None:
    connection = await _connected(await gateway_factory({"request.body.timeout.ms": "3000"}), connect)
    # Idle connections have no such limit.
    await asyncio.sleep(3.5)
    frame = _frame(_FIN | _TEXT, _PING_MESSAGE)
    await connection.send(frame[:10])
    for _ in range(5):
        # The next message has begun when one is complete.
        await asyncio.sleep(1)
        await connection.send(frame[10:] + frame[:10])
        assert b"pong" in await connection.until(b"}")
