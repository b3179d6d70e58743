"""What becomes of a GraphQL operation over HTTP whose caller closes the connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import psutil
import pytest

from conftest import Connect, GatewayFactory
from http_connection import Connection
from kafka_facade_devstack.gateway import Gateway

pytestmark = [pytest.mark.serial, pytest.mark.xdist_group("gone_callers")]

TopicFactory = Callable[..., Awaitable[str]]

CALLERS, ALIASES, PARTITIONS, TOPICS = 80, 30, 60, 20
SELECTED = "partitions { id partitionId offsets { earliestOffset latestOffset } }"
_SECONDS = 60
# Processor time (s) of an idle gateway in half a second.
_IDLE = 0.05


@pytest.fixture
async def own_gateway(gateway_factory: GatewayFactory) -> AsyncIterator[Gateway]:
    """A gateway without other callers. It logs no errors and no warnings."""
    gateway = await gateway_factory()
    yield gateway
    log = gateway.child.log.read_text()
    assert "Traceback" not in log
    assert "ASGI" not in log


async def _query(gateway: Gateway, topic: TopicFactory) -> str:
    """A query that takes a while."""
    name = await topic(partitions=PARTITIONS)
    aliases = (f'a{number}: topic(topicName: "{name}") {{ {SELECTED} }}' for number in range(ALIASES))
    document = f"{{ clusters {{ {' '.join(aliases)} }} }}"
    async with httpx.AsyncClient(timeout=60) as client, asyncio.timeout(60):
        # A moment after it was created the broker leads all partitions.
        while "errors" in (await client.post(gateway.graphql, json={"query": document})).json():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return document


def _request(document: str) -> bytes:
    body = json.dumps({"query": document}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Usage:
    """The processor time of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._process = psutil.Process(gateway.child.pid)
        self._begin = self._total()

    def _total(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    async def until_idle(self) -> float:
        """The processor time (s) since creation, once the gateway has nothing to do."""
        before, now = -1.0, self._begin
        async with asyncio.timeout(_SECONDS):
            while now - before > _IDLE:
                await asyncio.sleep(0.5)
                before, now = now, self._total()
        return now - self._begin


@pytest.mark.parametrize("reset", [True, False])
async def test_queries_of_gone_callers_end(
    own_gateway: Gateway, topic: TopicFactory, connect: Connect, reset: bool
) -> None:
    request = _request(await _query(own_gateway, topic))
    usage = Usage(own_gateway)
    connection = await connect(own_gateway)
    await connection.send(request)
    assert (await connection.answer())[0] == 200
    one = await usage.until_idle()
    connections = [await connect(own_gateway) for _ in range(CALLERS)]
    for connection in connections:
        await connection.send(request)
    await asyncio.sleep(1)
    usage = Usage(own_gateway)
    for connection in connections:
        (connection.reset if reset else connection.abort)()
    assert await usage.until_idle() < one * CALLERS / 2


async def _answers(connection: Connection, count: int) -> int:
    """Read this many answers with data; return how many interim responses preceded them."""
    interim = 0
    while count:
        status, fields = await connection.head()
        if status == 100:
            interim += 1
            continue
        assert status == 200
        assert "errors" not in json.loads(await connection.exactly(int(fields["content-length"])))
        count -= 1
    return interim


@pytest.mark.parametrize("pipelined", [1, 2])
async def test_half_closed_callers_of_long_queries_are_answered(
    own_gateway: Gateway, topic: TopicFactory, connect: Connect, pipelined: int
) -> None:
    request = _request(await _query(own_gateway, topic))
    connections = [await connect(own_gateway) for _ in range(CALLERS // 2 // pipelined)]
    for connection in connections:
        await connection.send(request * pipelined)
        connection.half_close()
    interim = [await _answers(connection, pipelined) for connection in connections]
    # Or no query took so long that the gateway asked whether the caller was still there.
    assert any(interim)
    for connection in connections:
        assert await connection.rest() == b""


async def test_a_mutation_of_a_gone_caller_goes_on(
    own_gateway: Gateway, cluster_id: str, topic: TopicFactory, connect: Connect
) -> None:
    prefix = await topic()
    fields = (
        f'a{number}: createTopic(input: {{clusterId: "{cluster_id}", topicName: "{prefix}-{number}"}}) '
        "{ topic { topicName } }"
        for number in range(TOPICS)
    )
    connection = await connect(own_gateway)
    await connection.send(_request(f"mutation {{ {' '.join(fields)} }}"))
    async with httpx.AsyncClient(base_url=own_gateway.rest, timeout=30) as client, asyncio.timeout(30):

        async def created() -> int:
            topics = (await client.get(f"/v3/clusters/{cluster_id}/topics")).json()["data"]
            return sum(found["topic_name"].startswith(f"{prefix}-") for found in topics)

        while not (begun := await created()):
            pass
        connection.reset()
        assert begun < TOPICS
        while await created() < TOPICS:  # noqa: ASYNC110  nothing tells of a topic
            await asyncio.sleep(0.1)
