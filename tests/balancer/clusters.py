"""Random clusters, and what a cluster looks like after a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from hypothesis import strategies as st

from kafka_facade.core.balancer.planning.goals import Goals
from kafka_facade.core.balancer.planning.plan import Move, Order, Plan
from kafka_facade.core.balancer.planning.snapshot import Broker, Partition, Snapshot

GOALS = Goals(excluded_topics=frozenset({"audit"}), excluded_topic_prefixes=("_",))
_TOPICS = ("orders", "payments", "clicks", "returns", "visits")
_NEVER_MOVED = ("audit", "_internal")
_OFFLINE_MS = (1_000, GOALS.failure_threshold_ms)


@dataclass(frozen=True)
class Shape:
    """What a random cluster is made of; the seed decides the rest."""

    brokers: int
    racks: int
    replication_factor: int
    partitions: int
    seed: int
    troubles: frozenset[str] = frozenset()
    uniform: bool = False


TROUBLES = ("leaving", "offline", "excluded", "unregistered", "fixed", "full", "crowded")


def shapes(
    *,
    brokers: int = 30,
    racks: int = 4,
    replication_factor: int = 3,
    partitions: int = 150,
    troubles: Iterable[str] = TROUBLES,
) -> st.SearchStrategy[Shape]:
    """Shapes up to these sizes, with any of the troubles."""
    return st.builds(
        Shape,
        brokers=st.integers(3, brokers),
        racks=st.integers(1, racks),
        replication_factor=st.integers(1, replication_factor),
        partitions=st.integers(0, partitions),
        seed=st.integers(0, 2**32),
        troubles=st.frozensets(st.sampled_from(sorted(troubles))) if troubles else st.just(frozenset()),
    )


def cluster(shape: Shape) -> Snapshot:
    """Make the cluster of a shape."""
    return _Maker(shape).made()


class _Maker:
    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._random = Random(shape.seed)
        # Some racks are larger than others, and some brokers have no or many more replicas.
        racks = [f"rack-{self._random.choice((rack, 0))}" for rack in range(shape.racks)]
        self._brokers = [Broker(index * 7 % 101, self._random.choice(racks)) for index in range(shape.brokers)]
        self._weights = [self._random.choice((0, 1, 1, 2, 5)) for _ in self._brokers]

    def made(self) -> Snapshot:
        brokers = [self._troubled(broker) for broker in self._brokers]
        partitions = [self._partition(index) for index in range(self._shape.partitions)]
        if "unregistered" in self._shape.troubles:
            brokers.pop(self._random.randrange(len(brokers)))
        if "full" in self._shape.troubles:
            brokers = [self._filled(broker, partitions) for broker in brokers]
        self._random.shuffle(partitions)
        return Snapshot(tuple(brokers), tuple(partitions))

    def _chance(self, trouble: str, probability: float) -> bool:
        return trouble in self._shape.troubles and self._random.random() < probability

    def _troubled(self, broker: Broker) -> Broker:
        return replace(
            broker,
            is_leaving=self._chance("leaving", 0.2),
            is_excluded=self._chance("excluded", 0.2),
            offline_ms=self._random.choice(_OFFLINE_MS) if self._chance("offline", 0.2) else None,
        )

    def _filled(self, broker: Broker, partitions: list[Partition]) -> Broker:
        """Give the broker disks that are nearly full, or too full, of its replicas and of other files."""
        used = sum(entry.size_bytes for entry in partitions if broker.broker_id in entry.replicas)
        total = int((used + 1000) * self._random.uniform(1.05, 3))
        return replace(broker, total_bytes=total, usable_bytes=total - used - self._random.randrange(500))

    def _partition(self, index: int) -> Partition:
        random, shape = self._random, self._shape
        replicas = self._replicas()
        topic = random.choice(_NEVER_MOVED if self._chance("fixed", 0.1) else _TOPICS)
        size = 100 if shape.uniform else int(random.lognormvariate(6, 1.5))
        entry = Partition(f"{topic}", index, replicas, replicas[0], size)
        if self._chance("fixed", 0.1):
            return replace(entry, leader=None)
        if self._chance("fixed", 0.1) and len(replicas) > 1:
            return replace(entry, adding=replicas[:1], removing=replicas[-1:])
        return entry

    def _replicas(self) -> tuple[int, ...]:
        """Choose brokers by weight, in different racks while there are any, unless partitions are crowded."""
        spread = not self._chance("crowded", 0.3)
        found: list[Broker] = []
        while len(found) < min(self._shape.replication_factor, len(self._brokers)):
            used = {broker.rack for broker in found} if spread else set()
            left = [broker for broker in self._brokers if broker not in found]
            left = [broker for broker in left if broker.rack not in used] or left
            weights = [self._weights[self._brokers.index(broker)] for broker in left]
            found += self._random.choices(left, weights if any(weights) else None)
        return tuple(broker.broker_id for broker in found)


def changes(plan: Plan) -> list[Move | Order]:
    """Return what a plan does to partitions."""
    return [*plan.moves, *plan.orders]


def after(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """Return the cluster as it is when the plan has been executed."""
    changed = {(entry.topic, entry.partition): entry.replicas for entry in changes(plan)}
    received: Counter[int] = Counter()
    for move in plan.moves:
        received.update(dict.fromkeys(move.adding, move.size_bytes))
        received.update(dict.fromkeys(move.removing, -move.size_bytes))
    return Snapshot(
        tuple(
            broker
            if broker.usable_bytes is None
            else replace(broker, usable_bytes=broker.usable_bytes - received[broker.broker_id])
            for broker in snapshot.brokers
        ),
        tuple(
            replace(entry, replicas=changed.get((entry.topic, entry.partition), entry.replicas))
            for entry in snapshot.partitions
        ),
    )


def shuffled(snapshot: Snapshot, seed: int) -> Snapshot:
    """Return the same cluster with brokers and partitions in another order."""
    random = Random(seed)
    return Snapshot(
        tuple(random.sample(snapshot.brokers, len(snapshot.brokers))),
        tuple(random.sample(snapshot.partitions, len(snapshot.partitions))),
    )
