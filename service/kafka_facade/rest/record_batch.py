"""Some records of a stream that go to Kafka together, and their answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kafka_facade.core.errors import FacadeError, KafkaTimeout, PayloadTooLarge, Unavailable
from kafka_facade.core.pipeline import Call
from kafka_facade.core.records.json_text import is_json
from kafka_facade.core.records.model import ProduceRecords, RecordOrder, RecordToProduce
from kafka_facade.core.records.produce import PendingReports, Produce
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.errors import as_facade_error
from kafka_facade.rest.record_decoding import Answer, decode_record

# Of so many bytes records are decoded as one piece.
_PIECE = 16 * 1024
# The error that all records of a stream would have: it is the answer to the request.
WHOLE_REQUEST = Unavailable


@dataclass(slots=True)
class Batch:
    """Records in order; one that couldn't be decoded is its error.

    ``size`` is the number of documents; ``broken`` says that one wasn't JSON, which ends the records.
    """

    entries: list[RecordToProduce | FacadeError]
    call: Call
    size: int
    broken: bool = False
    pending: PendingReports | FacadeError | None = None

    @classmethod
    async def decode(cls, documents: list[bytes], call: Call, schemas: Schemas) -> Batch:
        """A batch of the documents' records, in time slices; those that become much in a thread."""
        batch = cls([], call, len(documents))
        size = 0
        for document in documents:
            size += len(document)
            if size > _PIECE:
                size = 0
                await time_slice()
            try:
                if len(document) > _PIECE:
                    batch.entries.append(await schemas.read_json(decode_record, document, call.remaining))
                else:
                    batch.entries.append(decode_record(document))
            except PayloadTooLarge as error:
                batch.entries.append(_alone(error))
            except FacadeError as error:
                batch.entries.append(_alone(error))
                if not await schemas.read_json(is_json, document, call.remaining):
                    batch.broken = True
                    break
        return batch

    @property
    def records(self) -> list[RecordToProduce]:
        """The records that can be produced."""
        return [entry for entry in self.entries if not isinstance(entry, FacadeError)]

    @property
    def decided(self) -> bool:
        """Whether the answers are there without waiting."""
        pending = self.pending
        return not isinstance(pending, PendingReports) or pending.deliveries is None or pending.deliveries.done()

    async def enqueue(self, produce: Produce, topic: str, order: RecordOrder | None = None) -> None:
        """Hand the records to the producer within the call's time; what goes wrong is in the answers.

        The cluster of the path isn't checked (see :func:`kafka_facade.rest.record_decoding.named_cluster`).
        """
        records = self.records
        if not records:
            return
        try:
            async with asyncio.timeout(self.call.remaining):
                self.pending = await produce.enqueue(self.call, ProduceRecords(None, topic, records, order=order))
        except TimeoutError:
            self.pending = KafkaTimeout()
        except Exception as error:
            self.pending = as_facade_error(error)

    async def answers(self) -> list[Answer]:
        """One answer a record, in order, within the call's time. Raises what is the answer to the whole request."""
        outcomes: list[Answer] | FacadeError
        if isinstance(self.pending, PendingReports):
            try:
                async with asyncio.timeout(self.call.remaining):
                    outcomes = await self.pending.reports()
            except TimeoutError:
                outcomes = KafkaTimeout()
            except Exception as error:
                outcomes = as_facade_error(error)
        else:
            outcomes = self.pending or []
        if isinstance(outcomes, WHOLE_REQUEST):
            raise outcomes
        if isinstance(outcomes, FacadeError):
            return [entry if isinstance(entry, FacadeError) else outcomes for entry in self.entries]
        if len(outcomes) == len(self.entries):
            return outcomes
        decided = iter(outcomes)
        return [entry if isinstance(entry, FacadeError) else next(decided) for entry in self.entries]


def _alone(error: FacadeError) -> FacadeError:
    """The error without frames: they hold what holds it, and such circles are for the garbage collector to find."""
    error.__context__ = None
    return error.with_traceback(None)
