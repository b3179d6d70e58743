"""Lookups that the Schema Registry never answers hardly delay others of the same kind."""

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from hostile_registry import Peer, running, send
from kafka_facade.core.errors import FacadeError
from kafka_facade.schemas.registry import SchemaRegistry
from machine_speed import slowness

_HANGING = range(1, 37)
_OTHERS = range(101, 105)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """It never answers for some ids."""
    released = threading.Event()
    with running() as server:

        def answer(handler: BaseHTTPRequestHandler) -> None:
            if int(handler.path.rpartition("/")[2].partition("?")[0]) in _HANGING:
                released.wait(60)
            send({"schema": '"string"'})(handler)

        server.answer = answer
        yield server
        released.set()


async def test_ids_without_an_answer_hardly_delay_others(peer: Peer) -> None:
    registry = SchemaRegistry(peer.url, {})
    hanging = [asyncio.create_task(registry.schema(schema_id, 25)) for schema_id in _HANGING]
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await asyncio.gather(*(registry.schema(schema_id, 25) for schema_id in _OTHERS))
    assert time.monotonic() - began < 3 * slowness()
    # In flight are at most twice as many as fast ones.
    assert len(peer.asked) <= 12 + len(_OTHERS)
    # None waits for ever either.
    found = await asyncio.gather(*hanging, return_exceptions=True)
    assert all(isinstance(failure, FacadeError) for failure in found)
    assert time.monotonic() - began < 25 * slowness()
    await registry.close()


async def test_those_that_wait_are_cancelled(peer: Peer) -> None:
    registry = SchemaRegistry(peer.url, {})
    hanging = [asyncio.create_task(registry.schema(schema_id, 25)) for schema_id in _HANGING]
    await asyncio.sleep(0.2)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    began = time.monotonic()
    await asyncio.gather(*(registry.schema(schema_id, 25) for schema_id in range(201, 261)))
    assert time.monotonic() - began < 5 * slowness()
    await registry.close()
