"""Every error of every v2 operation in the table of errors, on real Kafka and a registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import TopicFactory
from kafka_facade.core.catalogue import Operation
from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway
from rest.v2_errors import CAUSES, NEEDS_KAFKA, Cause, Trial, table
from rest.v2_operations import V2, V2_OPERATIONS, body, error, operation_name, parameters, path, send

pytestmark = pytest.mark.xdist_group("v2_errors")

GatewayFactory = Callable[..., Awaitable[Gateway]]
_DOCUMENT = Path(__file__).parents[2] / "docs" / "v2.md"
_SECONDS = 30
_CASES = [(row, cause) for row in V2_OPERATIONS for cause in CAUSES if cause.applies(row)]


@pytest.fixture(scope="module")
async def _limited(stack: BackgroundStack) -> AsyncIterator[httpx.AsyncClient]:
    async for client in _of_a_gateway(stack, {"max.request.body.size": "2048", "consumer.instances.max": "1"}):
        yield client


@pytest.fixture(scope="module")
async def _blocked(stack: BackgroundStack) -> AsyncIterator[httpx.AsyncClient]:
    groups = {row.identifier.rpartition(".")[0] for row in V2_OPERATIONS}
    async for client in _of_a_gateway(stack, {"api.endpoints.blocklist": ",".join(f"{name}.*" for name in groups)}):
        yield client


async def _of_a_gateway(stack: BackgroundStack, settings: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    gateway = await stack.start_gateway(settings)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, verify=False) as client:
        yield client
    await stack.stop_gateway(gateway)


@pytest.mark.parametrize(
    ("operation", "cause"), _CASES, ids=[f"{operation_name(row)}-{cause.code}-{cause.name}" for row, cause in _CASES]
)
async def test_each_cause_has_its_error(
    client: httpx.AsyncClient,
    _limited: httpx.AsyncClient,  # noqa: PT019
    _blocked: httpx.AsyncClient,  # noqa: PT019
    stack: BackgroundStack,
    topic: TopicFactory,
    operation: Operation,
    cause: Cause,
) -> None:
    response = await cause.provoke(Trial(operation, client, _limited, _blocked, stack, topic))
    if cause.status == 200:
        assert response.status_code == 200, response.text
        for outcome in response.json()["offsets"]:
            assert (outcome["partition"], outcome["offset"], outcome["error_code"]) == (None, None, cause.code)
            assert outcome["error"]
    else:
        assert error(response) == (cause.status, cause.code), response.text


async def test_errors_while_kafka_does_not_respond(
    gateway_factory: GatewayFactory, three_brokers: BackgroundStack, topic: TopicFactory
) -> None:
    gateway = await gateway_factory({"api.request.timeout.ms": "2000"}, on=three_brokers)
    name = await topic(on=three_brokers, replicas=3)
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS, verify=False) as client:
        headers = {"content-type": V2}
        for instance in ("i", "j"):
            await client.post("/consumers/g", headers=headers, content=json.dumps({"name": instance, "format": "json"}))
        for broker in range(3):
            await three_brokers.pause_broker(broker)

        async def call(operation: Operation) -> tuple[int, int]:
            values = {"topic": name, "partition": "0", "group": "g", "instance": "i"}
            if operation.method == "GET":
                values["instance"] = "j"
            url = path(operation, **{key: values[key] for key in parameters(operation)})
            return error(await send(client, operation, url, body(operation, name)))

        answers = await asyncio.gather(*(call(operation) for operation in NEEDS_KAFKA))
    assert answers == [(500, 50003)] * len(NEEDS_KAFKA)


def test_each_operation_has_its_errors() -> None:
    without = [row.identifier for row in V2_OPERATIONS if not any(cause.applies(row) for cause in CAUSES)]
    assert without == []
    unused = [cause.name for cause in CAUSES if not any(cause.applies(row) for row in V2_OPERATIONS)]
    assert unused == []


def test_the_document_has_them_all() -> None:
    if not _DOCUMENT.exists():
        pytest.skip("there are no documents here")
    said: list[Any] = _DOCUMENT.read_text(encoding="utf-8").splitlines()
    assert [line for line in table() if line not in said] == []
