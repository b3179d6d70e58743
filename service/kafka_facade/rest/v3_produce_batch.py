"""v3: producing a batch of records that are identified by ids (``records:batch``)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kafka_facade.core.errors import InvalidBatch, InvalidRequest
from kafka_facade.core.limits import PRODUCED_RECORDS
from kafka_facade.core.records.model import BatchEntry, BatchProduceRecords, RecordReport
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.bodies import BodyDecoder, StrictBody, is_blank
from kafka_facade.rest.encoding import encode, timestamp_text
from kafka_facade.rest.errors import error_body
from kafka_facade.rest.exchange import Exchange, Response
from kafka_facade.rest.handlers import route
from kafka_facade.rest.record_decoding import (
    ReportedData,
    ReportedSchemaData,
    V3Record,
    named_cluster,
    record_of,
    reported,
    reported_offset,
)

_MULTI_STATUS = 207
# Number of entries to convert before yielding to the event loop.
_AT_ONCE = 100


class V3BatchEntry(V3Record):
    """A record of a batch; ``id`` is validated separately, because numbers must not be accepted as strings."""

    id: Any = msgspec.UNSET


class V3Batch(StrictBody):
    """Records with ids."""

    entries: list[V3BatchEntry] | None = None


_decoder = BodyDecoder(V3Batch)


class _Success(Struct, gc=False):
    id: str
    cluster_id: str
    topic_name: str
    partition_id: int
    offset: int
    timestamp: str | None
    key: ReportedData | ReportedSchemaData | UnsetType = UNSET
    value: ReportedData | ReportedSchemaData | UnsetType = UNSET


class _Failure(Struct, gc=False):
    id: str
    error_code: int
    message: str


class _Answer(Struct):
    successes: list[_Success]
    failures: list[_Failure]


@route("api.v3.batch-produce.produce-to-topic")
async def produce_batch(exchange: Exchange) -> Response:
    """Produce the records, and return successes and failures. A malformed record fails the whole request."""
    cluster_id = named_cluster(exchange.parameters)
    body = await exchange.body()
    if is_blank(body):
        raise InvalidBatch("Request body is empty. Data is required.")
    given = await exchange.core.read_json(_decoder.decode, body, exchange.renewed_call().remaining)
    if len(given.entries or ()) > PRODUCED_RECORDS:
        # No batch may have so many: creating and freeing the entries would block the event loop.
        raise InvalidBatch("Too many entries in batch.", field="entries")
    entries = []
    for index, entry in enumerate(given.entries or ()):
        if index and not index % _AT_ONCE:
            await time_slice()
        entries.append(_entry(index, entry))
    request = BatchProduceRecords(None, exchange.parameters["topic_name"], entries)
    report = await exchange.run(request)
    failures = []
    for id, error in report.failures:
        said = error_body(error, 3)
        failures.append(_Failure(id, said.error_code, said.message))
    answer = _Answer([_success(id, cluster_id, found) for id, found in report.successes], failures)
    return Response(_MULTI_STATUS, encode(answer))


def _entry(index: int, given: V3BatchEntry) -> BatchEntry:
    id: Any = given.id
    place = f"entries[{index}]"
    if id is UNSET:
        raise InvalidRequest("Missing required field: id", field=f"{place}.id")
    try:
        record = record_of(given)
    except InvalidRequest as error:
        raise error.within(place) from None
    # Reject numbers as ids, because the answer would contain them as strings.
    return BatchEntry(id if isinstance(id, str) else "", record)


def _success(id: str, cluster_id: str, found: RecordReport) -> _Success:
    return _Success(
        id,
        cluster_id,
        found.topic_name,
        found.partition_id,
        reported_offset(found.offset),
        timestamp_text(found.timestamp),
        UNSET if found.key is None else reported(found.key),
        UNSET if found.value is None else reported(found.value),
    )
