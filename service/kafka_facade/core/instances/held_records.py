"""Records that a consumer instance has polled but not yet returned: prefetched, or in the answer being built."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.instances.model import ConsumerInstance, FetchRecords, ObjectLimit
from kafka_facade.core.limits import RECORDS_WEIGHT
from kafka_facade.core.records.decoding import Decoding, together
from kafka_facade.core.records.model import RECORD_OVERHEAD, FetchedRecord, Format, ReadFormats, Record
from kafka_facade.core.records.sizes import fetched_size, headers_bytes, require_taken
from kafka_facade.core.time_slices import time_slice

# Limits (bytes of keys and values, and records) of what is decoded at once: a few milliseconds for the heaviest JSON.
_PIECE: Final = 16 * 1024
_MOST_TOGETHER: Final = 500
# Records that are decoded one by one check the time slice once per this many.
_ALONE_IN_SLICE: Final = 32
_NO_BYTES: Final = b""
_HEADER_OVERHEAD: Final = 150


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """The limits and formats of one read; other limits than ``data_bytes`` are unlimited if they are None."""

    data_bytes: int
    answer_bytes: int | None
    record_bytes: int | None
    at_once: bool
    formats: ReadFormats | None
    objects: ObjectLimit | None

    @classmethod
    def of(cls, request: FetchRecords, max_bytes: int) -> ReadLimits:
        """Take the limits from a request; ``max_bytes`` is the instance's own limit for keys and values."""
        data_bytes = max_bytes if request.max_bytes is None else min(request.max_bytes, max_bytes)
        return cls(
            data_bytes,
            request.max_answer_bytes,
            request.max_record_bytes,
            request.at_once,
            request.formats,
            request.objects,
        )


class HeldRecords:
    """The records of one instance that its caller has not received yet, in the order in which they were polled."""

    def __init__(self, decoding: Decoding, instance: ConsumerInstance) -> None:
        self.taken: list[FetchedRecord] = []
        """The records of the answer being built."""
        self._decoding = decoding
        self._instance = instance
        self._ahead: deque[Record] = deque()
        self._bytes = 0
        self._weight = 0
        self._answer_bytes = 0
        self._objects = 0
        self._object_limit: ObjectLimit | None = None

    def begin(self) -> None:
        """Start a new answer. The records of the last one were delivered, or put back before."""
        self.taken, self._bytes, self._weight, self._answer_bytes, self._objects = [], 0, 0, 0, 0

    def put_back(self) -> None:
        """Return the answer's records to the front of the prefetched ones, so that the next read gets them."""
        self._ahead.extendleft(entry.record for entry in reversed(self.taken))

    def add(self, records: Iterable[Record]) -> None:
        """Append polled records."""
        self._ahead.extend(records)

    def keep(self, wanted: Callable[[str, int], bool]) -> None:
        """Drop all records of partitions that ``wanted`` rejects."""
        self._ahead = deque(record for record in self._ahead if wanted(record.topic_name, record.partition_id))
        self.taken = [e for e in self.taken if wanted(e.record.topic_name, e.record.partition_id)]
        self._bytes = sum(_length(entry.record) for entry in self.taken)
        if self._answer_bytes:
            self._answer_bytes = sum(fetched_size(entry) for entry in self.taken)
        if (limit := self._object_limit) is not None:
            self._objects = sum(limit.of(entry.record) for entry in self.taken)

    async def take(self, limits: ReadLimits) -> bool:
        """Decode prefetched records into the answer, up to the limits; return whether the answer is complete.

        A record that cannot be decoded or is too large ends the answer before it. If it is the first record, its error
        is raised.
        """
        ahead, taken, objects = self._ahead, self.taken, limits.objects
        self._object_limit = objects
        unsized = limits.answer_bytes is None and limits.record_bytes is None and objects is None
        as_stored = limits.formats is None and unsized
        while ahead:
            if as_stored and await self._take_together(limits.data_bytes):
                continue
            if not len(taken) % _ALONE_IN_SLICE:
                await time_slice()
            record = ahead[0]
            length = _length(record)
            if taken and (self._bytes + length > limits.data_bytes or self._is_heavy):
                return True
            count = 0 if objects is None else objects.of(record)
            if taken and objects is not None and self._objects + count > objects.most:
                return True
            try:
                entry = await self._decode(record, limits.formats)
                size = 0 if limits.answer_bytes is None else fetched_size(entry)
                if limits.record_bytes is not None:
                    require_taken(record, size, limits.record_bytes)
            except FacadeError:
                if taken:
                    return True
                raise
            if taken and limits.answer_bytes is not None and self._answer_bytes + size > limits.answer_bytes:
                return True
            taken.append(entry)
            ahead.popleft()
            self._bytes += length
            self._weight += entry.weight + (_headers_weight(record) if record.headers else 0)
            self._answer_bytes += size
            self._objects += count
        if not taken:
            return False
        full = self._is_heavy or (limits.answer_bytes is not None and self._answer_bytes >= limits.answer_bytes)
        full = full or (objects is not None and self._objects + objects.a_record > objects.most)
        return full or self._bytes >= limits.data_bytes or 0 <= self._instance.fetch_min_bytes < self._bytes

    @property
    def _is_heavy(self) -> bool:
        """Whether the decoded records use so much memory that the answer has to end."""
        return self._weight + len(self.taken) * RECORD_OVERHEAD >= RECORDS_WEIGHT

    async def _take_together(self, data_bytes: int) -> bool:
        """Decode as many small records as certainly fit, without awaiting each; return whether there were any."""
        room = min(_PIECE, data_bytes - self._bytes)
        if room <= 0 or self._is_heavy:
            return False
        await time_slice()
        ahead = self._ahead
        some: list[Record] = []
        size = 0
        for record in islice(ahead, _MOST_TOGETHER):
            grown = size + len(record.key or _NO_BYTES) + len(record.value or _NO_BYTES)
            if grown > room:
                break
            size = grown
            some.append(record)
        entries, weight = together(self._instance.format, some)
        self.taken += entries
        self._bytes += size if len(entries) == len(some) else sum(_length(entry.record) for entry in entries)
        self._weight += weight
        for _ in entries:
            if (record := ahead.popleft()).headers:
                self._weight += _headers_weight(record)
        return bool(entries)

    async def _decode(self, record: Record, formats: ReadFormats | None) -> FetchedRecord:
        if formats is not None:
            return await self._decoding.record(formats, record)
        if self._instance.format is Format.BINARY:
            return FetchedRecord(record, record.key, record.value)
        return await self._decoding.strictly(self._instance.format, record)


def _length(record: Record) -> int:
    return len(record.key or b"") + len(record.value or b"")


def _headers_weight(record: Record) -> int:
    return _HEADER_OVERHEAD * len(record.headers) + headers_bytes(record)
