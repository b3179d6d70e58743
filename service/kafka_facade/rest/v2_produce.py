"""v2: producing to a topic or to one of its partitions. The body's media type names the embedded format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec import UNSET, Raw, Struct

from kafka_facade.core.errors import FacadeError, UnprocessableEntity
from kafka_facade.core.records.decoding_budget import JSON_ON_LOOP, weighs_more
from kafka_facade.core.records.model import (
    DeliverRecords,
    Delivery,
    Format,
    ProduceWithSchemas,
    RecordData,
    RecordToProduce,
    SchemaSelector,
)
from kafka_facade.core.records.schemas import SCHEMA_FORMATS
from kafka_facade.core.time_slices import in_slices, time_slice
from kafka_facade.rest.bodies import BodyDecoder, Int32, StrictBody, is_blank, plain_data
from kafka_facade.rest.encoding import encode
from kafka_facade.rest.errors import error_message
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.record_decoding import reported_offset
from kafka_facade.rest.v2_records import PIECE_BYTES, split

_NOT_RETRIABLE, _RETRIABLE = 1, 2
_FEW = 200

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


class V2Record(StrictBody):
    """A record of a v2 produce request. An omitted value is null, even with a schema."""

    key: Any = None
    value: Any = UNSET
    partition: Int32 | None = None


class V2Produce(StrictBody):
    """A v2 produce request; the schema members matter to formats with schemas only."""

    records: list[V2Record] | None = None
    key_schema: str | None = None
    key_schema_id: Int32 | None = None
    value_schema: str | None = None
    value_schema_id: Int32 | None = None


_decoder = BodyDecoder(V2Produce)
_record_decoder = BodyDecoder(V2Record)


class _Offset(Struct, gc=False):
    partition: int | None
    offset: int | None
    error_code: int | None = None
    error: str | None = None


class _Offsets(Struct):
    offsets: list[_Offset]
    key_schema_id: int | None = None
    value_schema_id: int | None = None


@route("api.v2.produce-to-topic.binary", "api.v2.produce-to-partition.binary")
async def produce_binary(exchange: Exchange) -> Response:
    """Produce keys and values given in base64."""
    return await _produce(exchange, Format.BINARY)


@route("api.v2.produce-to-topic.json", "api.v2.produce-to-partition.json")
async def produce_json(exchange: Exchange) -> Response:
    """Produce keys and values given as JSON."""
    return await _produce(exchange, Format.JSON)


@route("api.v2.produce-to-topic.avro", "api.v2.produce-to-partition.avro")
async def produce_avro(exchange: Exchange) -> Response:
    """Produce keys and values given in Avro's JSON encoding."""
    return await _produce(exchange, Format.AVRO)


@route("api.v2.produce-to-topic.json-schema", "api.v2.produce-to-partition.json-schema")
async def produce_json_schema(exchange: Exchange) -> Response:
    """Produce keys and values given as JSON, which a schema checks."""
    return await _produce(exchange, Format.JSONSCHEMA)


@route("api.v2.produce-to-topic.protobuf", "api.v2.produce-to-partition.protobuf")
async def produce_protobuf(exchange: Exchange) -> Response:
    """Produce keys and values given in Protobuf's JSON mapping."""
    return await _produce(exchange, Format.PROTOBUF)


async def _produce(exchange: Exchange, format: Format) -> Response:
    partition = exchange.integer("partition") if "partition" in exchange.parameters else None
    body = await exchange.body()
    if is_blank(body):
        raise UnprocessableEntity("The request body must not be empty.")
    if weighs_more(body, JSON_ON_LOOP) and (found := await split(body)) is not None:
        given, records = await _read_one_by_one(exchange, format, partition, *found)
    else:
        given = await exchange.core.read_json(_decoder.decode, body, exchange.renewed_call().remaining)
        selector = _selector(given.value_schema_id, given.value_schema)
        records = await _records(format, given.records or [], selector, partition)
    if not records:
        raise UnprocessableEntity("records must not be empty.", field="records")
    value_selector = _selector(given.value_schema_id, given.value_schema)
    topic = exchange.parameters["topic"]
    if format in SCHEMA_FORMATS:
        with_schemas = ProduceWithSchemas(
            topic,
            format,
            records,
            _selector(given.key_schema_id, given.key_schema),
            value_selector,
        )
        outcomes, ids = await exchange.run(with_schemas)
        offsets = _Offsets(await _each(_offset, outcomes), ids.key_schema_id, ids.value_schema_id)
        return Response(body=encode(offsets))
    request = DeliverRecords(None, topic, records, all_or_nothing=True)
    outcomes = await exchange.run(request)
    return Response(body=encode(_Offsets(await _each(_offset, outcomes))))


async def _records(
    format: Format, given: list[V2Record], selector: SchemaSelector | None, partition: int | None
) -> list[RecordToProduce]:
    """Convert records, in time slices if there are many."""
    records: list[RecordToProduce] = []
    for start in range(0, len(given), _FEW):
        if start:
            await time_slice()
        records += [_record(format, record, selector, partition) for record in given[start : start + _FEW]]
    return records


async def _each(make: Callable[[_Item], _Made], items: Sequence[_Item]) -> list[_Made]:
    """Apply ``make`` to each item, in time slices if there are many."""
    return await in_slices(make, items) if len(items) > _FEW else list(map(make, items))


async def _read_one_by_one(
    exchange: Exchange, format: Format, partition: int | None, rest: bytes, texts: list[bytes | memoryview]
) -> tuple[V2Produce, list[RecordToProduce]]:
    """Decode the result of :func:`split` one record at a time, keeping only the JSON of their data."""
    seconds = exchange.renewed_call().remaining
    given = await exchange.core.read_json(_decoder.decode, rest, seconds)
    selector = _selector(given.value_schema_id, given.value_schema)
    records: list[RecordToProduce] = []
    size = 0

    def read(text: bytes | memoryview) -> RecordToProduce:
        try:
            record = _record_decoder.decode(text)
        except FacadeError:
            # Decode again at the record's index, so that the error has the right path.
            _decoder.decode(b'{"records":[' + b"{}," * len(records) + text + b"]}")
            raise
        made = _record(format, record, selector, partition)
        if format is not Format.BINARY:
            for data in (made.key, made.value):
                if data is not None and data.data is not None:
                    encoded = encode(data.data)
                    data.data = encoded if format is Format.JSON else Raw(encoded)
        return made

    for text in texts:
        size += len(text)
        if size > PIECE_BYTES:
            size = 0
            await time_slice()
        large = len(text) > PIECE_BYTES
        records.append(await exchange.core.read_json(read, text, seconds) if large else read(text))
    return given, records


def _record(
    format: Format, record: V2Record, selector: SchemaSelector | None, partition: int | None
) -> RecordToProduce:
    value = record.value
    # An explicit null is encoded with the schema, which may reject it.
    empty = value is UNSET or (value is None and selector is None)
    return RecordToProduce(
        None if record.key is None else _data(format, record.key),
        None if empty else _data(format, value),
        partition if record.partition is None else record.partition,
    )


def _selector(schema_id: int | None, schema: str | None) -> SchemaSelector | None:
    return None if schema_id is None and schema is None else SchemaSelector(schema_id=schema_id, schema=schema)


def _data(format: Format, data: object) -> RecordData:
    if format is Format.BINARY and not isinstance(data, str):
        data = plain_data(data)
    return RecordData(format, data)


def _offset(outcome: Delivery | FacadeError) -> _Offset:
    if isinstance(outcome, FacadeError):
        code = _RETRIABLE if outcome.codes.retriable else _NOT_RETRIABLE
        return _Offset(None, None, code, error_message(outcome, 2))
    return _Offset(outcome.partition, reported_offset(outcome.offset))
