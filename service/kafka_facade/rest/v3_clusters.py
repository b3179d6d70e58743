"""v3: clusters and brokers, and the replicas that a broker holds."""

from __future__ import annotations

from kafka_facade.core.clusters.model import GetBroker, GetCluster, ListBrokers, ListClusters
from kafka_facade.core.links import BROKER, CLUSTER, REPLICA
from kafka_facade.core.topics.model import ListBrokerReplicas
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.v3_responses import list_response, resource_response


@route("api.v3.clusters.list")
async def list_clusters(exchange: Exchange) -> Response:
    """The one cluster."""
    return await list_response(exchange, CLUSTER, await exchange.run(ListClusters()))


@route("api.v3.clusters.get")
async def get_cluster(exchange: Exchange) -> Response:
    """A cluster by its id."""
    request = GetCluster(exchange.parameters["cluster_id"])
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.brokers.list")
async def list_brokers(exchange: Exchange) -> Response:
    """The brokers of a cluster."""
    request = ListBrokers(exchange.parameters["cluster_id"])
    return await list_response(exchange, BROKER, await exchange.run(request))


@route("api.v3.brokers.get")
async def get_broker(exchange: Exchange) -> Response:
    """A broker by its id."""
    request = GetBroker(exchange.parameters["cluster_id"], exchange.integer("broker_id"))
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.replicas.search-by-broker")
async def list_broker_replicas(exchange: Exchange) -> Response:
    """The replicas on a broker."""
    request = ListBrokerReplicas(exchange.parameters["cluster_id"], exchange.integer("broker_id"))
    return await list_response(exchange, REPLICA, await exchange.run(request))
