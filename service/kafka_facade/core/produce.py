"""Producing records (reference: "Records (v3)", v2 "Topics" and "Partitions")."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kafka_facade.core.catalogue import implements
from kafka_facade.core.errors import FacadeError, InvalidTopicName, PartitionNotFound
from kafka_facade.core.identity import ClusterIdentity
from kafka_facade.core.pipeline import Call
from kafka_facade.core.ports import Delivery, ProducerPort, SerializedRecord
from kafka_facade.core.requests import ProduceRecords, RecordData, RecordToProduce
from kafka_facade.core.resources import DataReport, RecordReport
from kafka_facade.core.serde import serialize
from kafka_facade.core.topics import is_legal_topic_name


class Produce:
    """Operations that produce."""

    def __init__(self, producer: ProducerPort, identity: ClusterIdentity) -> None:
        self._producer = producer
        self._identity = identity

    @implements(
        "api.v3.produce.produce-to-topic",
        "api.facade.records.produce-stream",
        "api.v2.produce-to-topic.binary",
        "api.v2.produce-to-topic.json",
        "api.v2.produce-to-partition.binary",
        "api.v2.produce-to-partition.json",
    )
    async def produce(self, call: Call, request: ProduceRecords) -> list[RecordReport | FacadeError]:
        """Produce records and wait until each is acknowledged or has failed: one report or error a record, in order.

        TopicNotFound and ClusterNotFound fail the request as a whole.
        """
        return await (await self.enqueue(call, request)).reports()

    async def enqueue(self, call: Call, request: ProduceRecords) -> PendingReports:
        """Hand records to the producer, in order, and return before they are acknowledged: for streams.

        Records of one topic that are enqueued one after the other keep that order in their partition.
        """
        cluster_id = await self._identity.check(request.cluster_id, call)
        topic = request.topic_name
        if not is_legal_topic_name(topic):
            refusal = InvalidTopicName(f"Invalid topics: [{topic}]", topic_name=topic)
            return PendingReports(cluster_id, topic, [_Prepared(None, None, None, refusal) for _ in request.records])
        count = self._producer.cached_partition_count(topic)
        if count is None:
            count = await self._producer.partition_count(topic, call.remaining)
        if any(record.partition_id is not None and record.partition_id >= count for record in request.records):
            count = await self._producer.partition_count(topic, call.remaining, refresh=True)
        prepared = [_prepare(record, count, request.all_or_nothing) for record in request.records]
        wire = [entry.record for entry in prepared if entry.record is not None]
        deliveries = await self._producer.submit(topic, wire) if wire else None
        return PendingReports(cluster_id, topic, prepared, deliveries)


@dataclass(slots=True)
class _Prepared:
    record: SerializedRecord | None
    key: DataReport | None
    value: DataReport | None
    error: FacadeError | None


@dataclass(slots=True)
class PendingReports:
    """Records on their way to Kafka."""

    cluster_id: str
    topic: str
    prepared: list[_Prepared]
    deliveries: asyncio.Future[list[Delivery | FacadeError]] | None = None

    async def reports(self) -> list[RecordReport | FacadeError]:
        """One report or error a record, in order, once Kafka has decided on all of them."""
        decided = iter(await self.deliveries if self.deliveries is not None else ())
        return [self._report(entry, next(decided) if entry.error is None else entry.error) for entry in self.prepared]

    def _report(self, entry: _Prepared, outcome: Delivery | FacadeError) -> RecordReport | FacadeError:
        if isinstance(outcome, FacadeError):
            return outcome
        return RecordReport(
            self.cluster_id, self.topic, outcome.partition, outcome.offset, outcome.timestamp, entry.key, entry.value
        )


def _prepare(record: RecordToProduce, partitions: int, all_or_nothing: bool) -> _Prepared:
    try:
        key = serialize(record.key)
        value = serialize(record.value)
        partition = record.partition_id
        if partition is not None and not 0 <= partition < partitions:
            raise PartitionNotFound(partition_id=str(partition))
    except FacadeError as error:
        if all_or_nothing:
            raise
        return _Prepared(None, None, None, error)
    wire = SerializedRecord(key, value, partition, record.headers, record.timestamp)
    return _Prepared(wire, _report_data(record.key, key), _report_data(record.value, value), None)


def _report_data(data: RecordData | None, payload: bytes | None) -> DataReport | None:
    if data is None:
        return None
    return DataReport(data.format, -1 if payload is None else len(payload))
