"""Floods of websocket frames do not delay others or take much memory."""

import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from conftest import Connect
from faces.conftest import Watched, watched_gateway
from http_connection import Connection
from kafka_facade_devstack.background import BackgroundStack
from peak_memory import MEBIBYTE, PeakMemory

pytestmark = pytest.mark.xdist_group("websocket_floods")

_HEAD = b"\r\n".join(
    (
        b"GET /graphql HTTP/1.1",
        b"Host: h",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Protocol: graphql-transport-ws",
    )
)
_DEFLATE = b"\r\nSec-WebSocket-Extensions: permessage-deflate"
_FIN, _COMPRESSED = 0x80, 0x40
_CONT, _TEXT, _PING, _PONG = 0, 1, 9, 10
# Processor time (s) that callbacks of the loop may take one after the other.
_MOST_BUSY = 0.1


def _frame(first: int, data: bytes) -> bytes:
    """A frame whose mask is zeros."""
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else struct.pack("!BQ", 0xFF, size)
    return bytes([first]) + length + bytes(4) + data


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
    await connection.send(_HEAD + extensions + b"\r\n\r\n")
    status, fields = await connection.head()
    assert status == 101
    await connection.send(_frame(_FIN | _TEXT, b'{"type":"connection_init"}'))
    # It may be compressed.
    await connection.exactly(2)
    return connection, fields


_FLOODS = {
    "compressed texts": _frame(_FIN | _COMPRESSED | _TEXT, _deflated(b" " * 4_000_000)) * 64,
    "texts": _frame(_FIN | _TEXT, b"") * 40_000,
    "messages": _frame(_FIN | _TEXT, b'{"type":"ping"}') * 12_000,
    "pings": _frame(_FIN | _PING, b"") * 40_000,
    "pongs": _frame(_FIN | _PONG, b"") * 40_000,
    "empty parts": _frame(_TEXT, b"") + _frame(_CONT, b"") * 1_000_000,
}


@pytest.mark.parametrize("flood", _FLOODS)
async def test_a_flood_of_frames(watched: Watched, connect: Connect, flood: str) -> None:
    connection, _ = await _connected(watched, connect, _DEFLATE if flood == "compressed texts" else b"")
    bystander, _ = await _connected(watched, connect)
    memory = PeakMemory(watched.gateway)
    await watched.report()
    with suppress(ConnectionError):
        await connection.send(_FLOODS[flood])
    # Closes the connection where the flood hasn't.
    with suppress(ConnectionError):
        await connection.send(_frame(_FIN | _TEXT, b"{"))
        if flood != "empty parts":
            await connection.rest()
    await bystander.until(b"}")
    await bystander.send(_frame(_FIN | _TEXT, b'{"type":"ping"}'))
    assert b"pong" in await bystander.until(b"}")
    assert (await watched.report())["longest_busy"] < _MOST_BUSY
    assert memory.growth() < 20 * MEBIBYTE


async def test_a_message_in_parts_is_whole(watched: Watched, connect: Connect) -> None:
    connection, fields = await _connected(watched, connect, _DEFLATE)
    assert "sec-websocket-extensions" not in fields
    await connection.until(b"}")
    text = b'{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}'
    parts = [_frame(_CONT, text[start : start + 1]) + _frame(_FIN | _PING, b"") for start in range(1, len(text))]
    await connection.send(_frame(_TEXT, text[:1]) + b"".join(parts) + _frame(_FIN | _CONT, b" " * 3_000_000))
    assert b"Query" in await connection.until(b"complete")


async def test_a_message_of_many_values(watched: Watched, connect: Connect) -> None:
    connection, _ = await _connected(watched, connect)
    await connection.until(b"}")
    await watched.report()
    values = b"[[[[]]]]," * 400_000
    await connection.send(_frame(_FIN | _TEXT, b'{"type":"ping","payload":{"values":[' + values + b"1]}}"))
    assert b"too many values" in await connection.rest()
    assert (await watched.report())["longest_busy"] < _MOST_BUSY
