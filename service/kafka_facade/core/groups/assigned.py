"""The partitions that members of groups read, in little memory: any Kafka client can make large assignments."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final, TypeVar

from kafka_facade.core.topics.positions import TopicPartition

_Item = TypeVar("_Item")

_INT32: Final = 4
# How many entries are sorted at once. Sorting holds the interpreter lock.
_SORTED_AT_ONCE: Final = 8192
_name = itemgetter(0)


class AssignedPartitions:
    """Partitions, ordered by topic and partition. They take less memory than their encoding in Kafka's protocol."""

    __slots__ = ("_ends", "_names", "_partitions", "_starts")

    def __init__(self, topics: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """``topics`` are names, in UTF-8, with partitions as big-endian integers of 4 bytes; both in any order.

        This blocks, for about 0.1 s with 100,000 topics.
        """
        ordered = _sorted(list(topics), _name)
        # The names, one after the other, and where each one ends.
        self._names = b"".join(name for name, _ in groupby(ordered, _name))
        self._ends = array("i")
        # The partitions of all topics, and where those of each one start.
        self._partitions = array("i", b"".join([partitions for _, partitions in ordered]))
        if sys.byteorder == "little":
            self._partitions.byteswap()
        self._starts = array("i", (0,))
        end = start = 0
        for name, entries in groupby(ordered, _name):
            end += len(name)
            self._ends.append(end)
            first = start
            for _, partitions in entries:
                start += len(partitions) // _INT32
            self._starts.append(start)
            if start - first > 1:
                self._partitions[first:start] = array("i", _sorted(self._partitions[first:start], None))

    def __len__(self) -> int:
        return len(self._partitions)

    def __getitem__(self, place: int) -> TopicPartition:
        return TopicPartition(self.topic(bisect_right(self._starts, place) - 1), self._partitions[place])

    def __iter__(self) -> Iterator[TopicPartition]:
        for number in range(self.topics):
            name = self.topic(number)
            for place in range(self._starts[number], self._starts[number + 1]):
                yield TopicPartition(name, self._partitions[place])

    @property
    def topics(self) -> int:
        """The number of topics."""
        return len(self._ends)

    def topic(self, number: int) -> str:
        """Return the name of a topic, by its place in the order."""
        start = self._ends[number - 1] if number else 0
        return self._names[start : self._ends[number]].decode("utf-8", "replace")

    def partitions_of(self, topic: str) -> memoryview:
        """Return the partitions of a topic, in order."""
        number = bisect_left(range(self.topics), topic, key=self.topic)
        found = number < self.topics and self.topic(number) == topic
        start, end = (self._starts[number], self._starts[number + 1]) if found else (0, 0)
        return memoryview(self._partitions)[start:end]

    def place_of(self, topic: str, partition: int) -> int | None:
        """Return the place of a partition in the order; None if it is not one of them."""
        number = bisect_left(range(self.topics), topic, key=self.topic)
        if number == self.topics or self.topic(number) != topic:
            return None
        end = self._starts[number + 1]
        place = bisect_left(self._partitions, partition, self._starts[number], end)
        return place if place < end and self._partitions[place] == partition else None


def _sorted(items: Sequence[_Item], key: Callable[[_Item], Any] | None) -> Sequence[_Item]:
    """Sort like ``sorted``, but do not hold the interpreter lock for long: merging sorted parts is fast."""
    starts = range(0, len(items), _SORTED_AT_ONCE)
    parts: list[list[_Item]] = [sorted(items[start : start + _SORTED_AT_ONCE], key=key) for start in starts]  # type: ignore[type-var,arg-type]
    return parts[0] if len(parts) == 1 else sorted(chain.from_iterable(parts), key=key)  # type: ignore[type-var,arg-type]
