"""Requests to which the Schema Registry responds slowly do not delay others."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from conftest import GatewayFactory
from faces.conftest import FACES
from hostile_registry import Peer, running, send

TopicFactory = Callable[..., Awaitable[str]]

_SECONDS = 30
_CALLERS = 40
_IDS = itertools.count(1)

# A value for the produced record, by the kind of request that it needs; its subject may be the name of a topic.
VALUES: dict[str, Callable[[str], dict[str, Any]]] = {
    "id": lambda _: {"schema_id": next(_IDS), "data": 1},
    "version": lambda subject: {"subject": f"{subject}-{next(_IDS)}", "schema_version": 1, "data": 1},
    "versions of one subject": lambda subject: {"subject": subject, "schema_version": next(_IDS), "data": 1},
    "Avro": lambda subject: {"subject": f"{subject}-{next(_IDS)}", "type": "AVRO", "schema": '"int"', "data": 1},
    "JSON": lambda subject: {
        "subject": f"{subject}-{next(_IDS)}",
        "type": "JSONSCHEMA",
        "schema": '{"type":"integer"}',
        "data": 1,
    },
}


@pytest.fixture
def peer() -> Iterator[Peer]:
    """The registry of the gateway."""
    with running() as server:
        yield server


@pytest.mark.parametrize("slow", VALUES)
async def test_slow_requests_of_one_kind_do_not_delay_others(
    gateway_factory: GatewayFactory, peer: Peer, cluster_id: str, topic: TopicFactory, slow: str
) -> None:
    held, others = await topic(), await topic()
    released = threading.Event()
    waiting: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        if (slow == "id" and path.startswith("/schemas/ids/")) or f"/subjects/{held}" in path:
            waiting.append(path)
            released.wait(_SECONDS)
        version = int(path.rpartition("/")[2].partition("?")[0]) if "/versions/" in path else 1
        send({"subject": "s", "version": version, "id": next(_IDS), "schema": '"int"'})(handler)

    peer.answer = answer
    face = FACES["rest"](await gateway_factory({"schema.registry.url": peer.url}))

    async def produce(kind: str, topic: str) -> dict[str, Any]:
        return await face.produce_with_schema(cluster_id, topic, VALUES[kind](topic))

    callers = [asyncio.create_task(produce(slow, held)) for _ in range(_CALLERS)]
    gathered = asyncio.gather(*callers, return_exceptions=True)
    async with asyncio.timeout(_SECONDS):
        while len(waiting) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        # The other callers wait by now.
        await asyncio.sleep(0.5)
        # The schema of an id is looked up in its subject, and it is an Avro schema.
        same = {slow, "id"} if slow == "Avro" else {slow}
        kinds = [kind for kind in VALUES if kind.split()[0].rstrip("s") not in same]
        reports = await asyncio.gather(*(produce(kind, others) for kind in kinds))
    assert [report["size"] > 0 for report in reports] == [True] * len(kinds)
    released.set()
    await gathered
    await face.close()
