"""The goals that come before even load: empty brokers, racks, disks."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_facade.core.balancer.planning.goals import Goal
from kafka_facade.core.balancer.planning.layout import Layout, is_reassigning
from kafka_facade.core.balancer.planning.plan import Reason, Unsolvable


def empty_brokers(layout: Layout) -> None:
    """Move the replicas away from brokers that must be empty, the largest first, since they fit into fewer places."""
    for partition, source in sorted(_misplaced(layout), key=lambda found: (-layout.size(found[0]), *found)):
        if layout.can_change[partition]:
            target = _best_target(layout, partition, source, layout.targets)
            if target is not None:
                layout.move(partition, source, target, Goal.EMPTY_BROKERS)


def _misplaced(layout: Layout) -> Iterable[tuple[int, int]]:
    for source, must_empty in enumerate(layout.must_empty):
        if must_empty:
            yield from ((partition, source) for partition in sorted(layout.hosted[source]))


def _best_target(layout: Layout, partition: int, source: int, targets: Iterable[int]) -> int | None:
    """Return the target in a rack without a replica if possible, then the one with the fewest replicas and bytes."""
    brokers, size = layout.replicas[partition], layout.size(partition)
    topic = layout.partitions[partition].topic
    others = layout.racks_without(partition, source)
    possible = [target for target in targets if target not in brokers and layout.has_room(target, size)]
    # Bytes are compared coarsely, so that the spread of topics decides among similar brokers.
    unit = _byte_unit(layout)
    return min(
        possible,
        key=lambda target: (
            layout.racks[target] in others,
            layout.counts[target],
            layout.bytes[target] // unit,
            layout.topic_counts[target].get(topic, 0),
            layout.bytes[target],
            target,
        ),
        default=None,
    )


def _byte_unit(layout: Layout) -> int:
    return max(1, layout.goals.band(sum(layout.bytes), len(layout.members)) // 4)


def spread_racks(layout: Layout) -> None:
    """Move replicas that share a rack to racks without one."""
    for partition, missing in _crowded(layout):
        for _ in range(missing):
            if not _spread_one(layout, partition):
                break


def _crowded(layout: Layout) -> Iterable[tuple[int, int]]:
    """Find the partitions that could be in more racks, and in how many more."""
    target_racks = {layout.racks[target] for target in layout.targets}
    for partition, brokers in enumerate(layout.replicas):
        if layout.is_free[partition] and len(brokers) > 1:
            own = {layout.racks[broker] for broker in brokers}
            missing = min(len(brokers), len(own | target_racks)) - len(own)
            if missing > 0:
                yield partition, missing


def _spread_one(layout: Layout, partition: int) -> bool:
    brokers, racks = layout.replicas[partition], layout.racks
    own = [racks[broker] for broker in brokers]
    sources = [broker for broker in brokers if own.count(racks[broker]) > 1]
    targets = [target for target in layout.targets if racks[target] not in own]
    for source in sorted(sources, key=lambda broker: (-layout.counts[broker], -layout.bytes[broker], broker)):
        target = _best_target(layout, partition, source, targets)
        if target is not None:
            layout.move(partition, source, target, Goal.RACKS)
            return True
    return False


def relieve_disks(layout: Layout) -> None:
    """Move replicas away from brokers that exceed their limits."""
    for source in layout.members:
        while layout.is_over(source) and _relieve_once(layout, source):
            pass


def _relieve_once(layout: Layout, source: int) -> bool:
    excess = max(0, -(layout.room[source] or 0))
    candidates = [partition for partition in layout.hosted[source] if layout.is_free[partition]]
    if excess:
        candidates = [partition for partition in candidates if layout.size(partition)]

    def fewest_moves(partition: int) -> tuple[bool, int, int]:
        size = layout.size(partition)
        return (size < excess, size if size >= excess else -size, partition)

    for partition in sorted(candidates, key=fewest_moves):
        targets = [target for target in layout.targets if layout.keeps_racks(partition, source, target)]
        target = _best_target(layout, partition, source, targets)
        if target is not None:
            layout.move(partition, source, target, Goal.DISKS)
            return True
    return False


def unsolvable(layout: Layout) -> list[Unsolvable]:
    """Return what the moves so far have not achieved."""
    found = [
        _of_partition(layout, Goal.EMPTY_BROKERS, _reason(layout, partition), partition, layout.broker_ids[source])
        for partition, source in _misplaced(layout)
    ]
    if layout.goals.evens_load:
        found += [
            _of_partition(layout, Goal.RACKS, Reason.NO_ROOM, partition, None) for partition, _ in _crowded(layout)
        ]
        found += [
            Unsolvable(Goal.DISKS, Reason.NO_ROOM, layout.broker_ids[broker])
            for broker in layout.members
            if layout.is_over(broker)
        ]
    return found


def _reason(layout: Layout, partition: int) -> Reason:
    entry = layout.partitions[partition]
    if layout.goals.excludes(entry.topic):
        return Reason.EXCLUDED_TOPIC
    if is_reassigning(entry):
        return Reason.REASSIGNING
    if entry.leader is None:
        return Reason.NO_LEADER
    brokers = layout.replicas[partition]
    if all(target in brokers for target in layout.targets):
        return Reason.TOO_FEW_BROKERS
    return Reason.NO_ROOM


def _of_partition(layout: Layout, goal: Goal, reason: Reason, partition: int, broker_id: int | None) -> Unsolvable:
    entry = layout.partitions[partition]
    return Unsolvable(goal, reason, broker_id, entry.topic, entry.partition)
