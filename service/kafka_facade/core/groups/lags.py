"""Computation of consumer lag from committed and end offsets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from kafka_facade.core.groups.assigned import AssignedPartitions
from kafka_facade.core.groups.model import ConsumerGroup, ConsumerGroupLagSummary, ConsumerLag, GroupMember
from kafka_facade.core.time_slices import in_slices, sorted_in_slices, time_slice

# How many partitions are looked up at once.
_AT_ONCE = 512


async def lags_of(
    group: ConsumerGroup, committed: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]
) -> list[ConsumerLag]:
    """Return the lag of each partition with a committed and an end offset, largest first, then by partition.

    Raises Unavailable if too many calls decode large assignments.
    """
    readers = await _readers(group.consumers, committed)

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


async def _readers(
    members: Iterable[GroupMember], places: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], GroupMember]:
    """Return the member that reads each of the partitions; the others that members read do not matter."""
    wanted: defaultdict[str, set[int]] = defaultdict(set)
    for number, (topic, partition) in enumerate(places):
        if not number % _AT_ONCE:
            await time_slice()
        wanted[topic].add(partition)
    readers: dict[tuple[str, int], GroupMember] = {}
    for member in members:
        await time_slice()
        assigned = (await member.assignments()).partitions
        # Go through the shorter one.
        few = wanted if len(wanted) < assigned.topics else (assigned.topic(at) for at in range(assigned.topics))
        for topic in few:
            await time_slice()
            if topic in wanted:
                await _add(readers, member, topic, wanted[topic], assigned)
    return readers


async def _add(
    readers: dict[tuple[str, int], GroupMember],
    member: GroupMember,
    topic: str,
    wanted: set[int],
    assigned: AssignedPartitions,
) -> None:
    """Add the reader of those partitions of a topic that the member reads."""
    of_topic = assigned.partitions_of(topic)
    if len(of_topic) <= len(wanted):
        for start in range(0, len(of_topic), _AT_ONCE):
            await time_slice()
            for partition in wanted.intersection(of_topic[start : start + _AT_ONCE]):
                readers[topic, partition] = member
        return
    for number, partition in enumerate(wanted):
        if not number % _AT_ONCE:
            await time_slice()
        if assigned.place_of(topic, partition) is not None:
            readers[topic, partition] = member


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
