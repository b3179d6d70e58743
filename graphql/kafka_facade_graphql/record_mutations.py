"""The mutations that produce records, with one result per record, so that one failure does not hide the others."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.records import model as core_records
from kafka_facade.core.time_slices import in_slices
from kafka_facade_graphql.context import Info
from kafka_facade_graphql.fields import field
from kafka_facade_graphql.records import Format, RecordReport
from kafka_facade_graphql.scalars import JSON, Base64, to_millis
from kafka_facade_graphql.user_errors import UserError

SubjectNameStrategy = strawberry.enum(
    core_records.SubjectNameStrategy,
    description="The rule that derives the name of a subject from the topic and the schema.",
)


@strawberry.input(description="A schema of the Schema Registry: by id, by version, by its text, or the latest.")
class SchemaInput:
    """A schema of a subject."""

    schema_id: int | None = strawberry.field(default=None, description="The schema's id.")
    schema_version: int | None = strawberry.field(default=None, description="Its version in the subject.")
    schema: str | None = strawberry.field(
        default=None, description="The text of the schema, registered if it is new; requires a format."
    )
    subject: str | None = strawberry.field(
        default=None, description="The subject; cannot be combined with the strategy."
    )
    subject_name_strategy: SubjectNameStrategy | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="The rule for the subject's name; default: TOPIC_NAME."
    )


@strawberry.input(description="A key or a value.")
class RecordDataInput:
    """Data of a format."""

    format: Format | None = strawberry.field(  # type: ignore[valid-type]
        default=None, description="Its format; default: the format of the schema."
    )
    data: JSON | None = strawberry.field(
        default=None,
        description="BINARY: base64 text; STRING: text; others: any value. The schema encodes null; if it does not"
        " allow null, the record is rejected; without a schema null is stored.",
    )
    schema: SchemaInput | None = strawberry.field(
        default=None,
        description="The schema; default without a format: the latest of the topic's subject.",
    )


_LATEST = core_records.SchemaSelector()


@strawberry.input(description="A header of a record.")
class HeaderInput:
    """A header to produce."""

    name: str = strawberry.field(description="The header's name; several headers may have the same name.")
    value: Base64 | None = strawberry.field(default=None, description="The header's value.")


@strawberry.input(description="A record to produce.")
class RecordInput:
    """A record."""

    key: RecordDataInput | None = strawberry.field(default=None, description="The key; default: no key.")
    value: RecordDataInput | None = strawberry.field(
        default=None, description="The value; default: null, which is a tombstone in a compacted topic."
    )
    partition_id: int | None = strawberry.field(default=None, description="The partition; default: chosen by key.")
    headers: list[HeaderInput] = strawberry.field(default_factory=list, description="The headers, in order.")
    timestamp: datetime | None = strawberry.field(default=None, description="The record's timestamp; default: now.")


@strawberry.input(description="Records to produce.")
class ProduceRecordsInput:
    """Input of produceRecords."""

    cluster_id: strawberry.ID | None = strawberry.field(
        default=None, description="The cluster's id in Kafka; default: the gateway's cluster."
    )
    topic_name: str = strawberry.field(description="The topic's name.")
    records: list[RecordInput] = strawberry.field(description="The records, in order.")


@strawberry.input(description="A record with an id.")
class BatchEntryInput:
    """An entry of a batch."""

    id: str = strawberry.field(description="The id, unique in its batch: 1 to 80 letters, digits, - and _.")
    record: RecordInput = strawberry.field(description="The record.")


@strawberry.input(description="A batch of records that are identified by ids.")
class ProduceRecordBatchInput:
    """Input of produceRecordBatch."""

    cluster_id: strawberry.ID | None = strawberry.field(
        default=None, description="The cluster's id in Kafka; default: the gateway's cluster."
    )
    topic_name: str = strawberry.field(description="The topic's name.")
    entries: list[BatchEntryInput] = strawberry.field(description="The records, in order.")


@strawberry.type(description="The result of one record: a report or an error.")
class ProduceRecordResult:
    """The result of a record."""

    outcome: strawberry.Private[core_records.RecordReport | FacadeError]

    @field(description="The delivery report; null if the record was not produced.", graphql_type=RecordReport | None)
    def report(self) -> core_records.RecordReport | None:
        return None if isinstance(self.outcome, FacadeError) else self.outcome

    @field(description="The error; null if the record was produced.")
    def error(self) -> UserError | None:
        return UserError.of(self.outcome) if isinstance(self.outcome, FacadeError) else None


@strawberry.type(description="The results of the records.")
class ProduceRecordsPayload:
    """Answer of produceRecords."""

    results: list[ProduceRecordResult] = strawberry.field(
        description="One result for each record, in the order of the input."
    )


@strawberry.type(description="A record of a batch that was produced.")
class BatchSuccess:
    """A record that Kafka has acknowledged."""

    id: str = strawberry.field(description="The record's id in the batch.")
    produced: strawberry.Private[core_records.RecordReport]

    @field(description="The delivery report.", graphql_type=RecordReport)
    def report(self) -> core_records.RecordReport:
        return self.produced


@strawberry.type(description="A record of a batch that was not produced.")
class BatchFailure:
    """A record that failed."""

    id: str = strawberry.field(description="The record's id in the batch.")
    error: UserError = strawberry.field(description="The error.")


@strawberry.type(description="The results of the records of a batch, in the order of the input.")
class ProduceRecordBatchPayload:
    """Answer of produceRecordBatch."""

    successes: list[BatchSuccess] = strawberry.field(description="The records that were produced.")
    failures: list[BatchFailure] = strawberry.field(description="The records that were not produced.")


@strawberry.type
class ProduceMutations:
    """The mutations that produce: their records have inputs of their own."""

    @field(description="Produce records and wait for the result of each.")
    async def produce_records(
        self, info: Info, input: Annotated[ProduceRecordsInput, strawberry.argument(description="The records.")]
    ) -> ProduceRecordsPayload | None:
        context = info.context
        request = core_records.ProduceRecords(
            input.cluster_id, input.topic_name, await in_slices(_record, input.records)
        )
        outcomes = await context.change("api.v3.produce.produce-to-topic", request)
        return ProduceRecordsPayload(results=[ProduceRecordResult(outcome=outcome) for outcome in outcomes])

    @field(description="Produce records that are identified by ids; an error of one does not affect the others.")
    async def produce_record_batch(
        self, info: Info, input: Annotated[ProduceRecordBatchInput, strawberry.argument(description="The batch.")]
    ) -> ProduceRecordBatchPayload | None:
        context = info.context
        entries = await in_slices(_entry, input.entries)
        request = core_records.BatchProduceRecords(input.cluster_id, input.topic_name, entries)
        report = await context.change("api.v3.batch-produce.produce-to-topic", request)
        return ProduceRecordBatchPayload(
            successes=[BatchSuccess(id=id, produced=found) for id, found in report.successes],
            failures=[BatchFailure(id=id, error=UserError.of(error)) for id, error in report.failures],
        )


def _entry(given: BatchEntryInput) -> core_records.BatchEntry:
    return core_records.BatchEntry(given.id, _record(given.record))


def _record(given: RecordInput) -> core_records.RecordToProduce:
    headers = [core_records.Header(header.name, header.value) for header in given.headers]
    return core_records.RecordToProduce(
        _data(given.key), _data(given.value), given.partition_id, headers, to_millis(given.timestamp)
    )


def _data(given: RecordDataInput | None) -> core_records.RecordData | None:
    if given is None:
        return None
    schema = given.schema
    if schema is None:
        return core_records.RecordData(given.format, given.data, _LATEST if given.format is None else None)
    selector = core_records.SchemaSelector(
        schema.schema_id, schema.schema_version, schema.schema, schema.subject, schema.subject_name_strategy
    )
    return core_records.RecordData(given.format, given.data, selector)
