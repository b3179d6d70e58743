"""Groups with large assignments, which any Kafka client can make, do not block the event loop."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from conftest import TopicFactory
from faces.conftest import MOST_BUSY, Watched
from kafka_facade_devstack.background import BackgroundStack
from raw_kafka import RawConnection, assignment

pytestmark = pytest.mark.xdist_group("event_loop")

GROUPS, TOPICS = 8, 60_000
PARTITIONS, ALIASES, CALLS = 250_000, 30, 20


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


@pytest.fixture
async def large_group(stack: BackgroundStack, topic: TopicFactory) -> AsyncIterator[tuple[str, str]]:
    """The id of a group with one member that reads many partitions of a topic, and the topic."""
    group, name = f"large-{uuid.uuid4().hex}", await topic()
    async with RawConnection(stack.bootstrap_servers) as connection:
        assert await connection.commit(group.encode(), name.encode(), 0, 0, b"") == 0
        await connection.join(group.encode(), b"i-1", assignment([(name.encode(), range(PARTITIONS))]))
        yield group, name


async def _check(watched: Watched, run: Callable[[], Awaitable[None]]) -> None:
    assert await watched.quietest(run) < MOST_BUSY
    assert await watched.quietest(run, "longest_held") < MOST_BUSY


async def test_many_fields_of_one_member(watched: Watched, large_group: tuple[str, str]) -> None:
    group, topic = large_group
    wanted = range(PARTITIONS - ALIASES + 1, PARTITIONS + 1)
    fields = [f'a{at}: assignment(topicName: "{topic}", partitionId: {at}) {{ partitionId }}' for at in wanted]
    query = f'{{ clusters {{ consumerGroup(consumerGroupId: "{group}") {{ consumers {{ {" ".join(fields)} }} }} }} }}'

    async with httpx.AsyncClient(timeout=60) as client:

        async def run() -> None:
            answer = (await client.post(watched.gateway.graphql, json={"query": query})).json()
            [member] = answer["data"]["clusters"][0]["consumerGroup"]["consumers"]
            assert member == {f"a{at}": {"partitionId": at} if at < PARTITIONS else None for at in wanted}

        await _check(watched, run)


async def test_many_calls_for_one_group(watched: Watched, large_group: tuple[str, str], cluster_id: str) -> None:
    group, topic = large_group
    base = f"{watched.gateway.rest}/v3/clusters/{cluster_id}/consumer-groups/{group}"
    async with httpx.AsyncClient(timeout=60) as client:
        [member] = (await client.get(f"{base}/consumers")).json()["data"]

        async def run() -> None:
            paths = ("lags", "lag-summary", f"consumers/{member['consumer_id']}/assignments/{topic}/partitions/7")
            calls = [client.get(f"{base}/{path}") for _ in range(CALLS) for path in paths]
            found = [answer.json() for answer in await asyncio.gather(*calls)]
            for lags, summary, assigned in zip(found[::3], found[1::3], found[2::3], strict=True):
                assert [lag["consumer_id"] for lag in lags["data"]] == [member["consumer_id"]]
                assert summary["max_lag_consumer_id"] == member["consumer_id"]
                assert assigned["partition_id"] == 7

        await _check(watched, run)
