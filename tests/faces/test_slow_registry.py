"""Requests to which the Schema Registry responds slowly do not delay others."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from conftest import GatewayFactory
from faces.conftest import FACES
from faces.generic import FaceError
from hostile_registry import Peer, running, send

TopicFactory = Callable[..., Awaitable[str]]

_SECONDS = 30
_CALLERS = 40
_SUBJECTS = 80
# All of them take longer than a registry has for its answer (5 s), but each of them does not.
_ANSWER_SECONDS = 0.8
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


async def test_many_protobuf_texts_do_not_delay_avro(
    gateway_factory: GatewayFactory, peer: Peer, cluster_id: str, topic: TopicFactory
) -> None:
    held, others = await topic(), await topic()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if f"/subjects/{held}" in handler.path:
            time.sleep(_ANSWER_SECONDS)
        send({"subject": "s", "version": 1, "id": next(_IDS), "schema": '"int"'})(handler)

    peer.answer = answer
    face = FACES["rest"](await gateway_factory({"schema.registry.url": peer.url}))

    async def produce(number: int) -> dict[str, Any]:
        # A few texts are soon compiled.
        text = f'syntax="proto3"; message A {{ int32 a = {number % 4 + 1}; }}'
        value = {"subject": f"{held}-{number}", "type": "PROTOBUF", "schema": text, "data": {"a": 1}}
        return await face.produce_with_schema(cluster_id, held, value)

    callers = [asyncio.create_task(produce(number)) for number in range(1, _SUBJECTS + 1)]
    async with asyncio.timeout(2 * _SECONDS):
        while not any("/subjects/" in asked for asked in peer.asked):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for _ in range(10):
            await face.produce_with_schema(cluster_id, others, VALUES["Avro"](others))
    assert sum(caller.done() for caller in callers) < _SUBJECTS * 3 / 4
    found = await asyncio.gather(*callers, return_exceptions=True)
    refused = [failure for failure in found if isinstance(failure, BaseException)]
    # On a slow machine some wait for longer than a request may take.
    assert all(isinstance(failure, FaceError) and "queue is full" in str(failure) for failure in refused)
    assert len(refused) < _SUBJECTS
    await face.close()
