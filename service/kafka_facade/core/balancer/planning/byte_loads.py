"""Even bytes: no broker has many more than another with which it could exchange replicas."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from kafka_facade.core.balancer.planning.goals import Goal
from kafka_facade.core.balancer.planning.layout import Layout
from kafka_facade.core.balancer.planning.replica_counts import even_pairs


def even_bytes(layout: Layout) -> None:
    """Swap replicas between brokers, or move one where counts stay within their band, until bytes are within theirs."""
    members, loads = layout.members, layout.bytes
    band = byte_band(layout)
    count_band = layout.goals.band(sum(layout.counts[broker] for broker in members), len(members))

    def step(source: int, target: int) -> bool:
        found = _best_step(layout, source, target, count_band)
        if found is None:
            return False
        layout.move(found.partition, source, target, Goal.BYTES)
        if found.back is not None:
            layout.move(found.back, target, source, Goal.BYTES)
        return True

    even_pairs(layout, lambda broker: (loads[broker],), loads, band, step)


def byte_band(layout: Layout) -> int:
    """Return by how many bytes two brokers may differ: at least by the largest replica, or swaps would never end."""
    total = sum(layout.bytes[broker] for broker in layout.members)
    return max(layout.largest, layout.goals.band(total, len(layout.members)))


@dataclass(slots=True)
class _Step:
    """A replica that moves to the target, and another one that comes back."""

    partition: int
    back: int | None
    gain: int


def _best_step(layout: Layout, source: int, target: int, count_band: int) -> _Step | None:
    """Return the step with the largest gain for each moved replica."""
    leaving = _movable(layout, source, target)
    if not leaving:
        return None
    wanted = _wanted(layout, source, target)
    single = (
        _best_single(layout, source, target, leaving, wanted)
        if _may_shift(layout, source, target, count_band)
        else None
    )
    if single is not None and 2 * single.gain >= wanted:
        return single
    swap = _best_swap(layout, source, target, leaving, wanted)
    if single is None or swap is None:
        return single or swap
    return single if 2 * single.gain >= swap.gain else swap


def _wanted(layout: Layout, source: int, target: int) -> int:
    """Return how many bytes should leave: half of the gap, or less if one of them is then at the mean."""
    mean = sum(layout.bytes[broker] for broker in layout.members) // len(layout.members)
    surplus, lack = layout.bytes[source] - mean, mean - layout.bytes[target]
    half = (surplus + lack) // 2
    return max(1, min(surplus, lack)) if surplus > 0 and lack > 0 else max(1, half)


def _movable(layout: Layout, source: int, target: int) -> list[tuple[int, int]]:
    """Return sizes and partitions, sorted, of the replicas that may move regardless of room."""
    return sorted(
        (layout.size(partition), partition)
        for partition in layout.hosted[source]
        if layout.is_free[partition] and layout.keeps_racks(partition, source, target)
    )


def _may_shift(layout: Layout, source: int, target: int, count_band: int) -> bool:
    """Whether counts stay within their band if the source has one less and the target one more."""
    counts = layout.counts
    more, fewer = counts[target] + 1, counts[source] - 1
    if more > min(counts[broker] for broker in layout.targets) + count_band:
        return False
    # What leaves a broker that takes replicas must not come back.
    most = max(more, *(counts[broker] for broker in layout.members))
    return not layout.is_target[source] or most - fewer <= count_band


def _gain(moved: int, wanted: int) -> int:
    return wanted - abs(moved - wanted)


def _best_single(layout: Layout, source: int, target: int, leaving: list[tuple[int, int]], wanted: int) -> _Step | None:
    gap = layout.bytes[source] - layout.bytes[target]
    best: _Step | None = None
    # The sizes on both sides of the wanted one; then the next smaller ones, for those may fit.
    start = bisect_left(leaving, (wanted, -1))
    for size, partition in [*leaving[start : start + 1], *reversed(leaving[:start])]:
        if 0 < size < gap and layout.has_room(target, size):
            gain = _gain(size, wanted)
            if best is None or gain > best.gain:
                best = _Step(partition, None, gain)
            if size <= wanted:
                break
    return best


def _best_swap(layout: Layout, source: int, target: int, leaving: list[tuple[int, int]], wanted: int) -> _Step | None:
    most_replicas = max(layout.counts[source], layout.counts[target])
    if not layout.is_target[source] or most_replicas > layout.goals.max_replicas:
        return None
    least, most = _swap_limits(layout, source, target)
    coming = _movable(layout, target, source)
    sizes = [size for size, _ in coming]
    best: _Step | None = None
    for size, partition in reversed(leaving):
        begin, end = bisect_left(sizes, size - most), bisect_right(sizes, size - least)
        if begin >= end:
            continue
        near = bisect_left(sizes, size - wanted, begin, end)
        for index in (near - 1, near):
            if begin <= index < end:
                gain = _gain(size - sizes[index], wanted)
                if best is None or gain > best.gain:
                    best = _Step(partition, coming[index][1], gain)
        if best is not None and best.gain * 8 >= wanted * 7:
            break
    return best


def _swap_limits(layout: Layout, source: int, target: int) -> tuple[int, int]:
    """Return the least and the most bytes by which a swap may shift load."""
    most = layout.bytes[source] - layout.bytes[target] - 1
    room = layout.room[target]
    if room is not None:
        most = min(most, room)
    over = -(layout.room[source] or 0)
    return max(1, over), most
