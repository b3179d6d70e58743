"""The status of the balancer in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import strawberry

from kafka_facade.core.balancer import model as core_balancer
from kafka_facade.core.balancer import states as core_states
from kafka_facade.core.broker_tasks import model as core_tasks
from kafka_facade_graphql.broker_tasks import BrokerTask
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.scalars import from_millis

BalancerState = strawberry.enum(
    core_states.BalancerState, name="BalancerState", description="Whether the balancer runs."
)
UnevenLoadState = strawberry.enum(
    core_states.UnevenLoadState, name="UnevenLoadState", description="Whether the load is even."
)
_TASKS = "api.v3.broker-tasks.list"


@resource(
    description="Whether the load of the brokers is even.",
    fields={
        "status": "The status.",
        "previous_status": "The status before.",
        "error_code": "The error code; null if there is no error.",
        "error_message": "A human-readable error message; null if there is no error.",
    },
)
class AnyUnevenLoad(core_balancer.AnyUnevenLoad):
    """The load."""

    @field(name="statusUpdatedAt", description="When the status began.")
    def updated(self) -> datetime | None:
        return from_millis(self.status_updated_at)

    @field(name="previousStatusUpdatedAt", description="When the previous status began.")
    def previous_updated(self) -> datetime | None:
        return from_millis(self.previous_status_updated_at)

    @field(graphql_type=list[BrokerTask] | None, description="The tasks that remove and add brokers.")
    async def broker_tasks(self, info: Info) -> Sequence[core_tasks.BrokerTask]:
        return await info.context.loaders.broker_tasks(_TASKS, self.cluster_id)


@resource(
    description="Whether the balancer runs.",
    fields={
        "status": "The status.",
        "error_code": "The error code; null if there is none.",
        "error_message": "A human-readable error message; null if there is no error.",
    },
)
class BalancerStatus(core_balancer.BalancerStatus):
    """The status."""

    @field(
        graphql_type=AnyUnevenLoad | None,
        description="Whether the load is even; an error while the balancer is disabled or has not started.",
    )
    async def any_uneven_load(self, info: Info) -> core_balancer.AnyUnevenLoad:
        return await info.context.loaders.any_uneven_load(self.cluster_id)

    @field(graphql_type=list[BrokerTask] | None, description="The tasks that remove and add brokers.")
    async def broker_tasks(self, info: Info) -> Sequence[core_tasks.BrokerTask]:
        return await info.context.loaders.broker_tasks(_TASKS, self.cluster_id)
