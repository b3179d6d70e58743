"""v3: topics, partitions and replicas."""

from __future__ import annotations

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.quoting import quote
from kafka_facade.core.topics.model import CreateTopic, GetPartitionOffsets
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.request_bodies import RequestBody
from kafka_facade.rest.v3_responses import created_response, resource_response

_OFFSET_TYPE = "earliest_and_latest"


_create = RequestBody(CreateTopic, ("cluster_id",))


@route("api.v3.topics.create")
async def create_topic(exchange: Exchange) -> Response:
    """Create a topic (201), or validate that it could be created (200)."""
    request = CreateTopic(exchange.parameters["cluster_id"], **_create.read(await exchange.body()))
    topic = await exchange.run(request)
    return created_response(exchange, topic, created=not request.validate_only)


@route("api.v3.partitions.list.offsets")
async def get_offsets(exchange: Exchange) -> Response:
    """The earliest and the latest offset of a partition."""
    offset_type = exchange.query("offset_type")
    if offset_type is not None and offset_type.lower() != _OFFSET_TYPE:
        raise InvalidRequest(f"offset_type:{quote(offset_type)} is invalid", field="offset_type")
    parameters = exchange.parameters
    request = GetPartitionOffsets(parameters["cluster_id"], parameters["topic_name"], exchange.integer("partition_id"))
    return resource_response(exchange, await exchange.run(request))
