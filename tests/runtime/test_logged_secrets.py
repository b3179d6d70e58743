"""The log at its most detailed level contains no secret of the settings or of callers."""

import base64
from collections.abc import Awaitable, Callable

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

_SECONDS = 20
_REGISTRY = "regi5try-canary-0c1d"
_CALLER = "cal1er-canary-77e2"


@pytest.mark.parametrize("away", [False, True])
async def test_no_secret_is_logged_or_returned(
    stack: BackgroundStack,
    gateway_factory: Callable[..., Awaitable[Gateway]],
    topic: Callable[..., Awaitable[str]],
    away: bool,
) -> None:
    where = "127.0.0.1:1" if away else stack.schema_registry.removeprefix("http://")
    gateway = await gateway_factory(
        {
            "schema.registry.url": f"http://ann:{_REGISTRY}@{where}",
            "log.level": "debug",
        }
    )
    basic = base64.b64encode(f"bob:{_CALLER}".encode()).decode()
    answers = []
    name = await topic()
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        for authorization in (f"Basic {basic}", f"Bearer {_CALLER}"):
            headers = {"Authorization": authorization}
            record = {"value": {"schema_id": 4711, "data": 1}}
            path = f"/v3/clusters/{stack.cluster_id}/topics/{name}/records"
            answers.append((await client.post(path, json=record, headers=headers)).text)
            answers.append((await client.get("/nowhere", headers=headers)).text)
            answers.append((await client.post("/graphql", json={"query": "{"}, headers=headers)).text)
    url = gateway.graphql.replace("http", "ws")
    async with connect(
        url,
        subprotocols=[Subprotocol("graphql-transport-ws")],
        additional_headers={"Authorization": f"Basic {basic}"},
        proxy=None,
    ) as socket:
        await socket.send(f'{{"type":"connection_init","payload":{{"Authorization":"Bearer {_CALLER}"}}}}')
        answers.append(str(await socket.recv()))
    log = gateway.child.log.read_text()
    assert "Application startup complete" in log
    for text in (log, *answers):
        for secret in (_REGISTRY, _CALLER, basic):
            assert secret not in text
