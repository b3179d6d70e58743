"""The placement of all replicas while a plan is made."""

from __future__ import annotations

from collections import defaultdict

from kafka_facade.core.balancer.planning.goals import Goal, Goals
from kafka_facade.core.balancer.planning.snapshot import Broker, Partition, Snapshot


class Layout:
    """Brokers and partitions by index, with sums for each broker.

    Indexes are in the order of broker ids, and of topics and partitions: the order of the snapshot does not matter.
    """

    def __init__(self, snapshot: Snapshot, goals: Goals) -> None:
        self.goals = goals
        self._add_brokers(snapshot)
        self._add_partitions(snapshot)
        self.steps = 0
        """How many replicas have moved, those that moved twice included."""
        self.first_goals: dict[int, Goal] = {}
        """The goal for which a partition moved first."""

    def _add_brokers(self, snapshot: Snapshot) -> None:
        known = {broker.broker_id: broker for broker in snapshot.brokers}
        ids = known.keys() | {broker for entry in snapshot.partitions for broker in entry.replicas}
        self.broker_ids = sorted(ids)
        self._index_of = {broker_id: index for index, broker_id in enumerate(self.broker_ids)}
        brokers = [known.get(broker_id, Broker(broker_id, is_leaving=True)) for broker_id in self.broker_ids]
        racks: dict[str | None, int] = {}
        self.racks = [racks.setdefault(broker.rack, len(racks)) for broker in brokers]
        self.must_empty = [broker.is_leaving or self._is_lost(broker) for broker in brokers]
        self._is_member = [
            not leaves and broker.offline_ms is None for broker, leaves in zip(brokers, self.must_empty, strict=True)
        ]
        self.members = [index for index, is_member in enumerate(self._is_member) if is_member]
        """Live brokers that may keep their replicas."""
        self.targets = [index for index in self.members if not brokers[index].is_excluded]
        """Members that get new replicas."""
        self.is_target = [False] * len(brokers)
        for index in self.targets:
            self.is_target[index] = True
        self.room = [_room(broker, self.goals) for broker in brokers]
        """How many bytes a broker may still get; None without a limit."""
        self.counts = [0] * len(brokers)
        self.bytes = [0] * len(brokers)
        self.hosted: list[dict[int, None]] = [{} for _ in brokers]
        """The partitions of which a broker has a replica."""
        self.topic_counts: list[defaultdict[str, int]] = [defaultdict(int) for _ in brokers]
        """How many replicas of each topic a broker has."""

    def _is_lost(self, broker: Broker) -> bool:
        threshold = self.goals.failure_threshold_ms
        return broker.offline_ms is not None and 0 <= threshold <= broker.offline_ms

    def _add_partitions(self, snapshot: Snapshot) -> None:
        by_topic: defaultdict[str, list[Partition]] = defaultdict(list)
        for entry in snapshot.partitions:
            by_topic[entry.topic].append(entry)
        # One large sort would hold the interpreter lock for too long.
        self.partitions = [
            entry for topic in sorted(by_topic) for entry in sorted(by_topic[topic], key=lambda entry: entry.partition)
        ]
        is_excluded = {topic: self.goals.excludes(topic) for topic in by_topic}
        self.replicas: list[list[int]] = []
        self.can_change: list[bool] = []
        self.is_free: list[bool] = []
        """Whether goals beyond the required ones may move a partition: all its replicas are on members."""
        self.largest = 0
        """The size of the largest replica that may move."""
        for index, entry in enumerate(self.partitions):
            brokers = [self._index_of[broker] for broker in entry.replicas if broker not in entry.removing]
            can_change = not (is_excluded[entry.topic] or is_reassigning(entry)) and entry.leader is not None
            self.replicas.append(brokers)
            self.can_change.append(can_change)
            self.is_free.append(can_change and self._is_on_members(brokers))
            if can_change:
                self.largest = max(self.largest, entry.size_bytes)
            for broker in brokers:
                self._add(index, broker)
            for broker_id in entry.adding:
                self._take_room(self._index_of[broker_id], entry.size_bytes)

    def _is_on_members(self, brokers: list[int]) -> bool:
        return all(self._is_member[broker] for broker in brokers)

    def _take_room(self, broker: int, size: int) -> None:
        room = self.room[broker]
        if room is not None:
            self.room[broker] = room - size

    def _add(self, partition: int, broker: int) -> None:
        entry = self.partitions[partition]
        self.counts[broker] += 1
        self.bytes[broker] += entry.size_bytes
        self.hosted[broker][partition] = None
        self.topic_counts[broker][entry.topic] += 1

    def size(self, partition: int) -> int:
        """Return the size of a replica."""
        return self.partitions[partition].size_bytes

    def move(self, partition: int, source: int, target: int, goal: Goal) -> None:
        """Move a replica; the target takes its place in the order."""
        entry = self.partitions[partition]
        brokers = self.replicas[partition]
        brokers[brokers.index(source)] = target
        self.counts[source] -= 1
        self.bytes[source] -= entry.size_bytes
        del self.hosted[source][partition]
        self.topic_counts[source][entry.topic] -= 1
        self._take_room(source, -entry.size_bytes)
        self._add(partition, target)
        self._take_room(target, entry.size_bytes)
        self.is_free[partition] = self.is_free[partition] or self._is_on_members(brokers)
        self.first_goals.setdefault(partition, goal)
        self.steps += 1

    def has_room(self, broker: int, size: int) -> bool:
        """Whether a broker can get a replica within its limits."""
        room = self.room[broker]
        return self.counts[broker] < self.goals.max_replicas and (room is None or size <= room)

    def is_over(self, broker: int) -> bool:
        """Whether a broker exceeds its limits."""
        room = self.room[broker]
        return self.counts[broker] > self.goals.max_replicas or (room is not None and room < 0)

    def distinct_racks(self, partition: int) -> int:
        """Return how many racks have a replica of the partition."""
        return len({self.racks[broker] for broker in self.replicas[partition]})

    def racks_without(self, partition: int, source: int) -> list[int]:
        """Return the racks of the other replicas."""
        racks = self.racks
        return [racks[broker] for broker in self.replicas[partition] if broker != source]

    def keeps_racks(self, partition: int, source: int, target: int) -> bool:
        """Whether the target has no replica of the partition, and a move there loses no rack."""
        brokers, racks = self.replicas[partition], self.racks
        if target in brokers:
            return False
        if racks[source] == racks[target] or len(brokers) == 1:
            return True
        others = self.racks_without(partition, source)
        return racks[target] not in others or racks[source] in others


def is_reassigning(entry: Partition) -> bool:
    """Whether a reassignment of the partition is in progress."""
    return bool(entry.adding or entry.removing)


def _room(broker: Broker, goals: Goals) -> int | None:
    if broker.total_bytes is None or broker.usable_bytes is None:
        return None
    return int(goals.max_disk_load * broker.total_bytes) - (broker.total_bytes - broker.usable_bytes)
