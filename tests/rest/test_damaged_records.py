"""Records that are corrupt on a broker's disk are errors, never data."""

import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from kafka_facade_devstack.background import BackgroundStack
from kafka_facade_devstack.gateway import Gateway

_SECONDS = 30
_V2 = {"Content-Type": "application/vnd.kafka.v2+json"}
_PRODUCE = {"Content-Type": "application/vnd.kafka.json.v2+json"}
_JSON = {"Accept": "application/vnd.kafka.json.v2+json"}


def _damage(folder: Path, topic: str, value: bytes) -> None:
    [log] = folder.glob(f"**/{topic}-0/*.log")
    with log.open("r+b") as file:
        file.seek(file.read().index(value))
        file.write(b"X")


async def test_a_corrupt_record_is_an_error_after_the_records_before_it(
    stack: BackgroundStack, gateway: Gateway, topic: Callable[..., Awaitable[str]]
) -> None:
    name = await topic()
    place = {"topic": name, "partition": 0}
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=_SECONDS) as client:
        for value in ("before", "damaged", "after"):
            # Each in a request, and so in a batch, of its own.
            produced = await client.post(f"/topics/{name}", json={"records": [{"value": value}]}, headers=_PRODUCE)
            assert produced.status_code == 200
        _damage(stack.stack.logs.parent, name, b"damaged")
        settings = {"format": "json", "auto.offset.reset": "earliest"}
        made = await client.post(f"/consumers/g-{uuid.uuid4().hex}", json=settings, headers=_V2)
        base = made.json()["base_uri"]
        await client.post(f"{base}/assignments", json={"partitions": [place]}, headers=_V2)

        async def read() -> httpx.Response:
            while (answer := await client.get(f"{base}/records?timeout=1000", headers=_JSON)).json() == []:
                pass
            return answer

        def values(answer: httpx.Response) -> list[Any]:
            return [record["value"] for record in answer.json()]

        assert values(await read()) == ["before"]
        for _ in range(2):
            answer = await read()
            assert (answer.status_code, answer.json()["error_code"]) == (500, 50002)
            assert "offset 1" in answer.json()["message"]
        position = {"offsets": [{**place, "offset": 2}]}
        assert (await client.post(f"{base}/positions", json=position, headers=_V2)).status_code == 204
        assert values(await read()) == ["after"]
        await client.delete(base, headers=_V2)
        query = f'subscription {{ records(topicName: "{name}", from: EARLIEST, follow: false) {{ value {{ json }} }} }}'
        stream = await client.post("/graphql", json={"query": query}, headers={"Accept": "text/event-stream"})
        assert '"json":"before"' in stream.text
        assert '"errorCode":50002' in stream.text
        assert "Xamaged" not in stream.text
