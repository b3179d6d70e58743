"""The status of replicas in the graph."""

from __future__ import annotations

import strawberry

from kafka_facade.core.clusters import model as core_clusters
from kafka_facade.core.replica_status import model as core_replica_status
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field, link
from kafka_facade_graphql.resource import resource
from kafka_facade_graphql.scalars import BigInt


@resource(
    description="What a broker has of a partition.",
    fields={
        "topic_name": "The name of the topic.",
        "broker_id": "The id of the broker.",
        "partition_id": "The number of the partition, from 0.",
        "is_leader": "Whether the replica leads the partition.",
        "is_observer": "Whether the replica is an observer. Open Kafka has none.",
        "is_isr_eligible": "Whether the replica may be in the set of in-sync replicas.",
        "is_in_isr": "Whether the replica is in the set of in-sync replicas.",
        "is_caught_up": "Whether the replica has all records that the leader had.",
        "link_name": "The cluster link of a mirror topic.",
    },
)
class ReplicaStatus(core_replica_status.ReplicaStatus):
    """A status."""

    log_start_offset: BigInt = strawberry.field(description="The first offset of its log; -1 if it is not known.")
    log_end_offset: BigInt = strawberry.field(description="The next offset of its log; -1 if it is not known.")
    last_caught_up_time_ms: BigInt = strawberry.field(
        description="When the gateway last saw it caught up, in milliseconds since 1970; -1 if it did not."
    )
    last_fetch_time_ms: BigInt = strawberry.field(
        description="When it last fetched, in milliseconds since 1970; -1 for followers, as Kafka does not tell it."
    )

    @field(graphql_type=link("clusters.Broker"), description="The broker; null if it is not alive.")
    async def broker(self, info: Info) -> core_clusters.Broker | None:
        return await info.context.loaders.broker(self.cluster_id, self.broker_id)
