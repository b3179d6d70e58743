"""Throttles and cancelled moves, when an operator, a new leader or Kafka gets in between."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka.admin import AclOperation, ResourceType
from kafka.admin import KafkaAdminClient
from kafka.structs import TopicPartition

from balancer.conftest import Lead, PlacedTopic
from balancer.removing import fill, hold
from balancer.waiting import until
from denial import allowed
from engines import LoneEngine
from kafka_facade.core.balancer.executor import Executor
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.balancer.plans import PlanMaker
from kafka_facade.core.balancer.progress import at_end, with_progress
from kafka_facade.core.balancer.records import (
    ExecutionRecord,
    Kind,
    MoveRecord,
    Purpose,
    TaskProgress,
    TaskRecord,
    new_task,
    now_ms,
)
from kafka_facade.core.balancer.snapshots import Look, look
from kafka_facade.core.balancer.steps import MOVING_AWAY, REMOVE_BROKER
from kafka_facade.core.balancer.throttles import Throttles
from kafka_facade.core.configs.model import ConfigAlteration
from kafka_facade.core.errors import KafkaAuthorizationFailed
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.reassignments.port import MovingPartition
from kafka_facade.core.state.handlers import Leader
from kafka_facade.core.state.port import WriterLost
from kafka_facade.core.state.records import key_of
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 60
_KILOBYTES = 4000
_OURS = 1_000_000
_ALIVE = dict.fromkeys((1, 2, 3, 4), True)
_LEADER_RATE, _FOLLOWER_RATE = (f"{role}.replication.throttled.rate" for role in ("leader", "follower"))
_LEADER_REPLICAS, _FOLLOWER_REPLICAS = (f"{role}.replication.throttled.replicas" for role in ("leader", "follower"))


def _move(topic: str, partition: int, before: tuple[int, ...], replicas: tuple[int, ...]) -> MoveRecord:
    return MoveRecord(topic, partition, before, replicas, 0, now_ms())


def _throttling(throttles: Throttles, kafka: KafkaPorts, *moves: MoveRecord) -> Callable[[Leader], Awaitable[object]]:
    async def throttle(leader: Leader) -> None:
        placement = await kafka.placement.placement(_SECONDS)
        await throttles.apply(leader, moves, placement, _SECONDS)

    return throttle


def _lifting(kafka: KafkaPorts) -> Callable[[Leader], Awaitable[object]]:
    async def lift(leader: Leader) -> None:
        async def is_lifted() -> bool:
            return await Throttles(kafka, _OURS).lift(leader, _ALIVE, _SECONDS)

        await until(is_lifted)

    return lift


async def _rates(kafka: KafkaPorts) -> dict[tuple[int, str], str]:
    found = await kafka.configs.broker_configs(list(_ALIVE), _SECONDS)
    return {
        (broker, config.name): config.value
        for broker, configs in zip(_ALIVE, found, strict=True)
        if isinstance(configs, list)
        for config in configs
        if config.name in (_LEADER_RATE, _FOLLOWER_RATE) and not config.is_default and config.value
    }


async def _replicas(kafka: KafkaPorts, topic: str) -> dict[str, set[str]]:
    """The throttled replicas of a topic."""
    [configs] = await kafka.configs.topic_configs([topic], _SECONDS)
    assert isinstance(configs, list)
    values = {config.name: config.value for config in configs if not config.is_default and config.value}
    return {name: set(values[name].split(",")) for name in (_LEADER_REPLICAS, _FOLLOWER_REPLICAS) if name in values}


async def test_rates_that_an_operator_sets_meanwhile_stay(lead: Lead, kafka: KafkaPorts, placed: PlacedTopic) -> None:
    topic = await placed([[1, 2]])
    move = _move(topic, 0, (1, 2), (3, 2))
    await lead(_throttling(Throttles(kafka, _OURS), kafka, move))
    ours = {(broker, rate): str(_OURS) for broker in (1, 2, 3) for rate in (_LEADER_RATE, _FOLLOWER_RATE)}
    assert await _rates(kafka) == ours
    await kafka.configs.alter_broker_configs(1, [ConfigAlteration(_LEADER_RATE, "5000000")], False, _SECONDS)
    await lead(_throttling(Throttles(kafka, _OURS), kafka, move))
    theirs = {(1, _LEADER_RATE): "5000000"}
    assert await _rates(kafka) == ours | theirs
    await lead(_lifting(kafka))
    assert await _rates(kafka) == theirs


async def test_replicas_that_an_operator_throttles_meanwhile_stay(
    lead: Lead, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[1, 2]] * 3, {_LEADER_REPLICAS: "2:1,2:2"})
    throttles = Throttles(kafka, _OURS)
    await lead(_throttling(throttles, kafka, _move(topic, 0, (1, 2), (3, 2))))
    assert await _replicas(kafka, topic) == {
        _LEADER_REPLICAS: {"2:1", "2:2", "0:1", "0:2"},
        _FOLLOWER_REPLICAS: {"0:3"},
    }
    # One that the second batch needs, too.
    changes = [ConfigAlteration(_LEADER_REPLICAS, "2:2,2:4,1:1,0:1,0:2"), ConfigAlteration(_FOLLOWER_REPLICAS, "*")]
    await kafka.configs.alter_topic_configs({topic: changes}, False, _SECONDS)
    await lead(_throttling(throttles, kafka, _move(topic, 1, (1, 2), (3, 2))))
    theirs = {_LEADER_REPLICAS: {"2:2", "2:4", "1:1"}, _FOLLOWER_REPLICAS: {"*"}}
    assert await _replicas(kafka, topic) == theirs | {_LEADER_REPLICAS: {"2:2", "2:4", "1:1", "1:2"}}
    await lead(_lifting(kafka))
    assert await _replicas(kafka, topic) == theirs


async def test_no_throttled_replica_stays_if_a_config_could_not_be_altered(
    lead: Lead, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[1, 2]] * 2)
    throttles = Throttles(kafka, _OURS)
    await lead(_throttling(throttles, kafka, _move(topic, 0, (1, 2), (3, 2))))
    rights = [(ResourceType.TOPIC, topic, right) for right in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)]
    async with allowed(four_brokers, *rights, principal="User:ANONYMOUS"):
        with pytest.raises(KafkaAuthorizationFailed):
            await lead(_throttling(throttles, kafka, _move(topic, 1, (1, 2), (3, 2))))
    assert await _replicas(kafka, topic) == {_LEADER_REPLICAS: {"0:1", "0:2"}, _FOLLOWER_REPLICAS: {"0:3"}}
    await lead(_lifting(kafka))
    assert await _replicas(kafka, topic) == {}


async def test_a_broker_that_hangs_keeps_no_throttle_of_others(
    lead: Lead, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[1, 2]])
    await lead(_throttling(Throttles(kafka, _OURS), kafka, _move(topic, 0, (1, 2), (4, 2))))
    assert {broker for broker, _ in await _rates(kafka)} == {1, 2, 4}
    lifted: list[bool] = []

    async def lift(leader: Leader) -> None:
        lifted.append(await Throttles(kafka, _OURS).lift(leader, _ALIVE, 6, topics=False))

    await four_brokers.pause_broker(3)
    try:
        await lead(lift)
    finally:
        await four_brokers.resume_broker(3)
    assert lifted == [False]

    async def is_back() -> bool:
        return {broker for broker, _ in await _rates(kafka)} == {4}

    await until(is_back)
    await lead(_lifting(kafka))
    assert await _rates(kafka) == {}


class _Overtaken:
    """Reassignments that go on when they are listed, and have ended when the list is there."""

    def __init__(self, kafka: KafkaPorts) -> None:
        self._kafka = kafka

    async def list_reassignments(self, timeout: float) -> list[MovingPartition]:
        found = await self._kafka.reassignments.list_reassignments(timeout)
        await hold(self._kafka, None)

        async def has_ended() -> bool:
            return not await self._kafka.reassignments.list_reassignments(timeout)

        await until(has_ended)
        # A move back would not end soon.
        await hold(self._kafka, "1")
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kafka.reassignments, name)


def _stopping(
    kafka: KafkaPorts, seen: Look, *batch: MoveRecord, progress: dict[int, TaskProgress] | None = None
) -> Callable[[Leader], Awaitable[object]]:
    """Stop moves that another leader has begun."""

    async def stop(leader: Leader) -> None:
        record = ExecutionRecord(purpose=Purpose(Kind.REMOVAL, (4,)), batch=batch, progress=progress or {})
        await leader.write({key_of(ExecutionRecord): record})
        plans = PlanMaker(kafka, BalancerOptions())
        executor = Executor(kafka, BalancerOptions(), plans)
        try:
            await executor.stop(leader, seen)
        finally:
            await executor.close()
            plans.close()
        assert leader.view.get(ExecutionRecord) is None

    return stop


async def _placed(kafka: KafkaPorts, topic: str, partition: int) -> tuple[int, ...]:
    return (await kafka.placement.placement(_SECONDS)).partitions[topic, partition].replicas


async def test_a_move_that_ends_before_it_is_cancelled_is_not_undone(
    lead: Lead, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1]], {_LEADER_REPLICAS: "*"})
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    move = _move(topic, 0, (4, 1), (2, 1))
    assert await kafka.reassignments.reassign({move.place: move.replicas}, _SECONDS) == {}
    overtaken: Any = _Overtaken(kafka)
    seen = await look(kafka, _SECONDS)
    assert move.place in seen.moving
    await lead(_stopping(dataclasses.replace(kafka, reassignments=overtaken), seen, move))
    assert await kafka.reassignments.list_reassignments(_SECONDS) == []

    async def has_moved() -> bool:
        return await _placed(kafka, topic, 0) == move.replicas

    await until(has_moved)


async def test_a_leader_that_was_killed_before_it_restored_an_order(
    lead: Lead, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """Kafka has cancelled the move already."""
    topic = await placed([[4, 1]], {_LEADER_REPLICAS: "*"})
    await fill(four_brokers, topic, 1, _KILOBYTES)
    await hold(kafka, "1")
    move = _move(topic, 0, (4, 1), (2, 1))
    assert await kafka.reassignments.reassign({move.place: move.replicas}, _SECONDS) == {}
    assert await kafka.reassignments.reassign({move.place: None}, _SECONDS) == {}

    async def is_cancelled() -> bool:
        return await _placed(kafka, topic, 0) == (1, 4)

    await until(is_cancelled)
    await lead(_stopping(kafka, await look(kafka, _SECONDS), move))

    async def is_restored() -> bool:
        return await _placed(kafka, topic, 0) == move.before

    await until(is_restored)


async def test_moves_that_have_ended_when_a_removal_does_are_counted(
    lead: Lead, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[2, 1]])
    task = new_task(4, REMOVE_BROKER, MOVING_AWAY, should_shutdown=True)
    progress = TaskProgress(now_ms(), partitions_total=3, partitions_moved=1)
    batch = (_move(topic, 0, (4, 1), (2, 1)),)
    record = ExecutionRecord(purpose=Purpose(Kind.REMOVAL, (4,)), batch=batch, progress={4: progress})

    async def work(leader: Leader) -> None:
        await leader.write({task.key: task, key_of(ExecutionRecord): record})
        ended = at_end(leader.view, with_progress(leader.view, task))
        # A partition that was deleted before it moved is in no total any more.
        assert ended.progress == TaskProgress(progress.began_ms, partitions_total=2, partitions_moved=2)
        await _stopping(kafka, await look(kafka, _SECONDS), *batch, progress={4: progress})(leader)
        kept = leader.view.get(TaskRecord, f"4/{REMOVE_BROKER}")
        assert kept is not None
        assert kept.progress is not None
        assert kept.progress.partitions_moved == 2

    await lead(work)


async def test_a_leader_that_is_none_any_more_lifts_no_throttle(
    lead: Lead, stack: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[1, 2]])
    await lead(_throttling(Throttles(kafka, _OURS), kafka, _move(topic, 0, (1, 2), (3, 2))))
    before = await _rates(kafka)
    assert before
    engine = await LoneEngine.start(KafkaOptions(stack.bootstrap_servers))
    found: list[object] = []

    async def lift(leader: Any) -> None:
        if found:
            # It leads again, and makes the change again.
            return
        found.append("begun")
        other = await engine.transactions.open_writer(leader.topic, leader.topic, _SECONDS)
        try:
            for topics in (False, True):
                try:
                    await Throttles(kafka, _OURS).lift(leader, _ALIVE, _SECONDS, topics=topics)
                except WriterLost:
                    found.append("lost")
            # Brokers show changes a moment later.
            await asyncio.sleep(1)
            found.extend([await _rates(kafka) == before, bool(await _replicas(kafka, topic))])
        finally:
            await other.close()

    try:
        await lead(lift)
    finally:
        await engine.close(5)
    assert found == ["begun", "lost", "lost", True, True]
    await lead(_lifting(kafka))
    assert await _rates(kafka) == {}


async def test_a_move_that_kafka_does_not_cancel_is_left(
    lead: Lead, four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    """Its only replica from before is down, so that only a new one can lead."""
    topic = await placed([[4], [1]], {_FOLLOWER_REPLICAS: "0:2,1:3"})
    await fill(four_brokers, topic, 2, _KILOBYTES)
    for broker in (2, 3):
        await kafka.configs.alter_broker_configs(broker, [ConfigAlteration(_FOLLOWER_RATE, "1")], False, _SECONDS)
    moves = [_move(topic, 0, (4,), (1, 2)), _move(topic, 1, (1,), (3,))]
    # The first gets more replicas than before, which the gateway never does.
    targets = {TopicPartition(topic, move.partition): list(move.replicas) for move in moves}

    def begin() -> None:
        mover = KafkaAdminClient(bootstrap_servers=four_brokers.bootstrap_servers.split(","))
        assert set(mover.alter_partition_reassignments(targets).values()) == {None}
        mover.close()

    await asyncio.to_thread(begin)

    async def is_copied() -> bool:
        return 1 in (await kafka.placement.placement(_SECONDS)).partitions[topic, 0].in_sync

    await until(is_copied)
    await four_brokers.kill_broker(3)

    async def leads() -> bool:
        return (await kafka.placement.placement(_SECONDS)).partitions[topic, 0].leader == 1

    await until(leads)
    await lead(_stopping(kafka, await look(kafka, _SECONDS), *moves))
    going = await kafka.reassignments.list_reassignments(_SECONDS)
    assert [(entry.topic, entry.partition) for entry in going] == [(topic, 0)]

    async def is_back() -> bool:
        return await _placed(kafka, topic, 1) == (1,)

    await until(is_back)
