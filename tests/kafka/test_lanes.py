"""The lanes of the send queue."""

from __future__ import annotations

import asyncio
import time

from kafka_facade.core.records.model import RecordOrder
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka.producing.lanes import Lanes
from kafka_facade.kafka.producing.submissions import Batch, Lane, Series

_LEADERS = [1, 2, 3]


def _records(*partitions: int | None) -> list[SerializedRecord]:
    return [SerializedRecord(None, b"x", partition, [], None) for partition in partitions]


def _submitted(series: Series, lane: Lane, *partitions: int | None) -> Batch:
    return Batch(_records(*partitions), 1, lane, series, asyncio.get_running_loop().create_future())


async def test_a_stream_leaves_the_lane_of_a_partition_once_it_is_complete() -> None:
    lanes, series = Lanes(hashes=True), Series.of(RecordOrder())
    chosen = lanes.choose("topic", _records(1), series, _LEADERS)
    assert chosen is not None
    assert chosen[0].partition == 1
    _submitted(series, chosen[0], 1)
    assert lanes.choose("topic", _records(1), series, _LEADERS) == chosen
    assert lanes.choose("topic", _records(2), series, _LEADERS) is None
    series.batches.clear()
    # From then on, none of its submissions has to wait for the one before.
    for partition in (2, 1, None):
        chosen = lanes.choose("topic", _records(partition), series, _LEADERS)
        assert chosen is not None
        assert chosen[0].partition is None
        _submitted(series, chosen[0], partition)


async def test_a_stream_of_several_partitions_stays_in_a_busy_common_lane() -> None:
    lanes, series = Lanes(hashes=True), Series.of(RecordOrder())
    common = Lane("topic")
    common.in_flight = 1
    common.blocked_at = time.monotonic() - 10
    lanes.add(common)
    series.is_mixed = True
    for partition in (2, 1):
        chosen = lanes.choose("topic", _records(partition), series, _LEADERS)
        assert chosen is not None
        assert chosen[0] is common


def test_a_partition_without_a_leader_is_not_chosen() -> None:
    lanes = Lanes(hashes=True)
    common = Lane("topic")
    common.in_flight = 1
    common.blocked_at = time.monotonic() - 10
    lanes.add(common)
    for _ in range(20):
        chosen = lanes.choose("topic", _records(None), None, [-1, 2, -1])
        assert chosen is not None
        assert chosen[0].partition in (1, None)
