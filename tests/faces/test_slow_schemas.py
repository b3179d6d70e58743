"""Schemas and data that take long, of one caller, do not keep other callers from short ones."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from kafka_facade_devstack.gateway import Gateway

pytestmark = pytest.mark.xdist_group("schema_bombs")

_SECONDS = 120
_PROTO3 = 'syntax = "proto3"; '
# Checking that they do not overlap takes time quadratic in their number.
_RANGES = ",".join(str(2 * n + 1) for n in range(60_000))


def _protobuf(number: int, parts: str) -> dict[str, Any]:
    name = f"M{uuid.uuid4().hex}"
    return {
        "type": "PROTOBUF",
        "schema": f"{_PROTO3}message {name} {{ {parts} int32 a = 2; }}",
        "data": {"a": 1},
        "subject": f"slow-{number}-{name}",
    }


def _json_schema(number: int, data: str) -> dict[str, Any]:
    title = f"{uuid.uuid4()}-{number}"
    schema = json.dumps({"title": title, "pattern": "^(?:(?=.*z)a)+"})
    return {"type": "JSONSCHEMA", "schema": schema, "data": data, "subject": title}


SLOW: dict[str, tuple[Callable[[int], dict[str, Any]], Callable[[], dict[str, Any]]]] = {
    "Protobuf": (lambda number: _protobuf(number, f"reserved {_RANGES};"), lambda: _protobuf(0, "")),
    "JSON Schema": (lambda number: _json_schema(number, "a" * 300_000 + "z"), lambda: _json_schema(0, "az")),
}


@pytest.mark.parametrize("kind", SLOW)
async def test_slow_schemas_do_not_keep_other_callers_waiting(
    gateway: Gateway, cluster: str, topic: Callable[..., Awaitable[str]], kind: str
) -> None:
    name = await topic()
    slow, short = SLOW[kind]
    path = f"/v3/clusters/{cluster}/topics/{name}/records"

    async def send(client: httpx.AsyncClient, value: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = (await client.post(path, json={"value": value})).json()
        return answer

    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        # This also starts what is needed once.
        assert (await send(client, short()))["error_code"] == 200
        sent = [asyncio.create_task(send(client, slow(number))) for number in range(12)]
        await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        answer = await send(client, short())
        left = sum(not task.done() for task in sent)
        assert answer["error_code"] == 200, answer
        # With its turn after all of theirs, it would be the last.
        assert left > 4
        for found in await asyncio.gather(*sent):
            assert "Kafka" not in found.get("message", ""), found
            assert found["error_code"] in (200, 400, 422, 503), found
