"""HTTP clients for the REST face."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from kafka_facade_devstack.kafka_node import ClusterLayout

_SECONDS = 20


class RecordStream:
    """A chunked produce request over a raw socket: the test controls when bytes are sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._text = b""
        self.ended = False

    async def send_head(self, url: str, content_type: str) -> None:
        parts = urlsplit(url)
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content_type}\r\n"
        self.writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def status(self) -> int:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), _SECONDS)
        return int(head.split()[1])

    async def answer(self) -> dict[str, Any] | None:
        """The next document of the answer; None once it has ended."""
        while b"\n" not in self._text:
            size = int(await asyncio.wait_for(self.reader.readuntil(b"\r\n"), _SECONDS), 16)
            chunk = await asyncio.wait_for(self.reader.readexactly(size + 2), _SECONDS)
            if size == 0:
                self.ended = True
                return None
            self._text += chunk[:-2]
        line, _, self._text = self._text.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    async def answers(self) -> list[dict[str, Any]]:
        """The rest of the response."""
        found = []
        while (document := await self.answer()) is not None:
            found.append(document)
        return found


StreamOpener = Callable[..., Awaitable[RecordStream]]


@pytest.fixture
async def open_stream() -> AsyncIterator[StreamOpener]:
    """``await open_stream(url, content_type=...)``: a produce request whose head has been sent."""
    streams: list[RecordStream] = []

    async def open(url: str, content_type: str = "application/json") -> RecordStream:
        parts = urlsplit(url)
        connection = socket.socket()
        # Small buffers, so that a test sees soon that the other side does not read.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
        stream = RecordStream(*await asyncio.open_connection(sock=connection))
        streams.append(stream)
        await stream.send_head(url, content_type)
        return stream

    yield open
    for stream in streams:
        stream.writer.transport.abort()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose URLs are relative to the gateway; it sends no headers of its own but ``Host``."""
    # Loading certificates takes longer than many a test.
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, verify=False) as client:
        client.headers.clear()
        yield client


@pytest.fixture
def cluster(stack: BackgroundStack) -> str:
    """The path of the cluster in v3."""
    return f"/v3/clusters/{stack.cluster_id}"


@pytest.fixture(scope="session")
def strict_stack() -> Iterator[BackgroundStack]:
    """A broker that creates no topics by itself."""
    usual = ClusterLayout.properties

    def properties(layout: ClusterLayout, index: int, log_dir: Path) -> dict[str, str]:
        return usual(layout, index, log_dir) | {"auto.create.topics.enable": "false"}

    background = BackgroundStack()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterLayout, "properties", properties)
        background.start()
    yield background
    background.stop()


@pytest.fixture
async def strict_gateway(strict_stack: BackgroundStack) -> AsyncIterator[Gateway]:
    """A gateway to that broker, without a Schema Registry."""
    gateway = await strict_stack.start_gateway({"schema.registry.url": "http://127.0.0.1:9"})
    yield gateway
    await strict_stack.stop_gateway(gateway)
