"""Reading GraphQL documents at the limits does not block the event loop."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from faces.conftest import MOST_BUSY, Watched

pytestmark = pytest.mark.xdist_group("event_loop")

PRODUCE = 'mutation%s { produceRecords(input: { topicName: "t", records: [%s] }) { results { error { code } } } }'
# Close to the limits on tokens or on bytes.
DOCUMENTS = {
    "operations that share fragments": " ".join(f"query q{n} {{ ...F0 }}" for n in range(120))
    + " ".join(f"fragment F{n} on Query {{ server {{ name }} ...F{n + 1} }}" for n in range(100))
    + " fragment F100 on Query { server { name } }",
    "operations": " ".join(f"query q{n} {{ server {{ name }} }}" for n in range(240)),
    "unknown fields": "{" + " ".join(f"cluste{n}" for n in range(1900)) + "}",
    "numbers": PRODUCE % ("", "{ value: { data: [" + "1 " * 1900 + "] } }"),
    "objects": PRODUCE % ("", "{} " * 900),
    "variables": PRODUCE
    % (
        "(" + " ".join(f"$a{n}: JSON" for n in range(320)) + ")",
        "{ value: { data: [" + " ".join(f"$a{n}" for n in range(320)) + "] } }",
    ),
    "escapes": '{ clusters { topics(after: "' + "\\u0041" * 10_000 + '") { totalCount } } }',
    "a block string": '{ clusters { topics(after: """' + "\n  a" * 15_000 + '""") { totalCount } } }',
    "an error at the end": "{ server {" + "\n" * 60_000,
    "directives": "query($b: Boolean!) { clusters {" + "... @include(if: $b) { id } " * 90 + "} }",
}
_number = itertools.count()


def _new(name: str) -> str:
    """A document that the gateway has not read yet."""
    return f"{DOCUMENTS[name]} #{next(_number)}"


async def _ask(client: httpx.AsyncClient, watched: Watched, document: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.post(watched.gateway.graphql, json={"query": document})).json()
    return answer


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_large_document(watched: Watched, name: str) -> None:
    async with httpx.AsyncClient(timeout=60) as client:

        async def run() -> None:
            answers = await asyncio.gather(*(_ask(client, watched, _new(name)) for _ in range(8)))
            assert all("data" in answer or "errors" in answer for answer in answers)

        assert await watched.quietest(run) < MOST_BUSY


async def test_large_documents_over_a_websocket(watched: Watched) -> None:
    url = watched.gateway.graphql.replace("http", "ws", 1)
    async with connect(url, subprotocols=["graphql-transport-ws"]) as websocket:  # type: ignore[list-item]
        await websocket.send('{"type":"connection_init"}')
        await websocket.recv()

        async def run() -> None:
            waiting = set()
            for name in DOCUMENTS:
                id = f"{next(_number)}"
                waiting.add(id)
                message = {"id": id, "type": "subscribe", "payload": {"query": _new(name)}}
                await websocket.send(json.dumps(message))
            while waiting:
                answer = json.loads(await websocket.recv())
                if answer["type"] in ("complete", "error"):
                    waiting.discard(answer["id"])

        assert await watched.quietest(run) < MOST_BUSY
