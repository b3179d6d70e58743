"""Many pipelined requests are all answered, and do not delay others or take much memory."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conftest import Connect
from faces.conftest import Watched, watched_gateway
from kafka_facade_devstack.background import BackgroundStack
from peak_memory import MEBIBYTE, PeakMemory

pytestmark = pytest.mark.xdist_group("pipelining")

# Processor time (s) that callbacks of the loop may take one after the other.
_MOST_BUSY = 0.06
_WITH_BODY = b"GET / HTTP/1.1\r\nHost:\r\nContent-Length: 3000\r\n\r\n" + bytes(3000)
_REQUESTS = {
    "small": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 10_000),
    "another protocol": (b"GET / HTTP/1.1\r\nHost:\r\nUpgrade:x\r\nConnection:upgrade\r\n\r\n", 4_000),
    "with bodies": (_WITH_BODY, 1_000),
}


@pytest.fixture(scope="module")
async def watched(stack: BackgroundStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """A gateway with default settings and a watch on its event loop."""
    async with watched_gateway(stack, tmp_path_factory.mktemp("watch") / "report.json", {}) as watched:
        yield watched


@pytest.mark.parametrize("kind", _REQUESTS)
async def test_many_pipelined_requests(watched: Watched, connect: Connect, kind: str) -> None:
    request, count = _REQUESTS[kind]
    connection = await connect(watched.gateway)
    memory = PeakMemory(watched.gateway)
    await watched.report()
    sending = asyncio.create_task(connection.send(request * count))
    statuses = [(await connection.answer())[0] for _ in range(count)]
    await sending
    assert set(statuses) == {200}
    assert (await watched.report())["longest_busy"] < _MOST_BUSY
    assert memory.growth() < 5 * MEBIBYTE


async def test_pipelined_requests_that_wait_for_a_response(watched: Watched, connect: Connect) -> None:
    """The first answer takes its time; all that came behind it stay in order."""
    connection = await connect(watched.gateway)
    body = b'{"auto.offset.reset":"earliest"}'
    head = b"POST /consumers/waiting HTTP/1.1\r\nHost: h\r\nContent-Type: application/vnd.kafka.v2+json\r\n"
    slow = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    memory = PeakMemory(watched.gateway)
    await watched.report()
    sending = asyncio.create_task(connection.send(slow + b"GET / HTTP/1.1\r\nHost:\r\n\r\n" * 10_000 + _WITH_BODY))
    assert (await connection.answer())[0] == 200
    for _ in range(10_001):
        assert (await connection.answer())[0] == 200
    await sending
    assert (await watched.report())["longest_busy"] < _MOST_BUSY
    assert memory.growth() < 5 * MEBIBYTE
