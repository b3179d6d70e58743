"""Prefetching is limited over all consumers, and compatible with other settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import LoneEngine
from kafka_facade.core.errors import InvalidKafkaRequest
from kafka_facade.kafka.consuming.prefetch import PrefetchBudget, Share
from kafka_facade.kafka.options import KafkaOptions, PoolOptions
from kafka_facade.kafka.shared import Shared
from kafka_facade_devstack.background import BackgroundStack

MEGABYTE = 1 << 20


@given(st.integers(64 * MEGABYTE, 1 << 40), st.integers(1, 2000), st.lists(st.booleans(), max_size=300))
def test_the_shares_fit_into_the_budget(total: int, consumers: int, steps: list[bool]) -> None:
    budget = PrefetchBudget(total, consumers)
    taken: list[Share] = []
    for take in steps:
        if take and len(taken) < consumers:
            taken.append(budget.take())
        elif taken:
            share = taken.pop(len(taken) // 2)
            share.give_back()
            share.give_back()
        assert sum(share.size for share in taken) <= total
    for share in taken:
        config = share.config({})
        assert config["queued.max.messages.kbytes"] * 1024 + config["fetch.max.bytes"] <= max(share.size, 16 * 1024)


def test_released_shares_can_be_taken_again() -> None:
    budget = PrefetchBudget(512 * MEGABYTE, 1000)
    first = [budget.take() for _ in range(1000)]
    assert first[0].size > 10 * MEGABYTE
    assert first[999].size > 200_000
    sizes = [share.size for share in first]
    for share in first:
        share.give_back()
    assert [budget.take().size for _ in range(1000)] == sizes


def test_the_records_of_all_consumers_are_few_enough_for_large_keys() -> None:
    budget = PrefetchBudget(512 * MEGABYTE, 1000)
    configs = [budget.take().config({}) for _ in range(1000)]
    records = [config["queued.min.messages"] for config in configs]
    # With keys of 1 MB they take about half of the budget for one consumer. Slow ones are held back.
    assert records[0] == 306
    assert sum(records) * MEGABYTE < 40 * 512 * MEGABYTE
    assert records == sorted(records, reverse=True)
    backoffs = [config["fetch.queue.backoff.ms"] for config in configs]
    assert backoffs == sorted(backoffs)
    assert (backoffs[0], backoffs[-1]) == (1, 10)


@pytest.mark.parametrize("total", [128 * MEGABYTE, 512 * MEGABYTE])
def test_the_responses_of_all_consumers_together_stay_near_the_budget(total: int) -> None:
    budget = PrefetchBudget(total, 1000)
    sizes = [budget.take().config({})["max.partition.fetch.bytes"] for _ in range(1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == total // 32_768
    assert sizes[-1] == 256
    # Records of 1 MB of the same byte take 100 bytes of the topic each. Linear parts were three times the budget.
    assert sum(sizes[:30]) * 9_000 < 2.5 * total


@pytest.mark.parametrize("total", [MEGABYTE, 64 * MEGABYTE, 1 << 40])
def test_the_records_of_other_budgets(total: int) -> None:
    config = PrefetchBudget(total, 1000).take().config({})
    assert config["queued.min.messages"] == min(20_000, max(16, total // 1_750_000))
    assert config["fetch.queue.backoff.ms"] == 1


@pytest.mark.parametrize(
    ("properties", "total", "consumers"),
    [
        ({"max.request.size": "10485760"}, 512 * MEGABYTE, 1000),
        ({"message.max.bytes": "2000000"}, MEGABYTE, 1000),
        ({"receive.message.max.bytes": "5000000"}, 1 << 30, 1),
        ({"receive.message.max.bytes": "5000000", "message.max.bytes": "1000"}, 1 << 30, 1),
        ({"fetch.max.bytes": "50000000"}, MEGABYTE, 1000),
        ({"fetch.max.bytes": "100000"}, 1 << 30, 1),
        ({"max.partition.fetch.bytes": "5000000"}, MEGABYTE, 1000),
        ({"group.protocol": "consumer"}, 512 * MEGABYTE, 1000),
        ({}, 1 << 40, 1),
        ({}, 1 << 20, 1000),
    ],
)
async def test_other_settings(stack: BackgroundStack, properties: dict[str, str], total: int, consumers: int) -> None:
    options = KafkaOptions(stack.bootstrap_servers, consumer=properties)
    engine = await LoneEngine.start(options, Shared(PoolOptions(prefetch_bytes=total, max_instances=consumers)))
    await engine.check()
    for _ in range(3):
        consumer = await engine.create(group="g", auto_offset_reset="latest", auto_commit=True, overrides={})
        await consumer.close(5)
    await engine.close(5)


async def test_settings_that_exclude_each_other(stack: BackgroundStack) -> None:
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers, consumer={"session.timeout.ms": "900000"}))
    with pytest.raises(InvalidKafkaRequest, match=r"session\.timeout\.ms"):
        await engine.check()
    await engine.close(5)
