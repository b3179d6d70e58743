"""Computation of consumer lag from committed and end offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka_facade.core.groups.model import ConsumerGroup, ConsumerGroupLagSummary, ConsumerLag
from kafka_facade.core.time_slices import in_slices, sorted_in_slices, time_slice


async def lags_of(
    group: ConsumerGroup, committed: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]
) -> list[ConsumerLag]:
    """Return the lag of each partition with a committed and an end offset, largest first, then by partition."""
    readers = {}
    for member in group.consumers:
        await time_slice()
        for entry in await member.assignments():
            readers[entry.topic_name, entry.partition_id] = member

    def lag_in(place: tuple[str, int]) -> ConsumerLag:
        reader, offset, end = readers.get(place), committed[place], ends[place]
        return ConsumerLag(
            group.cluster_id,
            group.consumer_group_id,
            *place,
            reader.consumer_id if reader is not None else "",
            reader.instance_id if reader is not None else None,
            reader.client_id if reader is not None else "",
            offset,
            end,
            max(0, end - offset),
        )

    found = await in_slices(lag_in, (place for place in committed if place in ends))
    return await sorted_in_slices(found, lambda lag: (-lag.lag, lag.topic_name, lag.partition_id))


def summary_of(lags: Sequence[ConsumerLag]) -> ConsumerGroupLagSummary | None:
    """Return the summary of a group's lags, which are sorted largest first; None if there are none."""
    if not lags:
        return None
    largest = lags[0]
    return ConsumerGroupLagSummary(
        largest.cluster_id,
        largest.consumer_group_id,
        largest.consumer_id,
        largest.instance_id,
        largest.client_id,
        largest.topic_name,
        largest.partition_id,
        largest.lag,
        sum(lag.lag for lag in lags),
    )
