"""While a broker does not respond, each request ends before its timeout with a retriable error."""

import asyncio
import json
import time
from typing import Any

import httpx

_TIMEOUT_SECONDS = 4


async def test_requests_end_in_time(gateway_factory: Any, three_brokers: Any, topic: Any, open_stream: Any) -> None:
    settings = {"api.request.timeout.ms": str(_TIMEOUT_SECONDS * 1000)}
    gateway = await gateway_factory(settings, on=three_brokers)
    name = await topic(on=three_brokers, replicas=3)
    records = f"/v3/clusters/{three_brokers.cluster_id}/topics/{name}/records"
    v2 = {"content-type": "application/vnd.kafka.json.v2+json"}
    one = b'{"value":{"type":"JSON","data":1}}'
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        # The gateway knows the topic before its brokers fall silent.
        assert (await client.post(f"/topics/{name}", headers=v2, content=b'{"records":[{"value":1}]}')).is_success
        stream = await open_stream(gateway.rest + records)
        await stream.send(one)
        assert await stream.status() == 200
        assert (await stream.answer())["error_code"] == 200
        for index in range(3):
            await three_brokers.pause_broker(index)
        began = time.monotonic()
        await stream.send(one)
        metadata, produced, reported, streamed = await asyncio.gather(
            client.get("/topics"),
            client.post(f"/topics/{name}", headers=v2, content=b'{"records":[{"value":2}]}'),
            client.post(records, headers={"content-type": "application/json"}, content=one),
            stream.answer(),
        )
        assert time.monotonic() - began < _TIMEOUT_SECONDS + 3
        assert (metadata.status_code, metadata.json()["error_code"]) == (500, 50003)
        if produced.status_code == 200:
            assert produced.json()["offsets"][0]["error_code"] == 2
        else:
            assert (produced.status_code, produced.json()["error_code"]) == (500, 50003)
        assert (reported.status_code, json.loads(reported.text)["error_code"]) == (200, 50003)
        assert streamed["error_code"] == 50003
