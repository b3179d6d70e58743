"""Aborted streams release their memory without the garbage collector."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from kafka_facade.core.records.model import Record
from kafka_facade_devstack.background import BackgroundStack

TopicFactory = Callable[..., Awaitable[str]]
Messages = asyncio.Queue[dict[str, Any]]

DOCUMENT = """subscription ($topic: String!, $follow: Boolean!) {
  records(topicName: $topic, from: EARLIEST, follow: $follow, maxRecords: 10) { offset value { text json base64 } }
}"""
_SECONDS = 20


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The garbage collector is off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Caller:
    """Runs an ASGI application as a server does; with ``full`` the connection accepts no more data."""

    def __init__(self, app: Any, scope: dict[str, Any]) -> None:
        self.sent: Messages = asyncio.Queue()
        self.full = asyncio.Event()
        self._received: Messages = asyncio.Queue()
        self._blocked = asyncio.Event()
        self._task = asyncio.create_task(app(scope, self._received.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.put_nowait(message)
        if self.full.is_set():
            self._blocked.set()
            await asyncio.Event().wait()

    def give(self, **message: Any) -> None:
        self._received.put_nowait(message)

    async def got(self) -> dict[str, Any]:
        async with asyncio.timeout(_SECONDS):
            return await self.sent.get()

    async def blocked(self) -> None:
        """Wait until the application waits for the connection."""
        self.full.set()
        async with asyncio.timeout(_SECONDS):
            await self._blocked.wait()

    async def ended(self) -> None:
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(self._task, return_exceptions=True)


def _scope(kind: str) -> dict[str, Any]:
    headers = [(b"host", b"gateway"), (b"content-type", b"application/json"), (b"accept", b"text/event-stream")]
    scope = {"type": kind, "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "headers": headers}
    if kind == "http":
        return scope | {"method": "POST", "scheme": "http", "http_version": "1.1"}
    return scope | {"subprotocols": ["graphql-transport-ws"], "scheme": "ws"}


async def _events(app: Any, topic: str, *, blocked: bool) -> None:
    caller = Caller(app, _scope("http"))
    body = json.dumps({"query": DOCUMENT, "variables": {"topic": topic, "follow": True}}).encode()
    caller.give(type="http.request", body=body, more_body=False)
    assert (await caller.got())["status"] == 200
    for _ in range(3):
        assert b"event: next" in (await caller.got())["body"]
    if blocked:
        await caller.blocked()
        # Records wait for the connection.
        assert _records()
    caller.give(type="http.disconnect")
    await caller.ended()


async def _websocket(app: Any, topic: str, *, blocked: bool, complete: bool = False) -> None:
    caller = Caller(app, _scope("websocket"))

    def say(**message: Any) -> None:
        caller.give(type="websocket.receive", text=json.dumps(message))

    caller.give(type="websocket.connect")
    assert (await caller.got())["type"] == "websocket.accept"
    say(type="connection_init")
    await caller.got()
    say(id="1", type="subscribe", payload={"query": DOCUMENT, "variables": {"topic": topic, "follow": True}})
    for _ in range(3):
        assert json.loads((await caller.got())["text"])["type"] == "next"
    if blocked:
        await caller.blocked()
    if complete:
        say(id="1", type="complete")
        await asyncio.sleep(0.05)
    caller.give(type="websocket.disconnect", code=1006)
    await caller.ended()


def _records() -> int:
    """How many records anything refers to. The collector does not track records themselves."""
    return len(
        {id(found) for holder in gc.get_objects() for found in gc.get_referents(holder) if type(found) is Record}
    )


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("blocked", [False, True])
async def test_an_aborted_stream_releases_its_records(
    local: Any, stack: BackgroundStack, topic: TopicFactory, blocked: bool
) -> None:
    name = await topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for number in range(1000):
        producer.produce(name, b"%d" % number)
    assert await asyncio.to_thread(producer.flush, _SECONDS) == 0
    app = local.app()
    before = _records()
    await _events(app, name, blocked=blocked)
    await _websocket(app, name, blocked=blocked)
    await _websocket(app, name, blocked=blocked, complete=True)
    # What a consumer still held goes with it.
    async with asyncio.timeout(_SECONDS):
        while _records() > before:  # noqa: ASYNC110  the client frees in threads of its own
            await asyncio.sleep(0.1)
