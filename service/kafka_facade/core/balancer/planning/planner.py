"""The planner of the balancer."""

from __future__ import annotations

from kafka_facade.core.balancer.planning.byte_loads import even_bytes
from kafka_facade.core.balancer.planning.goals import Goals
from kafka_facade.core.balancer.planning.layout import Layout
from kafka_facade.core.balancer.planning.leaders import even_leaders
from kafka_facade.core.balancer.planning.plan import Move, Order, Plan
from kafka_facade.core.balancer.planning.replica_counts import even_replica_counts
from kafka_facade.core.balancer.planning.required import empty_brokers, relieve_disks, spread_racks, unsolvable
from kafka_facade.core.balancer.planning.snapshot import Snapshot


def plan(snapshot: Snapshot, goals: Goals) -> Plan:
    """Plan the moves that reach the goals, as few as possible. The same cluster always gets the same plan.

    The plan after a plan is empty. A large cluster takes seconds, so run this in a thread. Limits hold after all moves:
    the code that executes them must check that a copy fits on a disk before other replicas have left it.
    """
    layout = Layout(snapshot, goals)
    steps = -1
    # A later goal may make room for an earlier one. It ends, since no goal spoils an earlier one.
    while layout.targets and steps != layout.steps:
        steps = layout.steps
        empty_brokers(layout)
        if goals.evens_load:
            spread_racks(layout)
            relieve_disks(layout)
            even_replica_counts(layout)
            even_bytes(layout)
    if goals.evens_load:
        even_leaders(layout)
    return Plan(_moves(layout), _orders(layout), tuple(unsolvable(layout)))


def _moves(layout: Layout) -> tuple[Move, ...]:
    moves = []
    for index, goal in layout.first_goals.items():
        entry, replicas = layout.partitions[index], _replica_ids(layout, index)
        if set(replicas) != set(entry.replicas):
            moves.append(Move(entry.topic, entry.partition, entry.replicas, replicas, entry.size_bytes, goal))
    return tuple(sorted(moves, key=lambda move: move.goal))


def _orders(layout: Layout) -> tuple[Order, ...]:
    orders = []
    for index, entry in enumerate(layout.partitions):
        if layout.is_free[index]:
            replicas = _replica_ids(layout, index)
            if replicas != entry.replicas and set(replicas) == set(entry.replicas):
                orders.append(Order(entry.topic, entry.partition, entry.replicas, replicas))
    return tuple(orders)


def _replica_ids(layout: Layout, partition: int) -> tuple[int, ...]:
    return tuple(layout.broker_ids[broker] for broker in layout.replicas[partition])
