"""Even counts of replicas: no broker has many more than another to which one of its replicas could move."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from kafka_facade.core.balancer.planning.goals import Goal
from kafka_facade.core.balancer.planning.layout import Layout

_COMPARED = 32
"""How many partitions that may move are compared for each move."""

Key = Callable[[int], tuple[int, ...]]
Step = Callable[[int, int], bool]


def even_replica_counts(layout: Layout) -> None:
    """Move replicas from the fullest brokers to the emptiest until all pairs are within the band.

    Each move is from the most to the fewest if it can be, so that the number of moves is the least.
    """
    counts, bytes_ = layout.counts, layout.bytes
    band = layout.goals.band(sum(counts[broker] for broker in layout.members), len(layout.members))

    def move_one(source: int, target: int) -> bool:
        partition = _best_partition(layout, source, target)
        if partition is None:
            return False
        layout.move(partition, source, target, Goal.REPLICAS)
        return True

    even_pairs(layout, lambda broker: (counts[broker], bytes_[broker]), counts, band, move_one)


def even_pairs(layout: Layout, key: Key, load: list[int], band: int, step: Step) -> None:
    """Make steps from brokers with much load to those with little, until no pair beyond the band has one.

    A pair without a step is not tried again: the caller repeats all goals until nothing moves.
    """
    stuck: set[tuple[int, int]] = set()
    while _step_once(layout, key, load, band, step, stuck):
        pass


def _step_once(
    layout: Layout,
    key: Key,
    load: list[int],
    band: int,
    step: Step,
    stuck: set[tuple[int, int]],
) -> bool:
    sources = sorted(layout.members, key=key, reverse=True)
    targets = sorted(layout.targets, key=key)
    for source in sources:
        for target in targets:
            if load[source] - load[target] <= band:
                break
            if (source, target) not in stuck:
                if step(source, target):
                    return True
                stuck.add((source, target))
    return False


def _best_partition(layout: Layout, source: int, target: int) -> int | None:
    """Return the partition that evens the bytes of the two as well, and the spread of its topic."""
    possible = islice(
        (
            partition
            for partition in layout.hosted[source]
            if layout.is_free[partition]
            and layout.keeps_racks(partition, source, target)
            and layout.has_room(target, layout.size(partition))
        ),
        _COMPARED,
    )
    ideal = _ideal_size(layout, source, target)
    unit = max(1, layout.goals.band(sum(layout.bytes), len(layout.members)) // 16)
    on_source, on_target = layout.topic_counts[source], layout.topic_counts[target]

    def fit(partition: int) -> tuple[int, int, int]:
        topic = layout.partitions[partition].topic
        return (
            abs(layout.size(partition) - ideal) // unit,
            on_target.get(topic, 0) - on_source[topic],
            partition,
        )

    return min(possible, key=fit, default=None)


def _ideal_size(layout: Layout, source: int, target: int) -> int:
    """Return the size with which the bytes of both brokers reach the mean together with their counts."""
    brokers = len(layout.members)
    mean_count = sum(layout.counts) // brokers
    mean_bytes = sum(layout.bytes) // brokers
    surplus = max(0, layout.bytes[source] - mean_bytes) // max(1, layout.counts[source] - mean_count)
    lack = max(0, mean_bytes - layout.bytes[target]) // max(1, mean_count - layout.counts[target])
    return (surplus + lack) // 2
