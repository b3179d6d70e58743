"""Decodes what the members of groups read.

Members of classic groups write their assignments, which may therefore be large or invalid. kafka-python does not decode
them, since it makes an object for each topic and partition.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from kafka_facade.core.groups.assigned import AssignedPartitions
from kafka_facade.core.groups.port import Assigned

_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")


def encoded(data: bytes | memoryview) -> Assigned:
    """The assignment of a member of a classic group, as it has written it."""
    return Assigned(len(data), partial(_decode, data))


def assigned_topics(topics: Sequence[Any]) -> Assigned:
    """The assignment of a member of a KIP-848 group."""

    def decode() -> AssignedPartitions:
        return AssignedPartitions(
            (entry.topic_name.encode(), struct.pack(f">{len(entry.partitions)}i", *entry.partitions))
            for entry in topics
        )

    return Assigned(_INT32.size * (len(topics) + sum(len(entry.partitions) for entry in topics)), decode)


def _decode(data: bytes | memoryview) -> AssignedPartitions:
    """Decode a member's assignment; return an empty one if it is not in Kafka's consumer format."""
    if not data:
        return AssignedPartitions()
    try:
        return AssignedPartitions(_topics(bytes(data)))
    except (struct.error, ValueError):
        return AssignedPartitions()


def _topics(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the names of topics and their encoded partitions (ConsumerProtocolAssignment). Raises ValueError."""
    [version] = _INT16.unpack_from(data)
    [count] = _INT32.unpack_from(data, _INT16.size)
    if version < 0:
        raise ValueError("There are no negative versions.")
    place = _INT16.size + _INT32.size
    found = []
    for _ in range(count):
        name, place = _field(data, place, _INT16, 1)
        partitions, place = _field(data, place, _INT32, _INT32.size)
        # Clients may write names that are empty, or no text.
        if name.decode() and partitions:
            found.append((name, partitions))
    _field(data, place, _INT32, 1)
    return found


def _field(data: bytes, place: int, length: struct.Struct, size: int) -> tuple[bytes, int]:
    """Return a field with a length before it, in items of ``size`` bytes, and its end. It is empty if it is null."""
    [count] = length.unpack_from(data, place)
    start = place + length.size
    end = start + max(0, count) * size
    if end > len(data):
        raise ValueError("The field is longer than the data.")
    return data[start:end], end
