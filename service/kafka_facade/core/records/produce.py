"""Producing records (reference: "Records (v3)", v2 "Topics" and "Partitions")."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from kafka_facade.core.call import Call
from kafka_facade.core.errors import (
    FacadeError,
    InvalidBatch,
    InvalidTopicName,
    KafkaAuthorizationFailed,
    KeySchemaMissing,
    PartitionNotFound,
    ValueSchemaMissing,
)
from kafka_facade.core.outcome import Usage
from kafka_facade.core.quoting import quote
from kafka_facade.core.records.model import (
    BatchEntry,
    BatchProduceRecords,
    BatchReport,
    DataReport,
    DeliverRecords,
    Delivery,
    Format,
    ProduceRecords,
    ProduceWithSchemas,
    RecordBatch,
    RecordData,
    RecordOrder,
    RecordReport,
    RecordToProduce,
    SchemaIds,
    SchemaSelector,
    StreamRecords,
)
from kafka_facade.core.records.port import ProducerPort, SerializedRecord, SubjectVersion
from kafka_facade.core.records.schemas import FailedLookups, Schemas
from kafka_facade.core.records.serialization import NotAtOnce, serialize
from kafka_facade.core.registry import also_answers, implements
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.operations import is_legal_topic_name

# Number of records processed before yielding to the event loop, and their bytes.
_RECORDS_A_SLICE = 200
_BYTES_A_SLICE = 256 * 1024
# Number of records handed to the producer at once.
_PORTION = 2_000
_ENTRY_ID = re.compile(r"[0-9A-Za-z_-]{1,80}")


class Produce:
    """Operations that produce."""

    def __init__(self, batch_max_entries: int, schemas: Schemas) -> None:
        self._batch_max_entries = batch_max_entries
        self._schemas = schemas

    @implements("api.v3.produce.produce-to-topic")
    async def produce(self, call: Call, request: ProduceRecords) -> list[RecordReport | FacadeError]:
        """Produce records and wait for the outcome; return one report or error per record, in order.

        TopicNotFound and ClusterNotFound fail the whole request.
        """
        return await (await self._enqueue(call, request, reported=True)).reports()

    @implements("api.facade.records.produce-stream")
    @also_answers("api.v3.produce.produce-to-topic")
    async def stream(self, call: Call, request: StreamRecords) -> PendingReports:
        """Hand records to the producer, in order, and return before they are acknowledged. Raises ClusterNotFound.

        Records of one topic that are handed over one after the other keep that order in their partition.
        """
        return await self._enqueue(call, request, reported=request.reported)

    @implements("api.v3.batch-produce.produce-to-topic")
    async def produce_batch(self, call: Call, request: BatchProduceRecords) -> BatchReport:
        """Produce records that are identified by ids; errors of single records are in the answer.

        Raises InvalidBatch for invalid or duplicate ids, no records or too many, and ClusterNotFound.
        """
        entries = request.entries
        await self._check_batch(entries)
        await call.kafka.cluster.check(request.cluster_id, call)
        records = [entry.record for entry in entries]
        outcomes: Sequence[RecordReport | FacadeError]
        try:
            outcomes = await self.produce(call, ProduceRecords(request.cluster_id, request.topic_name, records))
        except FacadeError as error:
            # Those that could not be read have their paths already.
            outcomes = [record if isinstance(record, FacadeError) else error for record in records]
        report = BatchReport([], [])
        for index, (entry, outcome) in enumerate(zip(entries, outcomes, strict=True)):
            if isinstance(outcome, FacadeError):
                placed = outcome.within(f"entries[{index}].record", instead_of=f"records[{index}]")
                report.failures.append((entry.id, placed))
            else:
                report.successes.append((entry.id, outcome))
        return report

    async def _check_batch(self, entries: Sequence[BatchEntry]) -> None:
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            if not index % _RECORDS_A_SLICE:
                await time_slice()
            if not _ENTRY_ID.fullmatch(entry.id):
                raise InvalidBatch("Batch entry identifier is not a valid string.", field=f"entries[{index}].id")
        for index, entry in enumerate(entries):
            if not index % _RECORDS_A_SLICE:
                await time_slice()
            if entry.id in seen:
                raise InvalidBatch("Batch entry IDs are not distinct.", field=f"entries[{index}].id")
            seen.add(entry.id)
        if not entries:
            raise InvalidBatch("Empty batch.", field="entries")
        if len(entries) > self._batch_max_entries:
            raise InvalidBatch("Too many entries in batch.", field="entries")

    @implements(
        "api.v2.produce-to-topic.binary",
        "api.v2.produce-to-topic.json",
        "api.v2.produce-to-partition.binary",
        "api.v2.produce-to-partition.json",
    )
    async def deliver(self, call: Call, request: DeliverRecords) -> list[Delivery | FacadeError]:
        """Like :meth:`produce`, but return only the position of each record, or its error."""
        return await (await self._enqueue(call, request, reported=False)).outcomes()

    @implements(
        "api.v2.produce-to-topic.avro",
        "api.v2.produce-to-topic.json-schema",
        "api.v2.produce-to-topic.protobuf",
        "api.v2.produce-to-partition.avro",
        "api.v2.produce-to-partition.json-schema",
        "api.v2.produce-to-partition.protobuf",
    )
    async def deliver_with_schemas(
        self, call: Call, request: ProduceWithSchemas
    ) -> tuple[list[Delivery | FacadeError], SchemaIds]:
        """The same for records that share their schemas; also return the schemas' ids.

        A record that violates its schema fails the request before any is sent, as do KeySchemaMissing,
        ValueSchemaMissing, InvalidSchema and SchemaLookupFailed.
        """
        topic, format = request.topic_name, request.format
        for record in request.records:
            if request.key_schema is None and record.key is not None and record.key.data is not None:
                raise KeySchemaMissing
            if request.value_schema is None and record.value is not None and record.value.data is not None:
                raise ValueSchemaMissing
        # Check the topic first, so that no schema is registered for one that does not exist.
        try:
            await self._partition_count(call, topic)
        except (InvalidTopicName, KafkaAuthorizationFailed) as refusal:
            return [refusal] * len(request.records), SchemaIds(None, None)
        key_id = await self._schemas.id_of(topic, "key", format, request.key_schema, call.remaining)
        value_id = await self._schemas.id_of(topic, "value", format, request.value_schema, call.remaining)
        records: list[RecordToProduce] = []
        for index, record in enumerate(request.records):
            if index and not index % _RECORDS_A_SLICE:
                await time_slice()
            key, value = _with_schema(record.key, request.key_schema), _with_schema(record.value, request.value_schema)
            records.append(RecordToProduce(key, value, record.partition_id, record.headers, record.timestamp))
        outcomes = await self.deliver(call, DeliverRecords(None, topic, records, all_or_nothing=True))
        return outcomes, SchemaIds(key_id, value_id)

    async def _enqueue(self, call: Call, request: RecordBatch, *, reported: bool) -> PendingReports:
        unread = {} if set(map(type, request.records)) <= {RecordToProduce} else await _unread(request)
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        topic = request.topic_name
        try:
            count = await self._partition_count(call, topic)
        except (InvalidTopicName, KafkaAuthorizationFailed) as refusal:
            # Fail each record, as if the producer had raised the error.
            refusals: dict[int, FacadeError] = dict.fromkeys(range(len(request.records)), refusal)
            return PendingReports(cluster_id, topic, len(request.records), refusals | unread)
        wire: list[SerializedRecord] = []
        errors = unread
        used: dict[int, UsedSchemas] = {}
        failed: FailedLookups = {}
        refreshed = False
        size = 0
        for start in range(0, len(request.records), _RECORDS_A_SLICE):
            if start:
                await time_slice()
            for index, record in enumerate(request.records[start : start + _RECORDS_A_SLICE], start):
                if isinstance(record, FacadeError):
                    continue
                partition = record.partition_id
                if partition is not None and partition >= count and not refreshed:
                    count = await call.kafka.producer.partition_count(topic, call.remaining, refresh=True)
                    refreshed = True
                try:
                    if partition is not None and not 0 <= partition < count:
                        raise PartitionNotFound(partition_id=str(partition), field="partition_id")
                    key, value = record.key, record.value
                    try:
                        stored = SerializedRecord(
                            None if key is None else serialize(key, "key"),
                            None if value is None else serialize(value, "value"),
                            partition,
                            record.headers,
                            record.timestamp,
                        )
                    except NotAtOnce:
                        stored, used[index] = await self._with_schemas(call, topic, record, failed)
                    wire.append(stored)
                    size += len(stored.key or b"") + len(stored.value or b"")
                    if size > _BYTES_A_SLICE:
                        size = 0
                        await time_slice()
                except FacadeError as error:
                    placed = error.within(f"records[{index}]")
                    if request.all_or_nothing:
                        raise placed from None
                    errors[index] = placed
        # What the answers need of the records, whose data is freed earlier.
        data = await _data_of(request.records, wire, errors, used) if reported else []
        sizes = None if call.usage is None else [len(stored.key or b"") + len(stored.value or b"") for stored in wire]
        deliveries = await _submit(call.kafka.producer, topic, wire, request.order) if wire else None
        return PendingReports(cluster_id, topic, len(request.records), errors, data, deliveries, sizes, call.usage)

    async def _partition_count(self, call: Call, topic: str) -> int:
        if not is_legal_topic_name(topic):
            raise InvalidTopicName(f"Invalid topics: [{quote(topic)}]", topic_name=topic, field="topic_name")
        producer = call.kafka.producer
        count = producer.cached_partition_count(topic)
        return await producer.partition_count(topic, call.remaining) if count is None else count

    async def _with_schemas(
        self, call: Call, topic: str, record: RecordToProduce, failed: FailedLookups
    ) -> tuple[SerializedRecord, UsedSchemas]:
        key, key_schema = await self._schemas.serialize(topic, "key", record.key, call.remaining, failed)
        value, value_schema = await self._schemas.serialize(topic, "value", record.value, call.remaining, failed)
        stored = SerializedRecord(key, value, record.partition_id, record.headers, record.timestamp)
        return stored, (key_schema, value_schema)


UsedSchemas = tuple[SubjectVersion | None, SubjectVersion | None]
"""The schemas used for a record's key and value."""

_NO_SCHEMAS: UsedSchemas = (None, None)


StoredData = tuple[DataReport | None, DataReport | None]
"""The reports on a record's key and value."""


class PendingReports(Struct):
    """``count`` in-flight records, which only the producer holds: those not in ``errors``, in order.

    ``data`` are the reports on what they store, if these are needed. ``usage`` is that of the call; it needs ``sizes``,
    the bytes of their keys and values.
    """

    cluster_id: str
    topic: str
    count: int
    errors: dict[int, FacadeError]
    data: list[StoredData] = []
    deliveries: asyncio.Future[list[Delivery | FacadeError]] | None = None
    sizes: list[int] | None = None
    usage: Usage | None = None

    @property
    def decided(self) -> bool:
        """Whether all of them are acknowledged or have failed."""
        return self.deliveries is None or self.deliveries.done()

    @property
    def invalid(self) -> int:
        """The number of records that were not sent."""
        return len(self.errors)

    def call_when_decided(self, callback: Callable[[], object]) -> None:
        """Call back once all of them are acknowledged or have failed."""
        if self.deliveries is None:
            callback()
        else:
            self.deliveries.add_done_callback(lambda _: callback())

    async def outcomes(self) -> list[Delivery | FacadeError]:
        """Wait until all records are acknowledged or have failed; return the outcome of each, in order."""
        decided = await self.deliveries if self.deliveries is not None else []
        if self.usage is not None and self.sizes is not None:
            for size, outcome in zip(self.sizes, decided, strict=True):
                if isinstance(outcome, Delivery):
                    self.usage.records += 1
                    self.usage.size += size
        if not self.errors and set(map(type, decided)) <= {Delivery}:
            return decided
        if self.errors:
            rest = iter(decided)
            decided = [self.errors[i] if i in self.errors else next(rest) for i in range(self.count)]
        for index, outcome in enumerate(decided):
            if index and not index % _RECORDS_A_SLICE:
                await time_slice()
            if isinstance(outcome, FacadeError) and index not in self.errors:
                decided[index] = outcome.within(f"records[{index}]")
        return decided

    async def reports(self) -> list[RecordReport | FacadeError]:
        """The same, with a report on the stored key and value of each record."""
        outcomes = await self.outcomes()
        stored = iter(self.data)
        reports: list[RecordReport | FacadeError] = []
        errors, cluster_id, topic = self.errors, self.cluster_id, self.topic
        for start in range(0, len(outcomes), _RECORDS_A_SLICE):
            if start:
                await time_slice()
            for index, outcome in enumerate(outcomes[start : start + _RECORDS_A_SLICE], start):
                if errors and index in errors:
                    reports.append(errors[index])
                    continue
                key, value = next(stored)
                if isinstance(outcome, FacadeError):
                    reports.append(outcome)
                    continue
                reports.append(
                    RecordReport(cluster_id, topic, outcome.partition, outcome.offset, outcome.timestamp, key, value)
                )
        return reports


async def _data_of(
    records: Sequence[RecordToProduce | FacadeError],
    wire: Sequence[SerializedRecord],
    errors: Mapping[int, FacadeError],
    used: Mapping[int, UsedSchemas],
) -> list[StoredData]:
    """Return the reports on what records store; ``wire`` has those that are not in ``errors``."""
    found: list[StoredData] = []
    rest = iter(wire)
    for start in range(0, len(records), _RECORDS_A_SLICE):
        if start:
            await time_slice()
        for index, record in enumerate(records[start : start + _RECORDS_A_SLICE], start):
            if isinstance(record, FacadeError) or (errors and index in errors):
                continue
            stored = next(rest)
            key_schema, value_schema = used.get(index, _NO_SCHEMAS) if used else _NO_SCHEMAS
            key = None if record.key is None else _report_data(record.key, stored.key, key_schema)
            value = None if record.value is None else _report_data(record.value, stored.value, value_schema)
            found.append((key, value))
    return found


async def _unread(request: RecordBatch) -> dict[int, FacadeError]:
    """The errors of records that could not be read, with their paths; the first is raised where all or none count."""
    unread: dict[int, FacadeError] = {}
    for index, record in enumerate(request.records):
        if index and not index % _RECORDS_A_SLICE:
            await time_slice()
        if isinstance(record, FacadeError):
            # Many copies would keep the garbage collector busy.
            record.move_within(f"records[{index}]")
            unread[index] = record
            if request.all_or_nothing:
                raise record
    return unread


async def _submit(
    producer: ProducerPort, topic: str, wire: list[SerializedRecord], order: RecordOrder | None
) -> asyncio.Future[list[Delivery | FacadeError]]:
    """Hand records to the producer, in portions if there are many, so that other requests can interleave."""
    if len(wire) <= _PORTION:
        return await producer.submit(topic, wire, order)
    order = order or RecordOrder()
    portions: list[asyncio.Future[list[Delivery | FacadeError]]] = []
    loop = asyncio.get_running_loop()
    try:
        while (start := len(portions) * _PORTION) < len(wire):
            await time_slice()
            portions.append(await producer.submit(topic, wire[start : start + _PORTION], order))
    except FacadeError as error:
        if not portions:
            raise
        # Earlier portions have been sent, so their outcomes must still be reported.
        refused: asyncio.Future[list[Delivery | FacadeError]] = loop.create_future()
        refused.set_result([error] * (len(wire) - len(portions) * _PORTION))
        portions.append(refused)
    except BaseException:
        for portion in portions:
            portion.cancel()
        raise
    return _joined(portions)


def _joined(
    portions: list[asyncio.Future[list[Delivery | FacadeError]]],
) -> asyncio.Future[list[Delivery | FacadeError]]:
    """Concatenate the results of all portions; cancelling the returned future cancels them."""
    all_of_them = asyncio.gather(*portions)
    joined: asyncio.Future[list[Delivery | FacadeError]] = asyncio.get_running_loop().create_future()

    def done(found: asyncio.Future[list[list[Delivery | FacadeError]]]) -> None:
        if joined.done():
            return
        if found.cancelled():
            joined.cancel()
        elif (error := found.exception()) is not None:
            joined.set_exception(error)
        else:
            joined.set_result(list(chain.from_iterable(found.result())))

    all_of_them.add_done_callback(done)
    joined.add_done_callback(lambda _: all_of_them.cancel())
    return joined


def _with_schema(data: RecordData | None, selector: SchemaSelector | None) -> RecordData | None:
    if data is None or selector is None:
        return None
    return RecordData(None if selector.schema is None else data.format, data.data, selector)


def _report_data(data: RecordData, payload: bytes | None, schema: SubjectVersion | None) -> DataReport:
    size = -1 if payload is None else len(payload)
    if schema is not None:
        return DataReport(schema.codec.format, size, schema.subject, schema.schema_id, schema.version)
    return DataReport(data.format or Format.BINARY, size)
