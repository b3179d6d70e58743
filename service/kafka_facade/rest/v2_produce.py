"""v2: producing to a topic or to one of its partitions. The body's media type names the embedded format."""

from __future__ import annotations

from msgspec import Struct

from kafka_facade.core.errors import FacadeError, UnprocessableEntity
from kafka_facade.core.requests import ProduceRecords, RecordData, RecordToProduce
from kafka_facade.core.resources import Format, RecordReport
from kafka_facade.rest.bodies import BodyDecoder, V2Produce, plain_data
from kafka_facade.rest.encoding import encode
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route

_NOT_RETRIABLE, _RETRIABLE = 1, 2

_decoder = BodyDecoder(V2Produce)


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


async def _produce(exchange: Exchange, format: Format) -> Response:
    partition = exchange.integer("partition") if "partition" in exchange.parameters else None
    body = _decoder.optional(await exchange.body())
    if body is None:
        raise UnprocessableEntity("The request body must not be empty.")
    if not body.records:
        raise UnprocessableEntity("records must not be empty.", field="records")
    records = [
        RecordToProduce(
            _data(format, record.key),
            _data(format, record.value),
            partition if record.partition is None else record.partition,
        )
        for record in body.records
    ]
    request = ProduceRecords(None, exchange.parameters["topic"], records, all_or_nothing=True)
    outcomes = await exchange.run(exchange.facade.produce.produce, request)
    return Response(body=encode(_Offsets([_offset(outcome) for outcome in outcomes])))


def _data(format: Format, data: object) -> RecordData | None:
    if data is None:
        return None
    if format is not Format.JSON and not isinstance(data, str):
        data = plain_data(data)
    return RecordData(format, data)


def _offset(outcome: RecordReport | FacadeError) -> _Offset:
    if isinstance(outcome, FacadeError):
        code = _RETRIABLE if outcome.row.retriable else _NOT_RETRIABLE
        return _Offset(None, None, code, outcome.rest_message(2))
    return _Offset(outcome.partition_id, outcome.offset)
