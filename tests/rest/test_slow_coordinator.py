"""Requests about groups whose coordinator does not respond end before their timeout."""

import asyncio
import time
from typing import Any

import httpx

from kafka_facade_devstack.background import BackgroundStack

_TIMEOUT_SECONDS = 3
# So long at most after they go on, brokers have answered what they were asked before.
_LATE_SECONDS = 5


async def test_requests_time_out_and_late_responses_are_ignored(gateway_factory: Any, stack: BackgroundStack) -> None:
    gateway = await gateway_factory({"api.request.timeout.ms": str(_TIMEOUT_SECONDS * 1000)})
    groups = f"/v3/clusters/{stack.cluster_id}/consumer-groups"
    wanted = [groups, f"{groups}/one", f"{groups}/one/lags", f"{groups}/other/lag-summary"]
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=30) as client:
        assert (await client.get(groups)).status_code == 200
        assert (await client.get(f"{groups}/zero")).status_code == 404
        await stack.pause_broker(0)
        try:
            began = time.monotonic()
            answers = await asyncio.gather(*map(client.get, wanted))
            assert time.monotonic() - began < _TIMEOUT_SECONDS + 3
        finally:
            await stack.resume_broker(0)
        for answer in answers:
            assert (answer.status_code, answer.json()["error_code"]) == (500, 50003), answer.text
            assert "KafkaError{" not in answer.text
        await asyncio.sleep(_LATE_SECONDS)
        assert (await client.get(groups)).status_code == 200
        assert (await client.get(f"{groups}/one")).status_code == 404
