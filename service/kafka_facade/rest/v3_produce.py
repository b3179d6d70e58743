"""v3: producing records, one request at a time or as a stream (reference: "Records (v3)")."""

from __future__ import annotations

from typing import Final

from kafka_facade.core.errors import FacadeError, InvalidPayload
from kafka_facade.core.records.model import StreamRecords
from kafka_facade.core.records.pump import send
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.json_stream import Document, JsonSplitter
from kafka_facade.rest.produce_stream import MAX_BATCH, RecordStream, answers_of
from kafka_facade.rest.record_decoding import Answer, encode_answers, named_cluster
from kafka_facade.rest.record_documents import decode_records

_NOTHING: Final = Response(200)
# Bytes that are split without checking the time slice.
_SMALL: Final = 8 * 1024


@route("api.v3.produce.produce-to-topic")
async def produce_records(exchange: Exchange) -> Response | None:
    """Answer each record of the body with a document, in order, while the body is still arriving."""
    cluster_id = named_cluster(exchange.parameters)
    exchange.connection.stream_body()
    splitter = JsonSplitter(exchange.options.max_body_bytes)
    documents, more = await _first_documents(exchange, splitter)
    if more:
        await RecordStream(exchange, splitter).run(documents)
        return None
    documents += splitter.finish()
    if len(documents) > MAX_BATCH:
        await RecordStream(exchange, splitter, complete=True).run(documents)
        return None
    if not documents and splitter.error is None:
        return empty_response(exchange)
    return await _produce_at_once(exchange, cluster_id, documents, splitter.error)


async def _first_documents(exchange: Exchange, splitter: JsonSplitter) -> tuple[list[Document], bool]:
    data, more = await exchange.read()
    if len(data) > _SMALL:
        await time_slice()
    return splitter.feed(data), more


def empty_response(exchange: Exchange) -> Response:
    """Return the response to a body without records: empty, or InvalidPayload if there was no content type either."""
    if b"content-type" not in exchange.connection.headers:
        raise InvalidPayload
    return _NOTHING


async def _produce_at_once(
    exchange: Exchange, cluster_id: str, documents: list[Document], failure: FacadeError | None
) -> Response:
    """Fast path for a complete body with few records, without a task or a queue."""
    answers: list[Answer] = []
    if documents:
        call = exchange.renewed_call()
        decoded = await decode_records(documents, call.remaining, exchange.core)
        # The cluster of the path is not checked (see named_cluster).
        request = StreamRecords(None, exchange.parameters["topic_name"], decoded.records)
        batch = await send(exchange.core, None, call, request)
        answers = await answers_of(batch)
        failure = None if decoded.broken else failure
    if failure is not None:
        answers.append(failure)
    return Response(body=encode_answers(answers, cluster_id))
