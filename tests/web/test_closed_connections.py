"""Closed connections leave no reference cycles."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conftest import Connect
from faces.conftest import Watched, watched_gateway
from kafka_facade_devstack.background import BackgroundStack
from websocket_frames import HEAD

pytestmark = pytest.mark.xdist_group("closed_connections")

_CONNECTIONS = 50
_GET = b"GET /v3/clusters HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
async def watched(stack: BackgroundStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """A gateway with default settings and a watch on its event loop."""
    async with watched_gateway(stack, tmp_path_factory.mktemp("watch") / "report.json", {}) as watched:
        yield watched


@pytest.mark.parametrize("answers", [1, 0])
@pytest.mark.parametrize("sent", [_GET, _GET * 3])
async def test_closed_connections_are_not_left_to_the_collector(
    watched: Watched, connect: Connect, sent: bytes, answers: int
) -> None:
    await watched.report()
    for _ in range(_CONNECTIONS):
        connection = await connect(watched.gateway)
        await connection.send(sent)
        for _ in range(answers):
            assert (await connection.answer())[0] == 200
        connection.abort()
    await asyncio.sleep(1)
    # It was several objects for each.
    assert (await watched.report())["collected"] < _CONNECTIONS


async def test_closed_websockets_are_not_left_to_the_collector(watched: Watched, connect: Connect) -> None:
    await watched.report()
    for _ in range(_CONNECTIONS):
        connection = await connect(watched.gateway)
        await connection.send(HEAD + b"\r\n\r\n")
        assert (await connection.head())[0] == 101
        connection.abort()
    await asyncio.sleep(1)
    assert (await watched.report())["collected"] < _CONNECTIONS
