"""v3: consumer groups, consumers, assignments and lags."""

from __future__ import annotations

from kafka_facade.core.groups.model import (
    GetConsumer,
    GetConsumerAssignment,
    GetConsumerGroup,
    GetConsumerLag,
    GetLagSummary,
    ListConsumerAssignments,
    ListConsumerGroups,
    ListConsumerLags,
    ListConsumers,
)
from kafka_facade.core.links import CONSUMER, CONSUMER_ASSIGNMENT, CONSUMER_GROUP, CONSUMER_LAG
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.v3_responses import list_response, resource_response


@route("api.v3.consumer-groups.list")
async def list_groups(exchange: Exchange) -> Response:
    """The consumer groups of a cluster."""
    request = ListConsumerGroups(**exchange.parameters)
    return await list_response(exchange, CONSUMER_GROUP, await exchange.run(request))


@route("api.v3.consumer-groups.get")
async def get_group(exchange: Exchange) -> Response:
    """A consumer group by its id."""
    request = GetConsumerGroup(**exchange.parameters)
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.consumers.list")
async def list_consumers(exchange: Exchange) -> Response:
    """The consumers of a group."""
    request = ListConsumers(**exchange.parameters)
    return await list_response(exchange, CONSUMER, await exchange.run(request))


@route("api.v3.consumers.get")
async def get_consumer(exchange: Exchange) -> Response:
    """A consumer by its id."""
    request = GetConsumer(**exchange.parameters)
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.consumer-assignments.list")
async def list_assignments(exchange: Exchange) -> Response:
    """The partitions that a consumer reads."""
    request = ListConsumerAssignments(**exchange.parameters)
    assignments = await exchange.run(request)
    return await list_response(exchange, CONSUMER_ASSIGNMENT, assignments)


@route("api.v3.consumer-assignments.get")
async def get_assignment(exchange: Exchange) -> Response:
    """A partition that a consumer reads."""
    parameters = exchange.parameters
    request = GetConsumerAssignment(
        parameters["cluster_id"],
        parameters["consumer_group_id"],
        parameters["consumer_id"],
        parameters["topic_name"],
        exchange.integer("partition_id"),
    )
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.consumer-group-lag-summary.get")
async def get_lag_summary(exchange: Exchange) -> Response:
    """The largest and the total lag of a group."""
    request = GetLagSummary(**exchange.parameters)
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.consumer-lags.list")
async def list_lags(exchange: Exchange) -> Response:
    """How far a group is behind in each partition."""
    request = ListConsumerLags(**exchange.parameters)
    return await list_response(exchange, CONSUMER_LAG, await exchange.run(request))


@route("api.v3.consumer-lags.get")
async def get_lag(exchange: Exchange) -> Response:
    """How far a group is behind in one partition."""
    parameters = exchange.parameters
    request = GetConsumerLag(
        parameters["cluster_id"],
        parameters["consumer_group_id"],
        parameters["topic_name"],
        exchange.integer("partition_id"),
    )
    return resource_response(exchange, await exchange.run(request))
