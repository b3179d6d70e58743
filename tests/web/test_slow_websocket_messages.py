"""A websocket message must arrive within ``request.body.timeout.ms``."""

import asyncio
import struct

import pytest

from conftest import Connect, GatewayFactory
from http_connection import Connection
from kafka_facade_devstack.gateway import Gateway
from websocket_frames import CONT, FIN, HEAD, PING, TEXT, frame

_PING_MESSAGE = b'{"type":"ping"}'
_SECONDS = 20


async def _connected(gateway: Gateway, connect: Connect) -> Connection:
    connection = await connect(gateway)
    await connection.send(HEAD + b"\r\n\r\n")
    assert (await connection.head())[0] == 101
    await connection.send(frame(FIN | TEXT, b'{"type":"connection_init"}'))
    await connection.until(b"}")
    return connection


@pytest.mark.parametrize(
    ("first", "further"),
    [
        (frame(FIN | TEXT, b"x" * 100)[:7], b"x"),
        (frame(FIN | TEXT, b"x")[:1], b""),
        (frame(TEXT, b"x"), frame(CONT, b"x") + frame(FIN | PING, b"")),
        (frame(FIN | PING, b"x" * 100)[:7], b"x"),
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
    ping = frame(FIN | TEXT, _PING_MESSAGE)
    await connection.send(ping[:10])
    for _ in range(5):
        # The next message has begun when one is complete.
        await asyncio.sleep(1)
        await connection.send(ping[10:] + ping[:10])
        assert b"pong" in await connection.until(b"}")
