"""Which lane of the send queue a submission goes to, so that a broker that hangs delays no other partitions."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Final

from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.producing.key_hash import murmur2
from kafka_facade.kafka.producing.refusals import PARTITIONER_DECIDES
from kafka_facade.kafka.producing.submissions import Batch, Lane, Series

# A lane has congestion if some of its records have been waiting for room in the client for so long (s).
_CONGESTION_SECONDS: Final = 0.5
# A partition, or a broker, hangs if it has records, and has acknowledged none for so long (s).
_HANGING_SECONDS: Final = 1.0
# Only a few short keys are hashed, since that takes time.
_MOST_KEYS: Final = 4
_LONGEST_KEY: Final = 64
# How long (s) it is remembered whose lanes stand still: finding out takes time for each lane.
_REMEMBERED_SECONDS: Final = 0.1
# How many partitions to try, at random, to find one that does not hang.
_TRIES: Final = 16

NO_LEADERS: Final[Sequence[int]] = ()


class Lanes:
    """One lane for each partition to which all records of a submission go, and one for the other records of a topic.

    While that one has congestion, because a broker hangs, submissions that need not wait leave it: keys are hashed to
    find their partition, and records without keys go to a partition that does not hang (as in KIP-794). ``hashes``
    tells whether the client's partitioner uses the hash of Java's.
    """

    def __init__(self, *, hashes: bool) -> None:
        self._hashes = hashes
        self._lanes: dict[tuple[str, int | None], Lane] = {}
        # When each broker last acknowledged a record.
        self._moved: dict[int, float] = {}
        # The brokers of partitions whose lanes stand still, and until when that is remembered.
        self._standing_leaders: frozenset[int] = frozenset()
        self._standing_until = 0.0

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def choose(
        self, topic: str, records: Sequence[SerializedRecord], series: Series | None, leaders: Sequence[int]
    ) -> tuple[Lane, int] | None:
        """Return the lane for records, perhaps a new one, and the partition of those that name none.

        ``leaders`` are the brokers that lead the topic's partitions, as far as known. Submissions of a series stay in
        one lane while any of them is incomplete, to keep their order. Returns None if they must be complete first: they
        are in the lane of another partition. After that, the series uses the common lane.
        """
        if series is not None and series.batches:
            last = series.batches[-1]
            if last.lane.partition is None or self._belong(records, last, leaders):
                return last.lane, last.partition
            series.is_mixed = True
            return None
        common = self._of(topic, None, leaders)
        if series is not None and series.is_mixed:
            # In the queue of a partition each of its submissions would wait for the one before.
            return common, PARTITIONER_DECIDES
        has_congestion = common.blocked_at is not None and time.monotonic() - common.blocked_at >= _CONGESTION_SECONDS
        partition = _common_partition(records)
        if partition is not None:
            return self._of(topic, partition, leaders), PARTITIONER_DECIDES
        if not has_congestion:
            return common, PARTITIONER_DECIDES
        if records[0].partition is not None or not leaders:
            return common, PARTITIONER_DECIDES
        if all(record.key is None and record.partition is None for record in records):
            chosen = self._moving_partition(topic, leaders)
            if chosen is not None:
                return self._of(topic, chosen, leaders), chosen
        elif self._hashes and (hashed := _hashed_partition(records, len(leaders))) is not None:
            return self._of(topic, hashed, leaders), PARTITIONER_DECIDES
        return common, PARTITIONER_DECIDES

    def _belong(self, records: Sequence[SerializedRecord], last: Batch, leaders: Sequence[int]) -> bool:
        """Whether records belong to the partition of a batch's lane."""
        partition = _common_partition(records)
        if partition is None and records[0].partition is None and leaders:
            if last.partition != PARTITIONER_DECIDES and all(record.key is None for record in records):
                return all(record.partition is None for record in records)
            partition = _hashed_partition(records, len(leaders)) if self._hashes else None
        return partition == last.lane.partition

    def _moving_partition(self, topic: str, leaders: Sequence[int]) -> int | None:
        """Return a partition that does not hang, if possible of a broker that has acknowledged records lately."""
        since = time.monotonic() - _HANGING_SECONDS
        found: int | None = None
        for _ in range(_TRIES):
            tried = random.randrange(len(leaders))
            if leaders[tried] < 0 or self.hangs(self._of(topic, tried, leaders)):
                continue
            if self._moved.get(leaders[tried], since) > since:
                return tried
            found = tried
        return found

    def _of(self, topic: str, partition: int | None, leaders: Sequence[int]) -> Lane:
        if (lane := self._lanes.get((topic, partition))) is not None:
            return lane
        leader = leaders[partition] if partition is not None and partition < len(leaders) else None
        return Lane(topic, partition, leader)

    def add(self, lane: Lane) -> None:
        """Keep a new lane until it is idle."""
        self._lanes[lane.topic, lane.partition] = lane

    def drop_if_idle(self, lane: Lane) -> None:
        """Forget a lane that has no records."""
        key = lane.topic, lane.partition
        if lane.is_idle and self._lanes.get(key) is lane:
            del self._lanes[key]

    def acknowledged(self, lane: Lane) -> None:
        """Remember when the broker of a lane has acknowledged records."""
        if lane.leader is not None:
            self._moved[lane.leader] = time.monotonic()

    def hangs(self, lane: Lane) -> bool:
        """Whether nothing goes on in a lane, or with the broker that leads its partition."""
        now = time.monotonic()
        before = now - _HANGING_SECONDS
        if _stands(lane, before):
            return True
        if lane.leader is None or self._moved.get(lane.leader, before) > before:
            return False
        if now >= self._standing_until:
            self._standing_until = now + _REMEMBERED_SECONDS
            leaders = (other.leader for other in self._lanes.values() if _stands(other, before))
            self._standing_leaders = frozenset(leader for leader in leaders if leader is not None)
        return lane.leader in self._standing_leaders


def _stands(lane: Lane, before: float) -> bool:
    return lane.handed_over > 0 and lane.moved_at < before


def _common_partition(records: Sequence[SerializedRecord]) -> int | None:
    """Return the partition that all records name."""
    partition = records[0].partition
    if partition is None or len(records) == 1 or all(record.partition == partition for record in records):
        return partition
    return None


def _hashed_partition(records: Sequence[SerializedRecord], count: int) -> int | None:
    """Return the partition of all records by their keys, if there are only a few."""
    if len(records) > _MOST_KEYS:
        return None
    found: set[int | None] = set()
    for record in records:
        key = record.key
        known = record.partition is None and key is not None and len(key) <= _LONGEST_KEY
        found.add((murmur2(key) & 0x7FFFFFFF) % count if known and key is not None else None)
    return found.pop() if len(found) == 1 else None
