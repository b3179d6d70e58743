"""Places in the partitions of topics."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_facade.core.request import Int64

EARLIEST = -2
"""Where a partition position stands for the first offset that can be read."""
LATEST = -1
"""Where a partition position stands for the next offset to be written."""
NO_TIMESTAMP = -1
"""What Kafka tells instead of a timestamp if there is none."""


@dataclass(slots=True)
class TopicPartition:
    """A partition by name."""

    topic: str
    partition: int


@dataclass(slots=True)
class PartitionPosition:
    """An offset in a partition: a position to seek to, or the last record to commit and a text to keep with it."""

    topic: str
    partition: int
    offset: Int64
    metadata: str = ""


@dataclass(slots=True)
class PartitionTime:
    """A time in a partition, in milliseconds since 1970."""

    topic: str
    partition: int
    timestamp: int


@dataclass(slots=True)
class CommittedOffset:
    """The next offset that the group will read, as committed."""

    topic: str
    partition: int
    offset: int
    metadata: str
