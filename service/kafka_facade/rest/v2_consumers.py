"""v2: consumer instances."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import quote

from msgspec import Struct

from kafka_facade.core.errors import UnprocessableEntity
from kafka_facade.core.instances.model import (
    AssignConsumer,
    CommitOffsets,
    ConsumerRef,
    CreateConsumer,
    DeleteConsumer,
    FetchRecords,
    GetAssignments,
    GetCommittedOffsets,
    GetConsumerInstance,
    GetSubscription,
    SeekConsumer,
    SeekToBeginning,
    SeekToEnd,
    SubscribeConsumer,
    Unsubscribe,
)
from kafka_facade.core.records.long_values import marked
from kafka_facade.core.records.model import FetchedRecord, Format
from kafka_facade.core.records.sizes import stored_bytes
from kafka_facade.core.topics.positions import PartitionPosition, PartitionTime, TopicPartition
from kafka_facade.rest import sending
from kafka_facade.rest.bodies import BodyDecoder, setting_text
from kafka_facade.rest.encoding import encode, encode_array
from kafka_facade.rest.exchange import NO_CONTENT, Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.record_decoding import moment
from kafka_facade.rest.v2_consumer_bodies import (
    V2CreateConsumer,
    V2Offset,
    V2Offsets,
    V2Partitions,
    V2Positions,
    V2Subscription,
)
from kafka_facade.web.body import ClientDisconnected

_create = BodyDecoder(V2CreateConsumer)
_subscription = BodyDecoder(V2Subscription)
_partitions = BodyDecoder(V2Partitions)
_offsets = BodyDecoder(V2Offsets)
_to_seek = BodyDecoder(V2Positions)


class _Record(Struct, gc=False):
    topic: str
    key: object
    value: object
    partition: int
    offset: int


def _reference(exchange: Exchange) -> ConsumerRef:
    return ConsumerRef(exchange.parameters["group"], exchange.parameters["instance"])


@route("api.v2.consumers.create")
async def create(exchange: Exchange) -> Response:
    """Create an instance; without a body one with the default settings."""
    body = _create.optional(await exchange.body()) or V2CreateConsumer()
    request = CreateConsumer(
        exchange.parameters["group"],
        body.name if body.id is None else body.id,
        body.format,
        setting_text(body.auto_offset_reset),
        setting_text(body.auto_commit_enable),
        setting_text(body.response_min_bytes if body.fetch_min_bytes is None else body.fetch_min_bytes),
        setting_text(body.request_wait_ms if body.request_timeout_ms is None else body.request_timeout_ms),
    )
    instance = await exchange.run(request)
    path = f"/consumers/{quote(instance.group, safe='')}/instances/{quote(instance.instance_id, safe='')}"
    document = {"instance_id": instance.instance_id, "base_uri": exchange.origin + path}
    return Response(body=encode(document))


@route("api.v2.consumers.delete")
async def delete(exchange: Exchange) -> Response:
    """Close an instance."""
    await exchange.run(DeleteConsumer(**exchange.parameters))
    return NO_CONTENT


@route("api.v2.consumers.subscribe")
async def subscribe(exchange: Exchange) -> Response:
    """Subscribe to topics or to a pattern; a body that names neither changes nothing."""
    body = _subscription.optional(await exchange.body())
    if body is None:
        raise UnprocessableEntity("The request body must not be empty.")
    where = _reference(exchange)
    if body.topics is None and body.topic_pattern is None:
        await exchange.run(GetConsumerInstance(where.group, where.instance))
        return NO_CONTENT
    request = SubscribeConsumer(where.group, where.instance, body.topics or [], body.topic_pattern)
    await exchange.run(request)
    return NO_CONTENT


@route("api.v2.consumers.get-subscription")
async def get_subscription(exchange: Exchange) -> Response:
    """``{"topics": [names]}``."""
    topics = await exchange.run(GetSubscription(**exchange.parameters))
    return Response(body=encode({"topics": topics}))


@route("api.v2.consumers.unsubscribe")
async def unsubscribe(exchange: Exchange) -> Response:
    """Drop the subscription."""
    await exchange.run(Unsubscribe(**exchange.parameters))
    return NO_CONTENT


@route("api.v2.consumers.assign")
async def assign(exchange: Exchange) -> Response:
    """Assign partitions by hand."""
    where = _reference(exchange)
    request = AssignConsumer(where.group, where.instance, await _partitions_of(exchange))
    await exchange.run(request)
    return NO_CONTENT


@route("api.v2.consumers.get-assignments")
async def get_assignments(exchange: Exchange) -> Response:
    """``{"partitions": [{"topic", "partition"}]}``."""
    partitions = await exchange.run(GetAssignments(**exchange.parameters))
    return Response(body=encode({"partitions": partitions}))


@route("api.v2.consumers.consume-binary")
async def consume_binary(exchange: Exchange) -> None:
    """Records with keys and values in base64."""
    await _consume(exchange, Format.BINARY)


@route("api.v2.consumers.consume-json")
async def consume_json(exchange: Exchange) -> None:
    """Records with keys and values as JSON."""
    await _consume(exchange, Format.JSON)


@route("api.v2.consumers.consume-avro")
async def consume_avro(exchange: Exchange) -> None:
    """Records with keys and values in Avro's JSON encoding."""
    await _consume(exchange, Format.AVRO)


@route("api.v2.consumers.consume-json-schema")
async def consume_json_schema(exchange: Exchange) -> None:
    """Records with keys and values as JSON that has a schema."""
    await _consume(exchange, Format.JSONSCHEMA)


@route("api.v2.consumers.consume-protobuf")
async def consume_protobuf(exchange: Exchange) -> None:
    """Records with keys and values in Protobuf's JSON mapping."""
    await _consume(exchange, Format.PROTOBUF)


async def _consume(exchange: Exchange, format: Format) -> None:
    where = _reference(exchange)
    timeout, max_bytes = exchange.query_integer("timeout"), exchange.query_integer("max_bytes")
    if max_bytes is not None and max_bytes <= 0:
        # As in the official proxy, values of 0 or less mean no limit, like timeouts of 0 or less.
        max_bytes = None
    request = FetchRecords(where.group, where.instance, format, timeout, max_bytes)
    await exchange.body()
    taken = False

    async def hand_over(found: list[FetchedRecord]) -> None:
        nonlocal taken
        async with exchange.core.pipeline.overload.outgoing.hold(stored_bytes(found)):
            await sending.hand_over(exchange, Response(body=await encode_array(found, _record)))
        taken = True

    call = exchange.renewed_call()
    call.hand_over = hand_over
    fetch = asyncio.create_task(exchange.core.perform(call, request))
    gone = asyncio.create_task(exchange.connection.gone())
    try:
        await asyncio.wait({fetch, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not (fetch.done() or exchange.connection.started):
            raise ClientDisconnected
        await asyncio.wait({fetch})
        if not exchange.connection.started:
            fetch.result()
        if not taken:
            # The part that was sent must not look like the whole answer.
            raise asyncio.CancelledError
        await sending.end(exchange)
    finally:
        # Cancel the fetch if the caller disconnects; the next read returns its records.
        fetch.cancel()
        gone.cancel()
        await asyncio.gather(fetch, gone, return_exceptions=True)


def _record(fetched: FetchedRecord) -> _Record:
    record = fetched.record
    key, value = marked(fetched.key), marked(fetched.value)
    return _Record(record.topic_name, key, value, record.partition_id, record.offset)


@route("api.v2.consumers.commit-offsets")
async def commit(exchange: Exchange) -> Response:
    """Commit offsets, or without a body the current position of each partition."""
    body = _offsets.optional(await exchange.body())
    where = _reference(exchange)
    request = CommitOffsets(where.group, where.instance, None if body is None else _positions(body.offsets))
    await exchange.run(request)
    return Response(body=b"[]")


@route("api.v2.consumers.get-committed-offsets")
async def get_committed(exchange: Exchange) -> Response:
    """The committed offsets of the partitions in the body."""
    body = _partitions.optional(await exchange.body())
    where = _reference(exchange)
    request = GetCommittedOffsets(where.group, where.instance, [] if body is None else _topic_partitions(body))
    offsets = await exchange.run(request)
    return Response(body=encode({"offsets": offsets}))


@route("api.v2.consumers.seek-to-offset")
async def seek(exchange: Exchange) -> Response:
    """Seek to offsets and times."""
    body = _to_seek.optional(await exchange.body())
    if body is None:
        raise UnprocessableEntity("The request body must not be empty.")
    where = _reference(exchange)
    times = [PartitionTime(entry.topic, entry.partition, moment(entry.timestamp)) for entry in body.timestamps or ()]
    request = SeekConsumer(where.group, where.instance, _positions(body.offsets or ()), times)
    await exchange.run(request)
    return NO_CONTENT


@route("api.v2.consumers.seek-to-beginning")
async def seek_to_beginning(exchange: Exchange) -> Response:
    """Seek to the beginning of partitions."""
    where = _reference(exchange)
    request = SeekToBeginning(where.group, where.instance, await _partitions_of(exchange))
    await exchange.run(request)
    return NO_CONTENT


@route("api.v2.consumers.seek-to-end")
async def seek_to_end(exchange: Exchange) -> Response:
    """Seek to the end of partitions."""
    where = _reference(exchange)
    request = SeekToEnd(where.group, where.instance, await _partitions_of(exchange))
    await exchange.run(request)
    return NO_CONTENT


async def _partitions_of(exchange: Exchange) -> list[TopicPartition]:
    body = _partitions.optional(await exchange.body())
    if body is None:
        raise UnprocessableEntity("The request body must not be empty.")
    return _topic_partitions(body)


def _topic_partitions(body: V2Partitions) -> list[TopicPartition]:
    return [TopicPartition(entry.topic, entry.partition) for entry in body.partitions]


def _positions(offsets: Iterable[V2Offset]) -> list[PartitionPosition]:
    return [PartitionPosition(entry.topic, entry.partition, entry.offset, entry.metadata or "") for entry in offsets]
