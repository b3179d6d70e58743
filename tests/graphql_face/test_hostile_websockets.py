"""Websockets that break the rules are closed, and the log has no tracebacks."""

import asyncio
import json
from contextlib import suppress

import pytest

from conftest import Connect
from kafka_facade_devstack.gateway import Gateway
from websocket_frames import CLOSE, FIN, HEAD, TEXT, frame

INIT = frame(FIN | TEXT, b'{"type":"connection_init"}')
NOT_UTF_8 = frame(FIN | TEXT, b'{"type":"\xff"}')
# The opcode is reserved.
INVALID = frame(FIN | 3, b"")
BYE = frame(FIN | CLOSE, b"\x03\xe8")
CONNECTIONS = 20


def _subscribe(name: str, query: str, operation: str | None = None) -> bytes:
    message = {"id": name, "type": "subscribe", "payload": {"query": query, "operationName": operation}}
    return frame(FIN | TEXT, json.dumps(message).encode())


TYPES = [_subscribe(str(number), "{ __schema { types { name } } }") for number in range(20)]
BAD = [_subscribe(str(number), "{ __typename }", "unknown") for number in range(20)]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([INIT, NOT_UTF_8], id="text that is not UTF-8"),
        pytest.param([INIT + NOT_UTF_8 + BYE], id="text that is not UTF-8 before a close"),
        pytest.param([INIT, *TYPES, INVALID], id="an invalid frame while responses are sent"),
        pytest.param([b"".join([INIT, *TYPES, INVALID])], id="the same at once"),
        pytest.param([INIT, *BAD, *TYPES, BYE], id="several operations that end the connection"),
        pytest.param([b"".join([INIT, *BAD, INVALID])], id="the same before an invalid frame"),
        pytest.param([INIT, *TYPES, frame(FIN | TEXT, b"{"), BYE], id="responses to a connection that is closed"),
    ],
)
async def test_the_log_has_no_tracebacks(gateway: Gateway, connect: Connect, parts: list[bytes]) -> None:
    before = len(gateway.child.log.read_bytes())

    async def attack() -> None:
        connection = await connect(gateway)
        await connection.send(HEAD + b"\r\n\r\n")
        assert (await connection.head())[0] == 101
        with suppress(ConnectionError):
            for part in parts:
                await connection.send(part)
                await asyncio.sleep(0)
            await connection.rest()

    await asyncio.gather(*(attack() for _ in range(CONNECTIONS)))
    log = gateway.child.log.read_bytes()[before:]
    assert b"Traceback" not in log
    assert b" ERROR " not in log


async def test_text_that_is_not_utf_8_closes_with_1007(gateway: Gateway, connect: Connect) -> None:
    connection = await connect(gateway)
    await connection.send(HEAD + b"\r\n\r\n")
    await connection.head()
    await connection.send(INIT + NOT_UTF_8)
    assert (1007).to_bytes(2, "big") + b"the message is not UTF-8." in await connection.rest()
