"""If one of three brokers is stopped or hangs, requests to the others are answered fast once that is known."""

import asyncio
import time
import uuid
from collections import Counter
from typing import Any

import httpx
import pytest

from group_commits import commit
from kafka_facade_devstack.background import BackgroundStack
from preferred_leaders import spread_leaders

_SOON = 2.0
# Short, so that the first answers come before the cluster has noticed that the broker hangs.
_SETTINGS = {"api.request.timeout.ms": "4000"}
_ROUNDS = 4
_GROUPS = 12
_PARTITIONS = 6


@pytest.mark.parametrize("away", ["stopped", "paused"])
async def test_requests_to_other_brokers_are_not_delayed(
    gateway_factory: Any, three_brokers: BackgroundStack, topic: Any, away: str
) -> None:
    await spread_leaders(three_brokers)
    gateway = await gateway_factory(_SETTINGS, on=three_brokers)
    name = await topic(on=three_brokers, partitions=_PARTITIONS, replicas=3)
    groups = [f"g-{uuid.uuid4().hex}" for _ in range(_GROUPS)]
    await commit(three_brokers.bootstrap_servers, groups, name, 0)
    v3 = f"/v3/clusters/{three_brokers.cluster_id}"
    async with httpx.AsyncClient(base_url=gateway.rest, timeout=40) as client:

        async def get(path: str) -> tuple[float, Any]:
            began = time.monotonic()
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            return time.monotonic() - began, answer.json()

        _, partitions = await get(f"{v3}/topics/{name}/partitions")
        leaders = {entry["partition_id"]: _broker(entry["leader"]) for entry in partitions["data"]}
        _, listed = await get(f"{v3}/consumer-groups")
        coordinators = {
            entry["consumer_group_id"]: _broker(entry["coordinator"])
            for entry in listed["data"]
            if entry["consumer_group_id"] in groups
        }
        # Commits are in the first partition.
        counts = Counter(node for node in coordinators.values() if node != leaders[0])
        [(gone, _)] = counts.most_common(1)
        [free_group] = [group for group, node in coordinators.items() if node != gone][:1]
        wanted = [
            f"{v3}/consumer-groups",
            f"{v3}/consumer-groups/{free_group}",
            f"{v3}/consumer-groups/{free_group}/lags",
        ]
        others = [index for index, node in leaders.items() if node != gone]
        wanted += ["/topics", f"{v3}/topics", *(f"/topics/{name}/partitions/{index}/offsets" for index in others)]
        await (three_brokers.stop_broker if away == "stopped" else three_brokers.pause_broker)(gone - 1)
        await asyncio.gather(*map(client.get, wanted))
        for _ in range(_ROUNDS):
            for path in wanted:
                seconds, _ = await get(path)
                assert seconds < _SOON, path


def _broker(relation: Any) -> int:
    return int(relation["related"].rsplit("/", 1)[-1])
