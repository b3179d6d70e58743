"""Some records of a stream that go to Kafka together, and their answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kafka_facade.core.call import Call
from kafka_facade.core.errors import FacadeError, PayloadTooLarge, Unavailable
from kafka_facade.core.facade import Facade
from kafka_facade.core.records.json_text import is_json
from kafka_facade.core.records.model import PendingRecords, RecordOrder, RecordToProduce, StreamRecords
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.errors import as_facade_error
from kafka_facade.rest.record_decoding import Answer, decode_record

_Read = TypeVar("_Read")

# Of so many bytes records are decoded as one piece.
_PIECE = 16 * 1024
# The error that all records of a stream would have: it is the answer to the request.
WHOLE_REQUEST = Unavailable


class _JsonReader(Protocol):
    """Reads JSON off the event loop where that is much, as :class:`Facade` does."""

    async def read_json(self, read: Callable[[bytes], _Read], text: bytes, timeout: float) -> _Read: ...


@dataclass(slots=True)
class Batch:
    """Records in order; one that couldn't be decoded is its error.

    ``size`` is the number of documents; ``broken`` says that one wasn't JSON, which ends the records.
    """

    entries: list[RecordToProduce | FacadeError]
    call: Call
    size: int
    broken: bool = False
    pending: PendingRecords | FacadeError | None = None

    @classmethod
    async def decode(cls, documents: list[bytes], call: Call, json: _JsonReader) -> Batch:
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
                    batch.entries.append(await json.read_json(decode_record, document, call.remaining))
                else:
                    batch.entries.append(decode_record(document))
            except PayloadTooLarge as error:
                batch.entries.append(_alone(error))
            except FacadeError as error:
                batch.entries.append(_alone(error))
                if not await json.read_json(is_json, document, call.remaining):
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
        return pending is None or isinstance(pending, FacadeError) or pending.decided

    async def enqueue(self, facade: Facade, topic: str, order: RecordOrder | None = None) -> None:
        """Hand the records to the producer within the call's time; what goes wrong is in the answers.

        The cluster of the path isn't checked (see :func:`kafka_facade.rest.record_decoding.named_cluster`).
        """
        records = self.records
        if not records:
            return
        try:
            self.pending = await facade.perform(self.call, StreamRecords(None, topic, records, order=order))
        except Exception as error:
            self.pending = as_facade_error(error)

    async def answers(self, facade: Facade) -> list[Answer]:
        """One answer a record, in order, within the call's time. Raises what is the answer to the whole request."""
        outcomes: list[Answer] | FacadeError
        if self.pending is not None and not isinstance(self.pending, FacadeError):
            try:
                outcomes = await facade.pipeline.within(self.call, self.pending.reports())
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
