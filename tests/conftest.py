"""Fixtures: one Kafka broker with a Schema Registry for each session; three brokers and gateways on demand."""

import asyncio
import json
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from hypothesis import HealthCheck, settings

from http_connection import Connection
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.errors import DevStackError
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_devstack.process import Start, start_program
from preloaded import Original

pytest_plugins = ("distribution",)

# How long an example takes on the clock says more of the machine than of the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("tests"), max_examples=1000)
settings.load_profile("tests")

TopicFactory = Callable[..., Awaitable[str]]
GatewayFactory = Callable[..., Awaitable[Gateway]]
Connect = Callable[..., Awaitable[Connection]]

_ADMIN_SECONDS = 20
_LOG_TAIL = 4000
_MEMBER_SECONDS = 45
# Another program may take a port meanwhile.
_STACK_TRIES = 2


@pytest.fixture(scope="session")
def stack() -> Iterator[BackgroundStack]:
    """One broker and the registry, shared by the session. Tests must remove their ACLs and cluster-wide settings."""
    yield from _running(1)


@pytest.fixture
def cluster_id(stack: BackgroundStack) -> str:
    """The id of the session's cluster."""
    return stack.cluster_id


@pytest.fixture(scope="session")
def _three_brokers() -> Iterator[BackgroundStack]:
    yield from _running(3)


@pytest.fixture(scope="session")
def _four_brokers() -> Iterator[BackgroundStack]:
    yield from _running(4)


def _running(brokers: int) -> Iterator[BackgroundStack]:
    background = _start_stack(brokers)
    try:
        yield background
    finally:
        background.stop()


def _start_stack(brokers: int) -> BackgroundStack:
    for _ in range(_STACK_TRIES):
        background = BackgroundStack(brokers)
        try:
            background.start()
        except DevStackError as error:
            failure = error
        else:
            return background
    pytest.exit(f"the development stack does not start: {failure}", returncode=1)


@pytest.fixture
async def three_brokers(_three_brokers: BackgroundStack) -> AsyncIterator[BackgroundStack]:
    """Three brokers in three racks. A test may pause, stop or kill them; they are restarted after the test."""
    yield _three_brokers
    await _three_brokers.heal()


@pytest.fixture
async def four_brokers(_four_brokers: BackgroundStack) -> AsyncIterator[BackgroundStack]:
    """The same with four, so that one of them can lose its replicas. The fourth is no controller."""
    yield _four_brokers
    await _four_brokers.heal()


@pytest.fixture(scope="session")
def start_gateway() -> Iterator[Start]:
    """How gateways start: as copies of a process that has imported all modules."""
    original = Original()
    yield original.start
    original.close()


@pytest.fixture(scope="session")
async def gateway(stack: BackgroundStack, start_gateway: Start) -> AsyncIterator[Gateway]:
    """The real gateway with default settings on the session's stack: `rest`, `graphql` and `grpc` say where."""
    started = await _start_gateway(stack, {}, start=start_gateway)
    yield started
    await stack.stop_gateway(started)


@pytest.fixture
async def gateway_factory(
    request: pytest.FixtureRequest, stack: BackgroundStack, start_gateway: Start
) -> AsyncIterator[GatewayFactory]:
    """`await gateway_factory({"key": "value"}, on=three_brokers)`: a gateway with settings of the test's own.

    With ``answering=False`` it is one that Kafka may reject: it only listens.
    """
    started: list[tuple[BackgroundStack, Gateway]] = []
    # What a process takes is measured of those that are started as everywhere.
    starting = start_program if request.node.get_closest_marker("serial") else start_gateway

    async def start(
        settings: dict[str, str] | None = None, on: BackgroundStack = stack, answering: bool = True
    ) -> Gateway:
        gateway = await _start_gateway(on, settings or {}, answering, starting)
        started.append((on, gateway))
        return gateway

    yield start
    for background, gateway in started:
        await background.stop_gateway(gateway)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`await connect(gateway)`: a new connection to its HTTP port. A small buffer fills soon without a reader."""
    opened: list[Connection] = []

    async def open(gateway: Gateway, receive_buffer: int | None = None) -> Connection:
        parts = urlsplit(gateway.rest)
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
        opened.append(Connection(*await asyncio.open_connection(sock=connection)))
        return opened[-1]

    yield open
    for connection in opened:
        connection.abort()


async def _start_gateway(
    background: BackgroundStack, settings: dict[str, str], answering: bool = True, start: Start = start_program
) -> Gateway:
    try:
        return await background.start_gateway(settings, answering=answering, start=start)
    except DevStackError as error:
        logs = sorted(background.stack.logs.glob("gateway-*.log"), key=lambda path: path.stat().st_mtime)
        pytest.fail(f"{error}\n{_tail(logs[-1]) if logs else ''}", pytrace=False)


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]


@pytest.fixture
def topic(stack: BackgroundStack) -> TopicFactory:
    """`await topic(partitions=3, config={...}, on=three_brokers, replicas=3)`: a new topic's unique name."""

    async def create(
        prefix: str = "test",
        partitions: int = 1,
        replicas: int = 1,
        config: dict[str, str] | None = None,
        on: BackgroundStack = stack,
    ) -> str:
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        new = NewTopic(name, partitions, replicas, config=config or {})
        await asyncio.to_thread(_create_topic, on.bootstrap_servers, new)
        return name

    return create


def _create_topic(bootstrap_servers: str, new: NewTopic) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([new], operation_timeout=_ADMIN_SECONDS)[new.topic].result(_ADMIN_SECONDS)
    # The controller has it; a broker that has not heard of it yet would say that there is no such topic.
    deadline = time.monotonic() + _ADMIN_SECONDS
    while not _has_leaders(admin, new.topic):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{new.topic} has no leaders after {_ADMIN_SECONDS} s")
        time.sleep(0.05)


def _has_leaders(admin: AdminClient, topic: str) -> bool:
    partitions = admin.list_topics(topic, timeout=_ADMIN_SECONDS).topics[topic].partitions.values()
    return bool(partitions) and all(partition.leader >= 0 for partition in partitions)


class Member:
    """A running member of a group, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait_for(self, said: Callable[[Any], bool]) -> Any:
        """What the member says next that is as wanted: its partitions as ``[topic, partition]``, or ``committed``."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_MEMBER_SECONDS):
            while line := await self._process.stdout.readline():
                if said(found := json.loads(line)):
                    return found
        raise AssertionError("the member has ended")

    async def leave(self) -> None:
        """Leave the group and end."""
        if self._process.stdin is not None and self._process.returncode is None:
            self._process.stdin.close()
            async with asyncio.timeout(_MEMBER_SECONDS):
                await self._process.wait()

    async def kill(self) -> None:
        """End without leaving the group."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


MemberFactory = Callable[..., Awaitable[Member]]


@pytest.fixture
async def member(stack: BackgroundStack) -> AsyncIterator[MemberFactory]:
    """`await member(group, topic, read=0, partitions=1, settings={...}, on=...)`: a member with this many partitions.

    With ``read`` it has read that many records and committed what it read. ``partitions`` None does not wait.
    """
    started: list[Member] = []

    async def join(
        group: str,
        topic: str,
        *,
        read: int = 0,
        partitions: int | None = 1,
        settings: dict[str, str] | None = None,
        on: BackgroundStack = stack,
    ) -> Member:
        arguments = [on.bootstrap_servers, group, topic, str(read), json.dumps(settings or {})]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("group_member.py")),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        joined = Member(process)
        started.append(joined)
        if partitions is not None:
            await joined.wait_for(lambda said: said != "committed" and len(said) == partitions)
        if read:
            await joined.wait_for(lambda said: said == "committed")
        return joined

    yield join
    for joined in started:
        await joined.kill()
