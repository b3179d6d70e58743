"""The subscription to a task that removes or adds a broker."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from kafka_facade.core.broker_tasks import model as core_tasks
from kafka_facade.core.broker_tasks.model import WatchBrokerTask
from kafka_facade_graphql.arguments import BrokerId, TaskType
from kafka_facade_graphql.broker_tasks import BrokerTaskProgress
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import subscription
from kafka_facade_graphql.loaders import CALLER


@strawberry.type
class BrokerTaskSubscription:
    """The field of the subscription root."""

    @subscription(
        graphql_type=AsyncGenerator[BrokerTaskProgress, None],
        description=(
            "The task of one type of one broker as it is now, and again when it or its progress has changed, at most "
            "once per second. It ends with the final state of the task."
        ),
    )
    async def broker_task(
        self,
        info: Info,
        broker_id: BrokerId,
        task_type: TaskType,
        cluster_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="The cluster's id in Kafka; default: the gateway's cluster."),
        ] = None,
    ) -> AsyncGenerator[core_tasks.BrokerTaskProgress, None]:
        core = info.context.core
        request = WatchBrokerTask(cluster_id, broker_id, task_type)
        with core.admitted("api.v3.brokers.broker-tasks.search-by-type", CALLER) as call:
            async with aclosing(core.stream(call, request)) as found:
                async for progress in found:
                    info.context.start_event()
                    yield progress
