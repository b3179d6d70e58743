"""What the leader does about errors that last."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka.admin import AclOperation
from msgspec import structs

from balancer.conftest import Lead
from denial import CLUSTER, denied
from kafka_facade.core.balancer.leader import Balancer
from kafka_facade.core.balancer.options import BalancerOptions
from kafka_facade.core.balancer.records import TaskRecord, new_task
from kafka_facade.core.balancer.steps import MOVING_AWAY, REMOVE_BROKER, TaskStatus
from kafka_facade.core.errors import KafkaAuthorizationFailed
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
