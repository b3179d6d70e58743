"""Broker replica exclusions in the graph."""

from __future__ import annotations

import strawberry

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.exclusions import model as core_exclusions
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field, link
from kafka_facade_graphql.resource import resource

BrokerReplicaExclusionChange = strawberry.enum(
    core_exclusions.ExclusionChange, name="BrokerReplicaExclusionChange", description="A change of an exclusion."
)


@resource(
    description="The exclusion of a broker: it gets no new replicas.",
    fields={"broker_id": "The id of the broker.", "reason": "A human-readable reason."},
)
class BrokerReplicaExclusion(core_exclusions.BrokerReplicaExclusion):
    """An exclusion."""

    @field(graphql_type=link("clusters.Broker"), description="The broker; null if it is not alive.")
    async def broker(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.broker_id)


@resource(
    description="The result of the change of one exclusion.",
    fields={
        "broker_id": "The id of the broker.",
        "exclusion": "The change.",
        "reason": "The reason that was given.",
        "error_code": "The error code of the v3 REST API; null if the change was made.",
        "error_message": "A human-readable error message; null if the change was made.",
    },
)
class BrokerReplicaExclusionAlteration(core_exclusions.BrokerReplicaExclusionAlteration):
    """A result."""

    @field(graphql_type=link("clusters.Broker"), description="The broker; null if it is not alive.")
    async def broker(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.broker_id)
