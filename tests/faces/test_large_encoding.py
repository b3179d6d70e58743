"""Encoding a large valid record does not block the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx
import pytest

from faces.conftest import FACES, MOST_BUSY, Watched

pytestmark = pytest.mark.xdist_group("large_encoding")

Topic = Callable[..., Awaitable[str]]

_SECONDS = 120


class Large(NamedTuple):
    """A schema, and the data of a record close to the largest that Kafka takes."""

    type: str
    schema: str
    data: Any


LARGE = [
    Large("AVRO", '{"type":"array","items":{"type":"array","items":"int"}}', [[1]] * 250_000),
    Large(
        "PROTOBUF",
        'syntax = "proto3"; message A { repeated B b = 1; } message B { int32 n = 1; }',
        {"b": [{"n": 1}] * 150_000},
    ),
    Large("JSONSCHEMA", '{"type":"array","items":{"type":"array","items":{"type":"integer"}}}', [[1]] * 150_000),
]


@pytest.mark.parametrize("face_name", FACES)
@pytest.mark.parametrize("large", LARGE, ids=[large.type for large in LARGE])
async def test_a_large_record_does_not_block_the_event_loop(
    watched: Watched, cluster: str, topic: Topic, face_name: str, large: Large
) -> None:
    name = await topic()
    face = FACES[face_name](watched.gateway)
    value = {"type": large.type, "schema": large.schema, "data": large.data}

    async def produce() -> None:
        async with asyncio.timeout(_SECONDS):
            report = await face.produce_with_schema(cluster, name, value)
        assert report["size"] > 500_000

    assert await watched.quietest(produce) < MOST_BUSY
    await face.close()


async def test_many_numbers_do_not_block_the_event_loop(watched: Watched, cluster: str, topic: Topic) -> None:
    name = await topic()
    numbers = b",".join([b"1.5e300"] * 1_500_000)

    async def produce() -> None:
        async with httpx.AsyncClient(base_url=watched.gateway.rest, timeout=_SECONDS) as client:
            answer = await client.post(
                f"/v3/clusters/{cluster}/topics/{name}/records",
                content=b'{"value":{"type":"JSON","data":[%b]}}' % numbers,
                headers={"Content-Type": "application/json"},
            )
        # It is decoded, and larger than Kafka takes.
        assert answer.json()["error_code"] == 413

    assert await watched.quietest(produce) < MOST_BUSY
