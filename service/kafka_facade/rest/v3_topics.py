"""v3: topics, partitions and replicas."""

from __future__ import annotations

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.links import PARTITION, REPLICA, TOPIC
from kafka_facade.core.quoting import quote
from kafka_facade.core.topics.model import (
    ConfigEntry,
    CreateTopic,
    DeleteTopic,
    GetPartition,
    GetPartitionOffsets,
    GetReplica,
    GetTopic,
    ListPartitions,
    ListReplicas,
    ListTopics,
    UpdatePartitionCount,
)
from kafka_facade.rest.bodies import BodyDecoder, Int32, Setting, StrictBody, setting_text
from kafka_facade.rest.exchange import NO_CONTENT, Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.v3_responses import created_response, list_response, resource_response

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


def _wants_authorized_operations(exchange: Exchange) -> bool:
    return (exchange.query("include_authorized_operations") or "").lower() == "true"


def _partition(exchange: Exchange) -> tuple[str, str, int]:
    parameters = exchange.parameters
    return parameters["cluster_id"], parameters["topic_name"], exchange.integer("partition_id")


@route("api.v3.topics.list")
async def list_topics(exchange: Exchange) -> Response:
    """The topics of a cluster."""
    request = ListTopics(exchange.parameters["cluster_id"], _wants_authorized_operations(exchange))
    return await list_response(exchange, TOPIC, await exchange.run(request))


@route("api.v3.topics.get")
async def get_topic(exchange: Exchange) -> Response:
    """A topic by its name."""
    parameters = exchange.parameters
    request = GetTopic(parameters["cluster_id"], parameters["topic_name"], _wants_authorized_operations(exchange))
    return resource_response(exchange, await exchange.run(request))


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


@route("api.v3.topics.delete")
async def delete_topic(exchange: Exchange) -> Response:
    """Delete a topic."""
    request = DeleteTopic(exchange.parameters["cluster_id"], exchange.parameters["topic_name"])
    await exchange.run(request)
    return NO_CONTENT


@route("api.v3.topics.partitions")
async def update_partition_count(exchange: Exchange) -> Response:
    """Give a topic more partitions."""
    body = _partition_count.required(await exchange.body())
    parameters = exchange.parameters
    request = UpdatePartitionCount(parameters["cluster_id"], parameters["topic_name"], body.partitions_count)
    return resource_response(exchange, await exchange.run(request))


@route("api.v3.partitions.list")
async def list_partitions(exchange: Exchange) -> Response:
    """The partitions of a topic."""
    request = ListPartitions(exchange.parameters["cluster_id"], exchange.parameters["topic_name"])
    return await list_response(exchange, PARTITION, await exchange.run(request))


@route("api.v3.partitions.get")
async def get_partition(exchange: Exchange) -> Response:
    """A partition by its number."""
    return resource_response(exchange, await exchange.run(GetPartition(*_partition(exchange))))


@route("api.v3.partitions.list.offsets")
async def get_offsets(exchange: Exchange) -> Response:
    """The earliest and the latest offset of a partition."""
    offset_type = exchange.query("offset_type")
    if offset_type is not None and offset_type.lower() != _OFFSET_TYPE:
        raise InvalidRequest(f"offset_type:{quote(offset_type)} is invalid", field="offset_type")
    return resource_response(exchange, await exchange.run(GetPartitionOffsets(*_partition(exchange))))


@route("api.v3.replicas.list")
async def list_replicas(exchange: Exchange) -> Response:
    """The replicas of a partition."""
    replicas = await exchange.run(ListReplicas(*_partition(exchange)))
    return await list_response(exchange, REPLICA, replicas)


@route("api.v3.replicas.get")
async def get_replica(exchange: Exchange) -> Response:
    """The replica of a partition on a broker."""
    request = GetReplica(*_partition(exchange), exchange.integer("broker_id"))
    return resource_response(exchange, await exchange.run(request))
