"""Clusters and brokers (reference: "Cluster (v3)", "Broker (v3)", v2 "Brokers")."""

from __future__ import annotations

from kafka_facade.core.call import Call
from kafka_facade.core.clusters.model import (
    Broker,
    BrokerUnregistration,
    Cluster,
    ClusterCells,
    ClusterDescription,
    DescribeCluster,
    GetBroker,
    GetCluster,
    ListBrokers,
    ListCells,
    ListClusters,
    UnregisterBroker,
)
from kafka_facade.core.errors import BrokerNotRegistered, InvalidRequest, NotFound
from kafka_facade.core.registry import also_answers, implements


class Clusters:
    """Operations on clusters and brokers."""

    @also_answers("api.v3.clusters.list", "api.v3.clusters.get", "api.v3.brokers.list", "api.v3.brokers.get")
    async def describe_cluster(self, call: Call, request: DescribeCluster) -> ClusterDescription:
        """The cluster with its brokers; ClusterNotFound."""
        await call.kafka.cluster.check(request.cluster_id, call)
        return ClusterDescription(*await call.kafka.admin.describe_cluster(call.remaining))

    @implements("api.v3.clusters.list")
    async def list_clusters(self, call: Call, request: ListClusters) -> list[Cluster]:
        """All clusters: the one behind the gateway."""
        cluster, _ = await call.kafka.admin.describe_cluster(call.remaining)
        return [cluster]

    @implements("api.v3.clusters.get")
    async def get_cluster(self, call: Call, request: GetCluster) -> Cluster:
        """The cluster; NotFound if it is not this one."""
        cluster, _ = await call.kafka.admin.describe_cluster(call.remaining)
        if request.cluster_id is not None and cluster.cluster_id != request.cluster_id:
            raise NotFound(cluster_id=request.cluster_id)
        return cluster

    @implements("api.v3.cells.list")
    async def list_cells(self, call: Call, request: ListCells) -> ClusterCells:
        """The cells of the cluster: none, because open Kafka does not have cells."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        return ClusterCells(cluster_id, cells=[], cells_enabled=False)

    @implements("api.v3.brokers.list", "api.v2.brokers.list")
    async def list_brokers(self, call: Call, request: ListBrokers) -> list[Broker]:
        """The live brokers, ordered by id."""
        await call.kafka.cluster.check(request.cluster_id, call)
        _, brokers = await call.kafka.admin.describe_cluster(call.remaining)
        return brokers

    @implements("api.v3.brokers.get")
    async def get_broker(self, call: Call, request: GetBroker) -> Broker:
        """A live broker; NotFound otherwise."""
        for broker in await self.list_brokers(call, ListBrokers(request.cluster_id)):
            if broker.broker_id == request.broker_id:
                return broker
        raise NotFound(broker_id=str(request.broker_id))

    @implements("api.v3.brokers.unregister")
    async def unregister_broker(self, call: Call, request: UnregisterBroker) -> BrokerUnregistration:
        """Remove a stopped broker from the registry; BrokerNotRegistered, InvalidRequest while it is running.

        Kafka itself would unregister a running broker too. A broker may be removed although partitions still have
        replicas on it, because its machine may be lost.
        """
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        broker_id = request.broker_id
        known = await call.kafka.brokers.registrations(call.remaining)
        if known.alive.get(broker_id):
            raise InvalidRequest(f"Broker {broker_id} is running; stop it first.", broker_id=str(broker_id))
        if known.is_complete and broker_id not in known.alive:
            raise BrokerNotRegistered(BrokerNotRegistered.default_message, broker_id=str(broker_id))
        await call.kafka.brokers.unregister(broker_id, call.remaining)
        return BrokerUnregistration(cluster_id, broker_id)
