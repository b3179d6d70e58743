"""v3: topics, partitions and replicas."""

from __future__ import annotations

from typing import Any

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.quoting import quote
from kafka_facade.core.topics.model import (
    ConfigEntry,
    CreateTopic,
    GetPartitionOffsets,
    UpdatePartitionCount,
)
from kafka_facade.rest.bodies import BodyDecoder, Int32, Setting, StrictBody, setting_text
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import body_of, route
from kafka_facade.rest.v3_responses import created_response, resource_response

_OFFSET_TYPE = "earliest_and_latest"


class V3Config(StrictBody):
    """A config of a topic to create."""

    name: str
    value: Setting = None


class V3CreateTopic(StrictBody):
    """A topic to create."""

    topic_name: str
    partitions_count: Int32 | None = None
    replication_factor: Int32 | None = None
    replicas_assignments: dict[Int32, list[Int32]] | None = None
    configs: list[V3Config] | None = None
    validate_only: bool | None = None


class V3PartitionCount(StrictBody):
    """The number of partitions to have."""

    partitions_count: Int32


_create = BodyDecoder(V3CreateTopic)
_partition_count = BodyDecoder(V3PartitionCount)


@body_of(UpdatePartitionCount, fields=("partitions_count",))
def read_partition_count(body: bytes) -> dict[str, Any]:
    """The number of partitions to have."""
    return {"partitions_count": _partition_count.required(body).partitions_count}


@route("api.v3.topics.create")
async def create_topic(exchange: Exchange) -> Response:
    """Create a topic (201), or validate that it could be created (200)."""
    body = _create.required(await exchange.body())
    request = CreateTopic(
        exchange.parameters["cluster_id"],
        body.topic_name,
        body.partitions_count,
        body.replication_factor,
        body.replicas_assignments or {},
        [ConfigEntry(entry.name, setting_text(entry.value)) for entry in body.configs or ()],
        bool(body.validate_only),
    )
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
