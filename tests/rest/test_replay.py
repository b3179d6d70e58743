"""Requests recorded with the official proxy, sent to the gateway on real Kafka.

Each response must be the recorded one: status, content type and body. ``replay/differences.json`` lists the intended
differences with their reasons and the responses instead. Unlisted differences fail, and so do listed ones that do not
occur any more.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from rest.replaying import FOLDER, Differences, Run, Scenario

_SCENARIOS = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "differences")
_DIFFERENCES: list[dict[str, Any]] = json.loads((FOLDER / "differences.json").read_text(encoding="utf-8"))
_DOCUMENTED = Path(__file__).parents[2] / "docs" / "compatibility.md"
# Of a broker that creates no topics by itself, and a gateway without a registry.
_STRICT = "v2-no-creation"
_READS_AGAIN = 20
_PAUSE_SECONDS = 0.1


def _listed(scenario: str, exchange: str) -> Differences:
    """The intended differences of an exchange."""
    found: Differences = {}
    for difference in _DIFFERENCES:
        found |= difference["exchanges"].get(scenario, {}).get(exchange, {})
    return found


async def _prepare(client: httpx.AsyncClient, stack: BackgroundStack, scenario: Scenario, run: Run) -> None:
    for name, partitions in scenario.topics.items():
        topic = {"topic_name": run.filled(name), "partitions_count": partitions, "replication_factor": 1}
        assert (await client.post(f"/v3/clusters/{stack.cluster_id}/topics", json=topic)).status_code == 201
    for request in scenario.setup:
        if request.get("registry"):
            async with httpx.AsyncClient(base_url=stack.schema_registry) as registry:
                response = await run.send(registry, request)
        else:
            response = await run.send(client, request)
        assert response.status_code == 200, (request, response.text)
        run.bound |= {name: response.json()[member] for name, member in request.get("bind", {}).items()}


async def _replay(client: httpx.AsyncClient, scenario: str, exchange: dict[str, Any], run: Run) -> list[str]:
    """The unexpected differences of the response to one exchange."""
    request, expected = exchange["request"], exchange["expect"]
    listed = _listed(scenario, exchange["name"])
    response = await run.send(client, request)
    found = run.differences(expected, response)
    for _ in range(_READS_AGAIN):
        # A member has nothing until its group has given it partitions.
        waiting = response.text == "[]" or request["path"].endswith("/subscription")
        if request["method"] != "GET" or not waiting or run.same(listed, found):
            break
        await asyncio.sleep(_PAUSE_SECONDS)
        response = await run.send(client, request)
        found = run.differences(expected, response)
    if run.same(listed, found):
        return []
    return [f"{exchange['name']}:\n      listed {json.dumps(listed)}\n      found  {json.dumps(found)}"]


@pytest.mark.parametrize("name", [name for name in _SCENARIOS if name != _STRICT])
async def test_recorded_exchanges(
    client: httpx.AsyncClient, stack: BackgroundStack, gateway: Gateway, name: str
) -> None:
    await _replay_all(client, stack, gateway, name)


async def test_recorded_exchanges_where_brokers_create_no_topics(
    strict_stack: BackgroundStack, strict_gateway: Gateway
) -> None:
    async with httpx.AsyncClient(base_url=strict_gateway.rest, timeout=20, verify=False) as client:
        client.headers.clear()
        await _replay_all(client, strict_stack, strict_gateway, _STRICT)


async def _replay_all(client: httpx.AsyncClient, stack: BackgroundStack, gateway: Gateway, name: str) -> None:
    scenario = Scenario.load(name)
    run = Run({"origin": gateway.rest, "cluster": stack.cluster_id, "run": f"replay{uuid.uuid4().hex[:8]}"})
    await _prepare(client, stack, scenario, run)
    wrong: list[str] = []
    for exchange in scenario.exchanges:
        wrong += await _replay(client, name, exchange, run)
    assert not wrong, "\n".join([f"{len(wrong)} of {len(scenario.exchanges)} answers:", *wrong])


def _exchanges(scenario: str) -> dict[str, dict[str, Any]]:
    return {exchange["name"]: exchange for exchange in Scenario.load(scenario).exchanges}


def test_listed_exchanges_exist() -> None:
    recorded = {name: _exchanges(name).keys() for name in _SCENARIOS}
    listed = {
        (scenario, exchange)
        for difference in _DIFFERENCES
        for scenario, exchanges in difference["exchanges"].items()
        for exchange in exchanges
    }
    assert [key for key in listed if key[1] not in recorded.get(key[0], ())] == []


@pytest.mark.parametrize("difference", _DIFFERENCES, ids=lambda difference: difference["name"])
def test_each_difference_is_documented(difference: dict[str, Any]) -> None:
    assert difference["reason"]
    assert difference["documented"] in _DOCUMENTED.read_text(encoding="utf-8")
