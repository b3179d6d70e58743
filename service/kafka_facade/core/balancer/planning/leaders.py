"""Even numbers of preferred leaders, by new orders of replicas."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from kafka_facade.core.balancer.planning.layout import Layout


def even_leaders(layout: Layout) -> None:
    """Reorder replicas until no broker leads many more partitions than one that could take over from it.

    A broker takes over from another one directly, or along a path: it leads a partition of a third one, which leads one
    of the other. So the paths are augmenting paths of a flow.
    """
    leads = _Leads(layout)
    band = layout.goals.band(sum(leads.counts), len(layout.members))
    left = set(layout.members)
    while left:
        source = min(left, key=lambda broker: (-leads.counts[broker], broker))
        path = leads.path_from(source, band)
        if path:
            leads.shift(path)
        else:
            # Later shifts give it no path: what they make reachable has no fewer leaders than the ends of their paths.
            left.remove(source)


class _Leads:
    """Which broker leads which partitions, and which brokers could lead them instead."""

    def __init__(self, layout: Layout) -> None:
        self._replicas = layout.replicas
        self._edges: list[dict[int, dict[int, None]]] = [{} for _ in layout.broker_ids]
        self.counts = [0] * len(layout.broker_ids)
        members = set(layout.members)
        for partition, brokers in enumerate(layout.replicas):
            if brokers and brokers[0] in members:
                self.counts[brokers[0]] += 1
            if layout.is_free[partition]:
                self._connect(partition)

    def _connect(self, partition: int) -> None:
        leader, *followers = self._replicas[partition]
        edges = self._edges[leader]
        for follower in followers:
            edges.setdefault(follower, {})[partition] = None

    def path_from(self, source: int, band: int) -> list[int]:
        """Return a shortest path to the broker with the fewest leaders, if it has fewer by more than the band."""
        previous = {source: source}
        queue = deque([source])
        while queue:
            leader = queue.popleft()
            for follower, partitions in sorted(self._edges[leader].items()):
                if partitions and follower not in previous:
                    previous[follower] = leader
                    queue.append(follower)
        # The first one that was reached is the nearest.
        last = min(previous, key=lambda broker: self.counts[broker])
        if self.counts[source] - self.counts[last] <= band:
            return []
        path = [last]
        while path[-1] != source:
            path.append(previous[path[-1]])
        return path[::-1]

    def shift(self, path: list[int]) -> None:
        """Make each broker on a path lead a partition of the one before it."""
        moved = [next(iter(self._edges[leader][follower])) for leader, follower in pairwise(path)]
        for partition, follower in zip(moved, path[1:], strict=True):
            self._lead(partition, follower)

    def _lead(self, partition: int, leader: int) -> None:
        brokers = self._replicas[partition]
        for follower in brokers[1:]:
            del self._edges[brokers[0]][follower][partition]
        self.counts[brokers[0]] -= 1
        self.counts[leader] += 1
        brokers.remove(leader)
        brokers.insert(0, leader)
        self._connect(partition)
