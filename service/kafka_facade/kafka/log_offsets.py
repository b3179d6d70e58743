"""Where the logs of partitions begin and end, through librdkafka's admin client."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from kafka_facade.kafka.blocking import positive

# The client's time for a call of ListOffsets grows with the square of this, and it holds the interpreter's lock.
_PARTITIONS_A_CALL = 500


def ask_offsets(
    client: AdminClient,
    wanted: Sequence[tuple[str, int]],
    spec: OffsetSpec,
    timeout: float,
    isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
) -> dict[tuple[str, int], Future[Any]]:
    """Futures of the offsets of these partitions, each named once. To be called in a thread: it takes a while."""
    found: dict[tuple[str, int], Future[Any]] = {}
    for start in range(0, len(wanted), _PARTITIONS_A_CALL):
        futures = client.list_offsets(
            {ClientPartition(*place): spec for place in wanted[start : start + _PARTITIONS_A_CALL]},
            isolation_level=isolation_level,
            request_timeout=positive(timeout),
        )
        found |= {(partition.topic, partition.partition): future for partition, future in futures.items()}
    return found
