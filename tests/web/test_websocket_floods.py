"""Floods of websocket frames do not delay others or take much memory."""

import zlib
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from conftest import Connect
from faces.conftest import Watched, watched_gateway
from http_connection import Connection
from kafka_facade_devstack.background import BackgroundStack
from peak_memory import MEBIBYTE, PeakMemory
from websocket_frames import COMPRESSED, CONT, FIN, HEAD, PING, PONG, TEXT, frame

pytestmark = pytest.mark.xdist_group("websocket_floods")

_DEFLATE = b"\r\nSec-WebSocket-Extensions: permessage-deflate"
# Processor time (s) that callbacks of the loop may take one after the other.
_MOST_BUSY = 0.1


def _deflated(text: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


@pytest.fixture(scope="module")
async def watched(stack: BackgroundStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """A gateway with default settings and a watch on its event loop."""
    async with watched_gateway(stack, tmp_path_factory.mktemp("watch") / "report.json", {}) as watched:
        yield watched


async def _connected(watched: Watched, connect: Connect, extensions: bytes = b"") -> tuple[Connection, dict[str, str]]:
    connection = await connect(watched.gateway)
    await connection.send(HEAD + extensions + b"\r\n\r\n")
    status, fields = await connection.head()
    assert status == 101
    await connection.send(frame(FIN | TEXT, b'{"type":"connection_init"}'))
    # It may be compressed.
    await connection.exactly(2)
    return connection, fields


_FLOODS = {
    "compressed texts": frame(FIN | COMPRESSED | TEXT, _deflated(b" " * 4_000_000)) * 64,
    "texts": frame(FIN | TEXT, b"") * 40_000,
    "messages": frame(FIN | TEXT, b'{"type":"ping"}') * 12_000,
    "pings": frame(FIN | PING, b"") * 40_000,
    "pongs": frame(FIN | PONG, b"") * 40_000,
    "empty parts": frame(TEXT, b"") + frame(CONT, b"") * 1_000_000,
}


@pytest.mark.parametrize("flood", _FLOODS)
async def test_a_flood_of_frames(watched: Watched, connect: Connect, flood: str) -> None:
    connection, _ = await _connected(watched, connect, _DEFLATE if flood == "compressed texts" else b"")
    bystander, _ = await _connected(watched, connect)
    memory = PeakMemory(watched.gateway)
    await watched.report()
    with suppress(ConnectionError):
        await connection.send(_FLOODS[flood])
    # Closes the connection where the flood has not.
    with suppress(ConnectionError):
        await connection.send(frame(FIN | TEXT, b"{"))
        if flood != "empty parts":
            await connection.rest()
    await bystander.until(b"}")
    await bystander.send(frame(FIN | TEXT, b'{"type":"ping"}'))
    assert b"pong" in await bystander.until(b"}")
    assert (await watched.report())["longest_busy"] < _MOST_BUSY
    assert memory.growth() < 20 * MEBIBYTE


async def test_a_message_in_parts_is_whole(watched: Watched, connect: Connect) -> None:
    connection, fields = await _connected(watched, connect, _DEFLATE)
    assert "sec-websocket-extensions" not in fields
    await connection.until(b"}")
    text = b'{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}'
    parts = [frame(CONT, text[start : start + 1]) + frame(FIN | PING, b"") for start in range(1, len(text))]
    await connection.send(frame(TEXT, text[:1]) + b"".join(parts) + frame(FIN | CONT, b" " * 3_000_000))
    assert b"Query" in await connection.until(b"complete")


async def test_a_message_of_many_values(watched: Watched, connect: Connect) -> None:
    connection, _ = await _connected(watched, connect)
    await connection.until(b"}")
    await watched.report()
    values = b"[[[[]]]]," * 400_000
    await connection.send(frame(FIN | TEXT, b'{"type":"ping","payload":{"values":[' + values + b"1]}}"))
    assert b"too many values" in await connection.rest()
    assert (await watched.report())["longest_busy"] < _MOST_BUSY
