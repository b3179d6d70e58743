"""Moves that the executor cancels by itself."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from balancer.conftest import Lead, PlacedTopic
from balancer.removing import fill, hold
from balancer.waiting import until
from kafka_facade.core.balancer.executor import Executor
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.balancer.plans import PlanMaker
from kafka_facade.core.balancer.port import Placement
from kafka_facade.core.balancer.records import ExecutionRecord, Kind, MoveRecord, Purpose, now_ms
from kafka_facade.core.balancer.snapshots import look
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.state.handlers import Leader
from kafka_facade.core.state.records import key_of
from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 60
_KILOBYTES = 4000


@pytest.fixture
async def executor(kafka: KafkaPorts) -> AsyncIterator[Executor]:
    """One that soon gives up what makes no progress."""
    options = BalancerOptions(max_disk_load=1, stall_timeout=3)
    plans = PlanMaker(kafka, options)
    executor = Executor(kafka, options, plans)
    yield executor
    await executor.close()
    plans.close()


async def _begin(kafka: KafkaPorts, *moves: MoveRecord) -> None:
    assert await kafka.reassignments.reassign({move.place: move.replicas for move in moves}, _SECONDS) == {}


async def test_moves_of_a_removal_that_was_cancelled(
    lead: Lead, executor: Executor, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """Those of another removal go on."""
    throttled = {f"{role}.replication.throttled.replicas": "*" for role in ("leader", "follower")}
    topic = await placed([[3, 1], [4, 1]], throttled)
    await fill(four_brokers, topic, 2, _KILOBYTES)
    await hold(kafka, "1")
    moves = [
        MoveRecord(topic, 0, (3, 1), (2, 1), 0, now_ms()),
        MoveRecord(topic, 1, (4, 1), (2, 1), 0, now_ms()),
    ]

    async def work(leader: Leader) -> None:
        record = ExecutionRecord(purpose=Purpose(Kind.REMOVAL, (3, 4)), batch=tuple(moves))
        await leader.write({key_of(ExecutionRecord): record})
        await executor.step(leader, await look(kafka, _SECONDS), Purpose(Kind.REMOVAL, (4,)), {}, frozenset({4}))
        left = leader.view.get(ExecutionRecord)
        assert left is not None
        assert [move.partition for move in left.batch] == [1]

    await _begin(kafka, *moves)
    await lead(work)
    [going] = await kafka.reassignments.list_reassignments(_SECONDS)
    assert (going.topic, going.partition) == (topic, 1)

    async def is_as_before() -> bool:
        return (await look(kafka, _SECONDS)).placement.partitions[topic, 0].replicas == (3, 1)

    await until(is_as_before)


async def test_moves_to_a_broker_that_is_down(
    lead: Lead, executor: Executor, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1]])
    move = MoveRecord(topic, 0, (4, 1), (3, 1), 0, now_ms())
    await four_brokers.kill_broker(2)

    async def is_down() -> bool:
        return (await look(kafka, _SECONDS)).alive.get(3) is False

    await until(is_down)

    async def work(leader: Leader) -> None:
        record = ExecutionRecord(purpose=Purpose(Kind.REMOVAL, (4,)), batch=(move,))
        await leader.write({key_of(ExecutionRecord): record})

        async def is_given_up() -> bool:
            outcome = await executor.step(leader, await look(kafka, _SECONDS), record.purpose, {}, frozenset({4}))
            assert outcome.failure is None or outcome.failure.code != 10054
            left = leader.view.get(ExecutionRecord)
            await asyncio.sleep(0.3)
            return left is not None and not left.batch

        await until(is_given_up)

    await _begin(kafka, move)
    await lead(work)
    assert await kafka.reassignments.list_reassignments(_SECONDS) == []
    assert (await look(kafka, _SECONDS)).placement.partitions[topic, 0].replicas == (4, 1)


async def test_a_partition_that_one_answer_leaves_out(
    lead: Lead, executor: Executor, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """Its move goes on, and stays in the batch."""
    topic = await placed([[4, 1]], {f"{role}.replication.throttled.replicas": "*" for role in ("leader", "follower")})
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    move = MoveRecord(topic, 0, (4, 1), (3, 1), 0, now_ms())

    async def work(leader: Leader) -> None:
        purpose = Purpose(Kind.REMOVAL, (4,))
        await leader.write({key_of(ExecutionRecord): ExecutionRecord(purpose=purpose, batch=(move,))})
        seen = await look(kafka, _SECONDS)
        others = {place: entry for place, entry in seen.placement.partitions.items() if place != move.place}
        partial = dataclasses.replace(seen, placement=Placement(seen.placement.racks, others), moving={})
        await executor.step(leader, partial, purpose, {}, frozenset({4}))
        left = leader.view.get(ExecutionRecord)
        assert left is not None
        assert left.batch == (move,)
        await executor.stop(leader, seen)

    await _begin(kafka, move)
    await lead(work)


async def test_only_the_removal_that_stalls_fails(
    lead: Lead, executor: Executor, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    throttled = {f"{role}.replication.throttled.replicas": "*" for role in ("leader", "follower")}
    topic = await placed([[4, 1]], throttled)
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    move = MoveRecord(topic, 0, (4, 1), (2, 1), 0, now_ms())
    failed: list[frozenset[int]] = []

    async def work(leader: Leader) -> None:
        purpose = Purpose(Kind.REMOVAL, (3, 4))
        await leader.write({key_of(ExecutionRecord): ExecutionRecord(purpose=purpose, batch=(move,))})

        async def has_stalled() -> bool:
            outcome = await executor.step(leader, await look(kafka, _SECONDS), purpose, {}, frozenset({3, 4}))
            if outcome.failure is not None and outcome.failure.code == 10054:
                failed.append(outcome.broker_ids)
            await asyncio.sleep(0.3)
            return bool(failed)

        await until(has_stalled)
        await executor.stop(leader, await look(kafka, _SECONDS))

    await _begin(kafka, move)
    await lead(work)
    assert failed == [frozenset({4})]
