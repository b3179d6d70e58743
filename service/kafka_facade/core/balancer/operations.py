"""The status of the balancer (reference: "BalancerStatus (v3)")."""

from __future__ import annotations

from kafka_facade.core.balancer.model import AnyUnevenLoad, BalancerStatus, GetAnyUnevenLoad, GetBalancerStatus
from kafka_facade.core.balancer.records import BalancerRecord, current
from kafka_facade.core.balancer.states import BalancerState
from kafka_facade.core.call import Call
from kafka_facade.core.errors import BalancerOffline
from kafka_facade.core.registry import implements
from kafka_facade.core.state.state import State


class BalancerStatuses:
    """Operations on the balancer. ``enabled`` is whether this gateway has one."""

    def __init__(self, state: State, *, enabled: bool) -> None:
        self._state = state
        self._enabled = enabled

    @implements("api.v3.balancer.get")
    async def get_status(self, call: Call, request: GetBalancerStatus) -> BalancerStatus:
        """Whether the balancer runs."""
        cluster_id, record = await self._record(call, request.cluster_id)
        if not self._enabled:
            return BalancerStatus(cluster_id, BalancerState.DISABLED)
        if record is None:
            return BalancerStatus(cluster_id, BalancerState.STARTING)
        return BalancerStatus(cluster_id, record.status, None, record.message)

    @implements("api.v3.balancer.any-uneven-load.get")
    async def get_any_uneven_load(self, call: Call, request: GetAnyUnevenLoad) -> AnyUnevenLoad:
        """Whether the load is even; BalancerOffline."""
        cluster_id, record = await self._record(call, request.cluster_id)
        if record is None or not self._enabled:
            raise BalancerOffline
        load = record.load
        return AnyUnevenLoad(
            cluster_id,
            load.status,
            load.previous,
            load.updated_ms,
            load.previous_updated_ms,
            load.code,
            load.message,
        )

    async def _record(self, call: Call, named_cluster: str | None) -> tuple[str, BalancerRecord | None]:
        cluster_id = await call.kafka.cluster.check(named_cluster, call)
        # Who may not see reassignments may not see why there are any.
        await call.kafka.reassignments.list_reassignments(call.remaining)
        return cluster_id, current(await self._state.view(call.remaining))
