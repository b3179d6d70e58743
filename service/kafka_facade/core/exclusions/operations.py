"""Broker replica exclusions (reference: "BrokerReplicaExclusion (v3)"), by cordoning brokers (KIP-1066)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from kafka_facade.core import limits
from kafka_facade.core.call import Call
from kafka_facade.core.clusters.port import Registrations
from kafka_facade.core.errors import BrokerNotRegistered, InvalidRequest, UnsupportedVersion
from kafka_facade.core.exclusions.cordoning import check_right
from kafka_facade.core.exclusions.keeper import (
    ALTER,
    AlteredExclusions,
    AlterEntry,
    AlterExclusions,
    AlterFailure,
    failure_of,
    not_excluded,
    wanted,
)
from kafka_facade.core.exclusions.model import (
    BrokerReplicaExclusion,
    BrokerReplicaExclusionAlteration,
    BrokerReplicaExclusionEntry,
    CreateBrokerReplicaExclusions,
    DeleteBrokerReplicaExclusions,
    ExclusionChange,
    GetBrokerReplicaExclusion,
    ListBrokerReplicaExclusions,
)
from kafka_facade.core.registry import also_answers, implements
from kafka_facade.core.state.state import State

_BY_OTHERS: Final = "cordoned outside of kafka-facade"
# Brokers that do not answer must leave time for the answer.
_SHARE: Final = 0.5
_LOOK_SECONDS: Final = 5.0


class Exclusions:
    """Operations on exclusions."""

    def __init__(self, state: State) -> None:
        self._state = state

    @implements("api.v3.broker-replica-exclusions.list")
    @also_answers("api.v3.broker-replica-exclusions.search-by-broker")
    async def list_exclusions(
        self, call: Call, request: ListBrokerReplicaExclusions
    ) -> Sequence[BrokerReplicaExclusion]:
        """All exclusions, ordered by broker; also of brokers that other tools have cordoned.

        A broker that is down is excluded as soon as it is back.
        """
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        known = await call.kafka.brokers.registrations(call.remaining)
        seconds = min(call.remaining * _SHARE, _LOOK_SECONDS)
        live = [broker_id for broker_id, alive in known.alive.items() if alive]
        view, cordons = await asyncio.gather(
            self._state.view(call.remaining), call.kafka.cordons.cordons(live, seconds)
        )
        records = wanted(view)
        reasons = {broker_id: _BY_OTHERS for broker_id, cordon in cordons.items() if cordon.holds}
        for broker_id, record in records.items():
            if record.change is ExclusionChange.SET:
                reasons[broker_id] = record.reason
            else:
                reasons.pop(broker_id, None)
        return [BrokerReplicaExclusion(cluster_id, broker_id, reasons[broker_id]) for broker_id in sorted(reasons)]

    @implements("api.v3.broker-replica-exclusions.search-by-broker")
    async def get_exclusion(self, call: Call, request: GetBrokerReplicaExclusion) -> BrokerReplicaExclusion:
        """The exclusion of a broker; NotFound."""
        for found in await self.list_exclusions(call, ListBrokerReplicaExclusions(request.cluster_id)):
            if found.broker_id == request.broker_id:
                return found
        raise not_excluded(request.broker_id)

    @implements("api.v3.broker-replica-exclusions.create")
    async def create_exclusions(
        self, call: Call, request: CreateBrokerReplicaExclusions
    ) -> Sequence[BrokerReplicaExclusionAlteration]:
        """Exclude brokers. An unknown broker is a failure of its entry; one that is excluded gets the new reason."""
        return await self._alter(call, request.cluster_id, request.data, ExclusionChange.SET)

    @implements("api.v3.broker-replica-exclusions.delete")
    async def delete_exclusions(
        self, call: Call, request: DeleteBrokerReplicaExclusions
    ) -> Sequence[BrokerReplicaExclusionAlteration]:
        """Remove exclusions. A broker that is not excluded is a failure of its entry."""
        return await self._alter(call, request.cluster_id, request.data, ExclusionChange.DELETE)

    async def _alter(
        self,
        call: Call,
        named_cluster: str | None,
        entries: Sequence[BrokerReplicaExclusionEntry],
        change: ExclusionChange,
    ) -> list[BrokerReplicaExclusionAlteration]:
        _check(entries)
        cluster_id = await call.kafka.cluster.check(named_cluster, call)
        known = await call.kafka.brokers.registrations(call.remaining)
        cordoned = await self._check_right(call, known, [entry.broker_id for entry in entries], change)
        if change is ExclusionChange.SET:
            failures = [
                failure_of(entry.broker_id, BrokerNotRegistered())
                for entry in entries
                if entry.broker_id not in known.alive
            ]
        else:
            excluded = wanted(await self._state.view(call.remaining)).keys()
            failures = [
                failure_of(entry.broker_id, not_excluded(entry.broker_id))
                for entry in entries
                if not (entry.broker_id in excluded or entry.broker_id in cordoned)
            ]
        failed = {failure.broker_id for failure in failures}
        asked = [
            # Only the reason of an exclusion is kept.
            AlterEntry(entry.broker_id, entry.reason if change is ExclusionChange.SET else "")
            for entry in entries
            if entry.broker_id not in failed
        ]
        if asked:
            body = AlterExclusions(change, asked, call.caller.principal)
            done = await self._state.change(ALTER, body, AlteredExclusions, call.remaining)
            failures += done.failures
        by_broker = {failure.broker_id: failure for failure in failures}
        return [_result(cluster_id, entry, change, by_broker.get(entry.broker_id)) for entry in entries]

    async def _check_right(
        self, call: Call, known: Registrations, named: Sequence[int], change: ExclusionChange
    ) -> Collection[int]:
        """Return which of the brokers are cordoned; KafkaAuthorizationFailed if the caller may not do this.

        The leader acts with the rights of the gateway, so those of the caller are checked here. One right covers the
        configs of all brokers, so any broker can tell. Raises UnsupportedVersion too.
        """
        live = [broker_id for broker_id, alive in known.alive.items() if alive]
        if not named:
            return ()
        if not known.is_complete:
            # Brokers that do not tell of those that are down are older than the config.
            raise UnsupportedVersion
        asked = [broker_id for broker_id in named if known.alive.get(broker_id)] or live
        cordons = await call.kafka.cordons.cordons(asked, min(call.remaining * _SHARE, _LOOK_SECONDS))
        await check_right(call.kafka, next(iter(cordons), live[0]), change, call.remaining)
        return frozenset(broker_id for broker_id, cordon in cordons.items() if cordon.holds)


def _check(entries: Sequence[BrokerReplicaExclusionEntry]) -> None:
    limits.check_length(entries, limits.EXCLUSIONS, "data")
    seen: set[int] = set()
    for place, entry in enumerate(entries):
        field = f"data[{place}]"
        if entry.broker_id < 0:
            raise InvalidRequest(f"The given broker id {entry.broker_id} is invalid", field=f"{field}.broker_id")
        if entry.broker_id in seen:
            raise InvalidRequest(f"Broker {entry.broker_id} is given twice.", field=f"{field}.broker_id")
        if len(entry.reason) > limits.REASON:
            message = f"A reason has more than {limits.REASON} characters."
            raise InvalidRequest(message, field=f"{field}.reason")
        seen.add(entry.broker_id)


def _result(
    cluster_id: str, entry: BrokerReplicaExclusionEntry, change: ExclusionChange, failure: AlterFailure | None
) -> BrokerReplicaExclusionAlteration:
    return BrokerReplicaExclusionAlteration(
        cluster_id,
        entry.broker_id,
        change,
        entry.reason,
        None if failure is None else failure.code,
        None if failure is None else failure.message,
    )
