"""Groups with large assignments, which any Kafka client can make, do not block the event loop."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack

import httpx
import pytest

from faces.conftest import MOST_BUSY, Watched
from kafka_facade_devstack.background import BackgroundStack
from raw_kafka import RawConnection, assignment

pytestmark = pytest.mark.xdist_group("event_loop")

GROUPS, TOPICS = 8, 60_000


async def test_lists_of_groups(watched: Watched, stack: BackgroundStack, cluster_id: str) -> None:
    assigned = assignment([(b"t%d" % number, [0]) for number in range(TOPICS)])
    prefix = f"large-{uuid.uuid4().hex[:12]}"
    query = "{ clusters { consumerGroups { nodes { consumerGroupId consumers { consumerId } } } } }"
    async with AsyncExitStack() as opened, httpx.AsyncClient(timeout=60) as client:
        for number in range(GROUPS):
            connection = await opened.enter_async_context(RawConnection(stack.bootstrap_servers))
            await connection.join(f"{prefix}-{number}".encode(), b"i-1", assigned)

        async def over_rest() -> None:
            answer = await client.get(f"{watched.gateway.rest}/v3/clusters/{cluster_id}/consumer-groups")
            assert answer.text.count(f'"consumer_group_id":"{prefix}') == GROUPS

        async def over_graphql() -> None:
            answer = (await client.post(watched.gateway.graphql, json={"query": query})).json()
            assert "errors" not in answer

        assert await watched.quietest(over_rest) < MOST_BUSY
        assert await watched.quietest(over_graphql) < MOST_BUSY
        group = f"{watched.gateway.rest}/v3/clusters/{cluster_id}/consumer-groups/{prefix}-0"
        found = await client.get(f"{group}/consumers")
        assert found.status_code == 200, found.text
        [member] = found.json()["data"]
        assigned_to = f"{group}/consumers/{member['consumer_id']}/assignments/t{TOPICS - 1}/partitions/0"
        assert (await client.get(assigned_to)).json()["partition_id"] == 0
