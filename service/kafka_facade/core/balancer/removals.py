"""The change that begins to remove brokers, which the leader makes."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from msgspec import Struct

from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import TaskRecord, new_task, now_ms
from kafka_facade.core.balancer.steps import REMOVAL, REMOVE_BROKER
from kafka_facade.core.errors import BalancerOffline, NotFound, OnlyReplica
from kafka_facade.core.state.handlers import ChangeRequest, Done, Leader
from kafka_facade.core.state.records import StateRecord

REMOVE: Final = "brokers.remove"
"""The kind of the change."""
_ASKED: Final = 1
_LOOK_SECONDS: Final = 2.0


class RemoveBrokersChange(Struct):
    """Brokers to remove, all or none."""

    cluster_id: str
    broker_ids: list[int]
    should_shutdown: bool
    caller: str | None = None


class Accepted(Struct):
    """The removals have begun."""


class Removals:
    """Begins removals. ``kafka`` are the gateway's own clients."""

    def __init__(self, kafka: BalancerKafka, *, enabled: bool) -> None:
        self._kafka = kafka
        self._enabled = enabled

    async def begin(self, leader: Leader, request: ChangeRequest) -> Done:
        """Write a task for each broker; one whose removal is in progress keeps its task.

        Raises BalancerOffline, NotFound, OnlyReplica, and UnsupportedVersion if brokers cannot be excluded.
        """
        if not self._enabled:
            raise BalancerOffline
        asked = msgspec.json.decode(request.body, type=RemoveBrokersChange)
        registrations, placement = await asyncio.gather(
            self._kafka.brokers.registrations(request.timeout), self._kafka.placement.placement(request.timeout)
        )
        for broker_id in asked.broker_ids:
            if broker_id not in registrations.alive:
                raise broker_not_found(broker_id, asked.cluster_id)
        live = [broker_id for broker_id, is_alive in registrations.alive.items() if is_alive]
        # Brokers before Kafka 4.3 do not tell. One that hangs delays nothing but this.
        await self._kafka.cordons.cordons(live[:_ASKED], min(request.timeout / 2, _LOOK_SECONDS))
        for (topic, partition), entry in placement.partitions.items():
            if len(entry.replicas) == 1 and entry.replicas[0] in asked.broker_ids:
                raise OnlyReplica(
                    f"Cannot remove broker {entry.replicas[0]} as there are partitions with replication factor equal "
                    f"to 1 on the broker. One such partition: {topic}_{partition}."
                )
        records: dict[str, StateRecord | None] = {}
        for broker_id in asked.broker_ids:
            task = new_task(
                broker_id, REMOVE_BROKER, REMOVAL, should_shutdown=asked.should_shutdown, caller=asked.caller
            )
            known = leader.view.get(TaskRecord, f"{broker_id}/{REMOVE_BROKER}")
            if known is not None and known.is_running:
                if known.should_shutdown == asked.should_shutdown:
                    continue
                task = msgspec.structs.replace(known, should_shutdown=asked.should_shutdown, updated_ms=now_ms())
            records[task.key] = task
        leader.hurry(0)
        return Done(Accepted(), records)


def broker_not_found(broker_id: int, cluster_id: str) -> NotFound:
    """Return the error for a broker that the cluster does not have."""
    return NotFound(
        f"Broker not found. Broker: {broker_id} not found in the cluster: {cluster_id}", broker_id=str(broker_id)
    )
