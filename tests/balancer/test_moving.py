"""Reassignments, elections, disks and snapshots of four brokers."""

from __future__ import annotations

import asyncio
import time

import pytest
from confluent_kafka import Producer

from balancer.conftest import PlacedTopic
from balancer.waiting import until
from kafka_facade.core.balancer.planning.goals import Goals
from kafka_facade.core.balancer.planning.plan import Reason
from kafka_facade.core.balancer.planning.planner import plan
from kafka_facade.core.balancer.planning.snapshot import Broker, Partition, Snapshot
from kafka_facade.core.balancer.snapshots import look, take_snapshot
from kafka_facade.core.configs.model import AlterOperation, ConfigAlteration
from kafka_facade.core.errors import InvalidKafkaRequest, TopicNotFound
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade_devstack.background import BackgroundStack

_SECONDS = 20
_RECORD = b"x" * 1000


async def _fill(stack: BackgroundStack, topic: str, partition: int, records: int) -> None:
    def fill() -> None:
        producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "acks": "all"})
        for _ in range(records):
            producer.produce(topic, _RECORD, partition=partition)
        assert producer.flush(_SECONDS) == 0

    await asyncio.to_thread(fill)


async def _snapshot(kafka: KafkaPorts, leaving: tuple[int, ...] = (), **more: dict[int, int]) -> Snapshot:
    seen = await look(kafka, _SECONDS)
    since = more.get("offline_since_ms", {})
    return await take_snapshot(kafka, seen, leaving=leaving, excluded=(), offline_since_ms=since, timeout=_SECONDS)


def _broker(snapshot: Snapshot, broker_id: int) -> Broker:
    return next(entry for entry in snapshot.brokers if entry.broker_id == broker_id)


def _partition(snapshot: Snapshot, topic: str, partition: int) -> Partition:
    return next(entry for entry in snapshot.partitions if (entry.topic, entry.partition) == (topic, partition))


async def _throttle(kafka: KafkaPorts, broker_ids: tuple[int, ...], rate: str | None) -> None:
    operation = AlterOperation.DELETE if rate is None else AlterOperation.SET
    for broker_id in broker_ids:
        names = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
        changes = [ConfigAlteration(name, rate, operation) for name in names]
        await kafka.configs.alter_broker_configs(broker_id, changes, False, _SECONDS)


async def test_partitions_move_and_preferred_leaders_lead(kafka: KafkaPorts, placed: PlacedTopic) -> None:
    topic = await placed([[1, 2], [2, 3]])
    targets = {(topic, 0): [4, 2], (topic, 1): [3, 2], (topic, 7): [1, 2], ("no-such-topic", 0): [1]}
    failed = await kafka.reassignments.reassign(targets, _SECONDS)
    assert failed.keys() == {(topic, 7), ("no-such-topic", 0)}
    assert all(isinstance(error, TopicNotFound) for error in failed.values())

    async def has_moved() -> bool:
        seen = await look(kafka, _SECONDS)
        found = [seen.placement.partitions[topic, number] for number in (0, 1)]
        return not seen.moving and [entry.replicas for entry in found] == [(4, 2), (3, 2)]

    await until(has_moved)

    async def leads() -> bool:
        await kafka.reassignments.elect_preferred([(topic, 0), (topic, 1)], _SECONDS)
        found = (await look(kafka, _SECONDS)).placement.partitions
        return [found[topic, number].leader for number in (0, 1)] == [4, 3]

    await until(leads)
    # Once they lead, there is nothing to do, which is no error.
    assert await kafka.reassignments.elect_preferred([(topic, 0), (topic, 1)], _SECONDS) == {}


async def test_the_number_of_replicas_is_kept(kafka: KafkaPorts, placed: PlacedTopic) -> None:
    topic = await placed([[1, 2]])
    failed = await kafka.reassignments.reassign({(topic, 0): [1, 2, 3]}, _SECONDS)
    assert isinstance(failed[topic, 0], InvalidKafkaRequest)
    assert (await look(kafka, _SECONDS)).placement.partitions[topic, 0].replicas == (1, 2)


async def test_a_move_can_be_seen_and_cancelled(
    four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    throttled = {f"{role}.replication.throttled.replicas": "*" for role in ("leader", "follower")}
    topic = await placed([[1, 2]], throttled)
    await _fill(four_brokers, topic, 0, 8000)
    await _throttle(kafka, (1, 2, 3, 4), "1")
    try:
        assert await kafka.reassignments.reassign({(topic, 0): [3, 4]}, _SECONDS) == {}
        moving = _partition(await _snapshot(kafka, leaving=(1,)), topic, 0)
        assert set(moving.adding) == {3, 4}
        assert set(moving.removing) == {1, 2}
        assert await kafka.reassignments.reassign({(topic, 0): None}, _SECONDS) == {}
        # Nothing is going on any more.
        failed = await kafka.reassignments.reassign({(topic, 0): None}, _SECONDS)
        assert isinstance(failed[topic, 0], InvalidKafkaRequest)

        async def is_back() -> bool:
            return (await look(kafka, _SECONDS)).placement.partitions[topic, 0].replicas == (1, 2)

        await until(is_back)
    finally:
        await _throttle(kafka, (1, 2, 3, 4), None)


async def test_a_snapshot_has_sizes_racks_and_disks(
    four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[1, 2], [3, 4]])
    await _fill(four_brokers, topic, 1, 500)
    snapshot = await _snapshot(kafka)
    assert [_broker(snapshot, broker_id).rack for broker_id in (1, 2, 3, 4)] == [f"rack-{n}" for n in (1, 2, 3, 4)]
    for entry in snapshot.brokers:
        assert entry.offline_ms is None
        assert not entry.is_excluded
        assert entry.total_bytes is not None
        assert entry.usable_bytes is not None
        assert 0 < entry.usable_bytes < entry.total_bytes
    assert _partition(snapshot, topic, 0).size_bytes == 0
    assert _partition(snapshot, topic, 1).size_bytes >= 500 * len(_RECORD)
    assert _partition(snapshot, topic, 1).replicas == (3, 4)
    assert _partition(snapshot, topic, 1).leader == 3


async def test_the_planner_empties_a_real_broker(kafka: KafkaPorts, placed: PlacedTopic) -> None:
    topic = await placed([[4, 1], [2, 4]])
    found = plan(await _snapshot(kafka, leaving=(4,)), Goals(evens_load=False, max_disk_load=1.0))
    moves = {(move.topic, move.partition): move for move in found.moves}
    assert moves[topic, 0].removing == moves[topic, 1].removing == (4,)
    assert not found.unsolvable


async def test_cordoned_silent_and_fenced_brokers_get_nothing(
    four_brokers: BackgroundStack, kafka: KafkaPorts, placed: PlacedTopic
) -> None:
    topic = await placed([[4, 1]])
    cordon = ConfigAlteration("cordoned.log.dirs", "*")
    await kafka.configs.alter_broker_configs(2, [cordon], False, _SECONDS)
    try:

        async def is_cordoned() -> bool:
            return _broker(await _snapshot(kafka), 2).is_excluded

        await until(is_cordoned)
        await four_brokers.kill_broker(3)

        async def is_down() -> bool:
            return _broker(await _snapshot(kafka), 4).offline_ms is not None

        await until(is_down)
        since = round(time.time() * 1000) - 7_200_000
        snapshot = await _snapshot(kafka, offline_since_ms={4: since})
        offline_ms = _broker(snapshot, 4).offline_ms
        assert offline_ms is not None
        assert 7_200_000 <= offline_ms < 7_300_000
        goals = Goals(evens_load=False, max_disk_load=1.0)
        [move] = [move for move in plan(snapshot, goals).moves if move.topic == topic]
        assert move.adding == (3,)
    finally:
        change = ConfigAlteration("cordoned.log.dirs", operation=AlterOperation.DELETE)
        await kafka.configs.alter_broker_configs(2, [change], False, _SECONDS)


@pytest.mark.parametrize("brokers", [[[1, 2, 3, 4]]])
async def test_too_few_brokers_are_told(kafka: KafkaPorts, placed: PlacedTopic, brokers: list[list[int]]) -> None:
    topic = await placed(brokers)
    found = plan(await _snapshot(kafka, leaving=(4,)), Goals(evens_load=False, max_disk_load=1.0))
    [unsolvable] = [entry for entry in found.unsolvable if entry.topic == topic]
    assert unsolvable.reason is Reason.TOO_FEW_BROKERS
