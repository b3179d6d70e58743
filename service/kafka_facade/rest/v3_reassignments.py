"""v3: reassignments of partitions that are going on."""

from __future__ import annotations

from kafka_facade.core.links import REASSIGNMENT
from kafka_facade.core.reassignments.model import GetReassignment, ListReassignments, ListTopicReassignments
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.v3_responses import list_response, resource_response


@route("api.v3.partition-reassignments.list")
async def list_reassignments(exchange: Exchange) -> Response:
    """All reassignments."""
    request = ListReassignments(**exchange.parameters)
    found = await exchange.run(request)
    return await list_response(exchange, REASSIGNMENT, found)


@route("api.v3.partition-reassignments.search-by-topic")
async def list_topic_reassignments(exchange: Exchange) -> Response:
    """The reassignments of a topic."""
    request = ListTopicReassignments(**exchange.parameters)
    found = await exchange.run(request)
    return await list_response(exchange, REASSIGNMENT, found)


@route("api.v3.partition-reassignments.get")
async def get_reassignment(exchange: Exchange) -> Response:
    """The reassignment of a partition."""
    parameters = exchange.parameters
    where = GetReassignment(parameters["cluster_id"], parameters["topic_name"], exchange.integer("partition_id"))
    return resource_response(exchange, await exchange.run(where))
