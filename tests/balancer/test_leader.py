"""What the leader does about errors that last, and about looks that are wrong."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from confluent_kafka.admin import AclOperation
from msgspec import structs

from balancer.conftest import Lead, PlacedTopic
from denial import CLUSTER, denied
from kafka_facade.core.balancer.leader import Balancer
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.balancer.port import Placement
from kafka_facade.core.balancer.records import TaskRecord, ThrottleRecord, new_task
from kafka_facade.core.balancer.steps import MOVED_AWAY, MOVING_AWAY, REMOVE_BROKER, TaskStatus
from kafka_facade.core.clusters.port import Registrations
from kafka_facade.core.errors import KafkaAuthorizationFailed
from kafka_facade.core.exclusions.keeper import ExclusionRecord
from kafka_facade.core.exclusions.model import ExclusionChange
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.core.state.handlers import Leader
from kafka_facade.core.state.records import LeaderRecord, key_of
from kafka_facade_devstack.background import BackgroundStack


async def test_looks_that_are_rejected_fail_a_removal_and_count_anew_for_another_leader(
    lead: Lead, four_brokers: BackgroundStack, kafka: KafkaPorts
) -> None:
    balancer = Balancer(kafka, BalancerOptions(enabled=True))
    task = new_task(4, REMOVE_BROKER, MOVING_AWAY, should_shutdown=True)

    async def work(leader: Leader) -> None:
        await leader.write({task.key: task})
        for _ in range(2):
            # One for the status of the balancer, and four for the removal.
            for _ in range(5):
                with pytest.raises(KafkaAuthorizationFailed):
                    await balancer.work(leader)
            record = leader.view.get(LeaderRecord)
            assert record is not None
            await leader.write({key_of(LeaderRecord): structs.replace(record, since_ms=record.since_ms + 1)})
        for _ in range(5):
            with pytest.raises(KafkaAuthorizationFailed):
                await balancer.work(leader)
        await balancer.work(leader)
        found = leader.view.get(TaskRecord, f"4/{REMOVE_BROKER}")
        assert found is not None
        assert (found.status, found.code) == (TaskStatus.FAILED, 10052)

    try:
        async with denied(four_brokers, (*CLUSTER, AclOperation.DESCRIBE)):
            # Not all brokers learn of it at once.
            await asyncio.sleep(2)
            await lead(work)
    finally:
        await balancer.close()


class _Brokers:
    """The registry of brokers, which counts looks and may take one for down that runs."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self.down: set[int] = set()
        self.looks = 0

    async def registrations(self, timeout: float) -> Registrations:
        self.looks += 1
        found: Registrations = await self._port.registrations(timeout)
        return dataclasses.replace(found, alive=dict(found.alive) | dict.fromkeys(self.down, False))


async def test_a_broker_that_is_down_in_one_look_is_not_stopped(lead: Lead, kafka: KafkaPorts) -> None:
    brokers: Any = _Brokers(kafka.brokers)
    # Topics of other tests may be on the broker.
    placement: Any = _Placements(kafka.placement, 4)
    placement.lags = True
    ports = dataclasses.replace(kafka, brokers=brokers, placement=placement)
    balancer = Balancer(ports, BalancerOptions(enabled=True))
    task = new_task(4, REMOVE_BROKER, MOVED_AWAY, should_shutdown=True)
    exclusion = ExclusionRecord(change=ExclusionChange.SET, reason="A test.", is_applied=True)

    found: list[TaskStatus] = []

    async def work(leader: Leader) -> None:
        await leader.write({task.key: task, key_of(ExclusionRecord, 4): exclusion})
        await balancer.work(leader)
        for down in ({4}, set(), {4}, {4}):
            brokers.down = down
            await balancer.work(leader)
            record = leader.view.get(TaskRecord, f"4/{REMOVE_BROKER}")
            assert record is not None
            found.append(record.status)

    try:
        await lead(work)
    finally:
        await balancer.close()
    assert found == [TaskStatus.IN_PROGRESS] * 3 + [TaskStatus.SUCCESS]


class _Placements:
    """Where replicas are, but without those of one broker while metadata lags."""

    def __init__(self, port: Any, broker_id: int) -> None:
        self._port = port
        self._broker_id = broker_id
        self.lags = False

    async def placement(self, timeout: float) -> Placement:
        found: Placement = await self._port.placement(timeout)
        if not self.lags:
            return found
        there = {place: entry for place, entry in found.partitions.items() if self._broker_id not in entry.replicas}
        return dataclasses.replace(found, partitions=there)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


async def test_metadata_that_lags_ends_no_removal(lead: Lead, kafka: KafkaPorts, placed: PlacedTopic) -> None:
    """One look that shows no replicas is not enough, and neither are more while the broker itself has some."""
    await placed([[4, 1]])
    placements: Any = _Placements(kafka.placement, 4)
    balancer = Balancer(dataclasses.replace(kafka, placement=placements), BalancerOptions(enabled=True, throttle=-1))
    task = new_task(4, REMOVE_BROKER, MOVING_AWAY, should_shutdown=True)
    exclusion = ExclusionRecord(change=ExclusionChange.SET, reason="A test.", is_applied=True)

    async def work(leader: Leader) -> None:
        await leader.write({task.key: task, key_of(ExclusionRecord, 4): exclusion})
        for lags in (True, False, True, True, True):
            placements.lags = lags
            await balancer.work(leader)
            found.append(leader.view.get(TaskRecord, f"4/{REMOVE_BROKER}"))

    found: list[TaskRecord | None] = []
    try:
        await lead(work)
    finally:
        await balancer.close()
    assert [record and record.steps for record in found] == [MOVING_AWAY] * 5


async def test_a_broker_that_never_returns_keeps_the_leader_idle(lead: Lead, kafka: KafkaPorts) -> None:
    """Its throttles are looked for less and less often."""
    brokers: Any = _Brokers(kafka.brokers)
    balancer = Balancer(dataclasses.replace(kafka, brokers=brokers), BalancerOptions())

    async def work(leader: Leader) -> None:
        await leader.write({key_of(ThrottleRecord, "broker/77"): ThrottleRecord(ours={})})
        for _ in range(20):
            await balancer.work(leader)

    try:
        await lead(work)
        assert brokers.looks == 1
    finally:
        await balancer.close()
