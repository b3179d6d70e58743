"""What a cluster must fulfill after a plan, checked without the planner's code and by trying all possibilities."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations

from kafka_facade.core.balancer.planning.goals import Goals
from kafka_facade.core.balancer.planning.snapshot import Broker, Partition, Snapshot


class Rules:
    """The state of a cluster and the rules that hold in it."""

    def __init__(self, snapshot: Snapshot, goals: Goals) -> None:
        self.goals = goals
        self.brokers = {broker.broker_id: broker for broker in snapshot.brokers}
        self.partitions = {(entry.topic, entry.partition): entry for entry in snapshot.partitions}
        self.replicas = {
            key: tuple(broker for broker in entry.replicas if broker not in entry.removing)
            for key, entry in self.partitions.items()
        }
        self.members = sorted(broker for broker in self.brokers if self.is_member(broker))
        self.targets = [broker for broker in self.members if not self.brokers[broker].is_excluded]
        self.counts, self.bytes, self.leads = Counter[int](), Counter[int](), Counter[int]()
        for key, replicas in self.replicas.items():
            self.leads.update(replicas[:1])
            self.counts.update(replicas)
            self.bytes.update(dict.fromkeys(replicas, self.partitions[key].size_bytes))

    def must_empty(self, broker_id: int) -> bool:
        broker = self.brokers.get(broker_id)
        threshold = self.goals.failure_threshold_ms
        return (
            broker is None
            or broker.is_leaving
            or (threshold >= 0 and broker.offline_ms is not None and broker.offline_ms >= threshold)
        )

    def is_member(self, broker_id: int) -> bool:
        return not self.must_empty(broker_id) and self.brokers[broker_id].offline_ms is None

    def may_change(self, entry: Partition) -> bool:
        is_excluded = entry.topic in self.goals.excluded_topics or any(
            entry.topic.startswith(prefix) for prefix in self.goals.excluded_topic_prefixes
        )
        return not is_excluded and not entry.adding and not entry.removing and entry.leader is not None

    def free(self) -> list[Partition]:
        """Return the partitions that may move, all of whose replicas are on members."""
        return [
            entry
            for entry in self.partitions.values()
            if self.may_change(entry) and all(map(self.is_member, entry.replicas))
        ]

    def distinct_racks(self, replicas: tuple[int, ...]) -> int:
        return len({self._rack(broker) for broker in replicas})

    def _rack(self, broker_id: int) -> str | None:
        return self.brokers.get(broker_id, Broker(broker_id)).rack

    def room(self, broker_id: int) -> float:
        """Return how many bytes a broker may still get; below 0 if it has too many."""
        broker = self.brokers[broker_id]
        if broker.total_bytes is None or broker.usable_bytes is None:
            return float("inf")
        in_flight = sum(entry.size_bytes for entry in self.partitions.values() if broker_id in entry.adding)
        used = broker.total_bytes - broker.usable_bytes + in_flight
        return int(self.goals.max_disk_load * broker.total_bytes) - used

    def fits(self, broker_id: int, size: int) -> bool:
        return self.counts[broker_id] < self.goals.max_replicas and size <= self.room(broker_id)

    def best_racks(self, replicas: tuple[int, ...]) -> int:
        """Return the most racks of any legal placement of a partition, regardless of room, by trying all of them."""
        possible = {*self.targets, *(broker for broker in replicas if not self.must_empty(broker))}
        return max((self.distinct_racks(chosen) for chosen in combinations(sorted(possible), len(replicas))), default=0)

    def movable(self, source: int, target: int) -> list[Partition]:
        """Return the partitions that may move between two brokers, regardless of room."""
        return [entry for entry in self._free_of(source) if self._keeps_racks(entry, source, target)]

    def _free_of(self, broker_id: int) -> list[Partition]:
        if not hasattr(self, "_free"):
            self._free = defaultdict[int, list[Partition]](list)
            for entry in self.free():
                for broker in entry.replicas:
                    self._free[broker].append(entry)
        return self._free[broker_id]

    def _keeps_racks(self, entry: Partition, source: int, target: int) -> bool:
        moved = tuple(target if broker == source else broker for broker in entry.replicas)
        return target not in entry.replicas and self.distinct_racks(moved) >= self.distinct_racks(entry.replicas)

    def count_band(self) -> int:
        return self._band(self.counts)

    def byte_band(self) -> int:
        sizes = [entry.size_bytes for entry in self.partitions.values() if self.may_change(entry)]
        return max([*sizes, self._band(self.bytes)])

    def _band(self, loads: Counter[int]) -> int:
        total = sum(loads[broker] for broker in self.members)
        return max(1, int(self.goals.spread * total / len(self.members))) if self.members else 1

    def uneven_counts(self) -> list[tuple[int, int]]:
        """Return the pairs beyond the band with a replica that may move between them."""
        band = self.count_band()
        return [
            (source, target)
            for source in self.members
            for target in self.targets
            if self.counts[source] - self.counts[target] > band
            and any(self.fits(target, entry.size_bytes) for entry in self.movable(source, target))
        ]

    def uneven_bytes(self) -> list[tuple[int, int]]:
        """Return the pairs beyond the band that could even their bytes while their counts stay even."""
        band = self.byte_band()
        return [
            (source, target)
            for source in self.members
            for target in self.targets
            if self.bytes[source] - self.bytes[target] > band
            and (self._may_swap(source, target) or self._may_shift(source, target))
        ]

    def _may_swap(self, source: int, target: int) -> bool:
        if source not in self.targets or max(self.counts.values()) > self.goals.max_replicas:
            return False
        coming = self.movable(target, source)
        return any(
            0 < leaving.size_bytes - back.size_bytes <= self.room(target)
            and self.room(source) + leaving.size_bytes - back.size_bytes >= 0
            for leaving in self.movable(source, target)
            for back in coming
        )

    def _may_shift(self, source: int, target: int) -> bool:
        counts = self.counts - Counter({source: 1}) + Counter({target: 1})
        band = self.count_band()
        if counts[target] - min(counts[broker] for broker in self.targets) > band:
            return False
        if source in self.targets and max(counts[broker] for broker in self.members) - counts[source] > band:
            return False
        return any(entry.size_bytes and self.fits(target, entry.size_bytes) for entry in self.movable(source, target))

    def uneven_leaders(self) -> list[tuple[int, int]]:
        """Return the pairs beyond the band of which one could take over leaders, through others if need be."""
        ways = defaultdict[int, set[int]](set)
        for entry in self.free():
            ways[entry.replicas[0]].update(entry.replicas[1:])
        band = self._band(self.leads)
        return [
            (source, target)
            for source in self.members
            for target in _reachable(source, ways)
            if self.leads[source] - self.leads[target] > band
        ]


def _reachable(source: int, ways: dict[int, set[int]]) -> set[int]:
    found, left = {source}, [source]
    while left:
        for broker in ways.get(left.pop(), set()) - found:
            found.add(broker)
            left.append(broker)
    return found


def fewest_moves(counts: list[int], placed: int, band: int) -> int:
    """Return the fewest moves that even the counts if each broker can take any replica.

    ``placed`` replicas come from other brokers and have to go anywhere; they are moves too.
    """
    counts = sorted(counts)
    for _ in range(placed):
        counts[counts.index(min(counts))] += 1
    return placed + min(
        max(
            sum(max(0, count - low - band) for count in counts),
            sum(max(0, low - count) for count in counts),
        )
        for low in range(max(counts) + 1)
    )
