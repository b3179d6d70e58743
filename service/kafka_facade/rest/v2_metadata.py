"""v2: metadata of the gateway, brokers, topics and partitions."""

from __future__ import annotations

from typing import Any

from kafka_facade.core.clusters.model import ListBrokers
from kafka_facade.core.configs.model import ListTopicConfigs
from kafka_facade.core.server.model import GetServerInfo
from kafka_facade.core.topics.model import GetPartition, GetPartitionOffsets, ListPartitions, ListTopics, Partition
from kafka_facade.rest.bodies import BodyDecoder, Setting
from kafka_facade.rest.encoding import encode, encode_array
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route

# The v2 API's leader of a partition without one.
_NO_LEADER = -1

_anything = BodyDecoder(dict[str, Setting])


def _partition_document(partition: Partition) -> dict[str, Any]:
    return {
        "partition": partition.partition_id,
        "leader": _NO_LEADER if partition.leader_id is None else partition.leader_id,
        "replicas": [
            {"broker": replica.broker_id, "leader": replica.is_leader, "in_sync": replica.is_in_sync}
            for replica in partition.replicas
        ],
    }


@route("api.v2.root.get")
async def get_root(exchange: Exchange) -> Response:
    """An empty object."""
    return await _root(exchange)


@route("api.v2.root.post")
async def post_root(exchange: Exchange) -> Response:
    """An empty object; the request may have any flat object."""
    _anything.optional(await exchange.body())
    return await _root(exchange)


async def _root(exchange: Exchange) -> Response:
    await exchange.run(GetServerInfo())
    return Response(body=b"{}")


@route("api.v2.brokers.list")
async def list_brokers(exchange: Exchange) -> Response:
    """``{"brokers": [ids]}``."""
    brokers = await exchange.run(ListBrokers(None))
    return Response(body=encode({"brokers": [broker.broker_id for broker in brokers]}))


@route("api.v2.topics.list")
async def list_topics(exchange: Exchange) -> Response:
    """The names of all topics."""
    topics = await exchange.run(ListTopics(None))
    return Response(body=encode([topic.topic_name for topic in topics]))


@route("api.v2.topics.get")
async def get_topic(exchange: Exchange) -> Response:
    """Name, configs and partitions of a topic."""
    name = exchange.parameters["topic"]
    call = exchange.renewed_call()
    partitions = await exchange.core.perform(call, ListPartitions(None, name))
    configs = await exchange.core.perform(call, ListTopicConfigs(None, name))
    head = encode({"name": name, "configs": {config.name: config.value for config in configs}})
    return Response(body=await encode_array(partitions, _partition_document, head[:-1] + b',"partitions":', b"}"))


@route("api.v2.partitions.list")
async def list_partitions(exchange: Exchange) -> Response:
    """The partitions of a topic."""
    request = ListPartitions(None, exchange.parameters["topic"])
    partitions = await exchange.run(request)
    return Response(body=await encode_array(partitions, _partition_document))


@route("api.v2.partitions.get")
async def get_partition(exchange: Exchange) -> Response:
    """One partition."""
    request = GetPartition(None, exchange.parameters["topic"], exchange.integer("partition"))
    partition = await exchange.run(request)
    return Response(body=encode(_partition_document(partition)))


@route("api.v2.partitions.get-offsets")
async def get_offsets(exchange: Exchange) -> Response:
    """The first and the next offset of a partition."""
    request = GetPartitionOffsets(None, exchange.parameters["topic"], exchange.integer("partition"))
    offsets = await exchange.run(request)
    return Response(body=encode({"beginning_offset": offsets.earliest_offset, "end_offset": offsets.latest_offset}))
