"""Plans of the balancer for random clusters."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from balancer.clusters import GOALS, TROUBLES, Shape, after, changes, cluster, shapes, shuffled
from balancer.rules import Rules, fewest_moves
from kafka_facade.core.balancer.planning.goals import Goal
from kafka_facade.core.balancer.planning.plan import Plan, Reason, Unsolvable
from kafka_facade.core.balancer.planning.planner import plan

_WITHOUT_LIMITS = [trouble for trouble in TROUBLES if trouble != "full"]


@given(shapes())
def test_brokers_that_must_be_empty_are_empty_or_unsolvable(shape: Shape) -> None:
    snapshot = cluster(shape)
    planned = plan(snapshot, GOALS)
    rules = Rules(after(snapshot, planned), GOALS)

    left = {
        (key, broker) for key, replicas in rules.replicas.items() for broker in replicas if rules.must_empty(broker)
    }

    told = {_place(entry): entry.reason for entry in planned.unsolvable if entry.goal is Goal.EMPTY_BROKERS}
    assert told.keys() == left
    for (key, _), reason in told.items():
        entry = rules.partitions[key]
        others = [broker for broker in rules.targets if broker not in entry.replicas]
        if reason is Reason.TOO_FEW_BROKERS:
            assert not others
        elif reason is Reason.NO_ROOM:
            assert others
            assert not any(rules.fits(broker, entry.size_bytes) for broker in others)
        else:
            assert not rules.may_change(entry)


@given(shapes())
def test_replicas_stay_distinct_and_as_many(shape: Shape) -> None:
    snapshot = cluster(shape)
    before = Rules(snapshot, GOALS)
    planned = plan(snapshot, GOALS)

    for change in changes(planned):
        assert change.replicas_before == before.partitions[change.topic, change.partition].replicas
        assert len(set(change.replicas)) == len(change.replicas) == len(change.replicas_before)
    for move in planned.moves:
        assert move.adding
        assert set(move.adding) <= set(before.targets)
    for order in planned.orders:
        assert set(order.replicas) == set(order.replicas_before)
        assert order.replicas != order.replicas_before
    changed = [(change.topic, change.partition) for change in changes(planned)]
    assert len(set(changed)) == len(changed)


@given(shapes())
def test_excluded_topics_and_partitions_under_reassignment_never_change(shape: Shape) -> None:
    snapshot = cluster(replace(shape, troubles=shape.troubles | {"fixed"}))
    before = Rules(snapshot, GOALS)
    planned = plan(snapshot, GOALS)

    for change in changes(planned):
        assert before.may_change(before.partitions[change.topic, change.partition])


@given(shapes(brokers=8, partitions=30, troubles=_WITHOUT_LIMITS))
def test_partitions_are_in_as_many_racks_as_possible(shape: Shape) -> None:
    snapshot = cluster(shape)
    planned = plan(snapshot, GOALS)
    rules = Rules(after(snapshot, planned), GOALS)

    assert all(entry.goal is Goal.EMPTY_BROKERS for entry in planned.unsolvable)
    for entry in rules.free():
        assert rules.distinct_racks(entry.replicas) == rules.best_racks(entry.replicas)


@given(shapes())
def test_partitions_lose_no_rack_unless_brokers_leave_or_are_full(shape: Shape) -> None:
    snapshot = cluster(shape)
    before = Rules(snapshot, GOALS)
    planned = plan(snapshot, GOALS)
    told = {(entry.topic, entry.partition) for entry in planned.unsolvable if entry.goal is Goal.RACKS}

    for move in planned.moves:
        kept = tuple(broker for broker in move.replicas_before if not before.must_empty(broker))
        assert before.distinct_racks(move.replicas) >= before.distinct_racks(kept)
        racks = {before.brokers[broker].rack for broker in (*before.targets, *kept)}
        if len(kept) == len(move.replicas) or (move.topic, move.partition) not in told:
            wanted = min(len(racks), before.distinct_racks(move.replicas_before))
            free = all(map(before.is_member, move.replicas))
            assert not free or before.distinct_racks(move.replicas) >= wanted


@given(shapes(), st.integers(1, 40))
def test_targets_stay_within_their_limits(shape: Shape, max_replicas: int) -> None:
    goals = replace(GOALS, max_replicas=max_replicas)
    snapshot = cluster(replace(shape, troubles=shape.troubles | {"full"}))
    planned = plan(snapshot, goals)
    rules = Rules(after(snapshot, planned), goals)

    for target in {broker for move in planned.moves for broker in move.adding}:
        assert rules.room(target) >= 0
        assert rules.counts[target] <= max_replicas
    over = {broker for broker in rules.members if rules.room(broker) < 0 or rules.counts[broker] > max_replicas}
    assert over == {entry.broker_id for entry in planned.unsolvable if entry.goal is Goal.DISKS}


@given(shapes())
def test_no_pair_of_brokers_has_uneven_counts(shape: Shape) -> None:
    snapshot = cluster(shape)
    assert not Rules(after(snapshot, plan(snapshot, GOALS)), GOALS).uneven_counts()


@given(shapes())
def test_no_pair_of_brokers_has_uneven_bytes(shape: Shape) -> None:
    snapshot = cluster(shape)
    assert not Rules(after(snapshot, plan(snapshot, GOALS)), GOALS).uneven_bytes()


@given(shapes())
def test_no_pair_of_brokers_has_uneven_leaders(shape: Shape) -> None:
    snapshot = cluster(shape)
    assert not Rules(after(snapshot, plan(snapshot, GOALS)), GOALS).uneven_leaders()


@given(shapes(), st.booleans())
def test_a_plan_after_a_plan_is_empty(shape: Shape, evens_load: bool) -> None:
    goals = replace(GOALS, evens_load=evens_load)
    snapshot = cluster(shape)
    first = plan(snapshot, goals)
    second = plan(after(snapshot, first), goals)

    assert second.is_empty
    assert second.unsolvable == first.unsolvable


@given(shapes(), st.integers())
def test_the_order_of_the_snapshot_does_not_matter(shape: Shape, seed: int) -> None:
    snapshot = cluster(shape)
    assert plan(snapshot, GOALS) == plan(shuffled(snapshot, seed), GOALS)


@given(shapes(troubles=["leaving"]), st.booleans())
def test_few_replicas_move(shape: Shape, one_rack: bool) -> None:
    """Where each broker can take any replica, at most a tenth more moves than the fewest possible."""
    shape = replace(shape, uniform=True)
    snapshot = cluster(replace(shape, racks=1) if one_rack else replace(shape, replication_factor=1))
    before = Rules(snapshot, GOALS)
    if len(before.targets) < shape.replication_factor + 1:
        return
    placed = sum(before.counts[broker] for broker in before.brokers if before.must_empty(broker))
    planned = plan(snapshot, GOALS)
    band = Rules(after(snapshot, planned), GOALS).count_band()

    fewest = fewest_moves([before.counts[broker] for broker in before.targets], placed, band)

    assert _moved(planned) <= 1.1 * fewest


@given(shapes(troubles=[]))
def test_few_replicas_move_within_racks(shape: Shape) -> None:
    """Where each partition has a replica in each rack, the same holds in each rack."""
    racks = {broker.rack for broker in cluster(shape).brokers}
    snapshot = cluster(replace(shape, uniform=True, replication_factor=len(racks)))
    before = Rules(snapshot, GOALS)
    band = before.count_band()

    fewest = sum(
        fewest_moves([before.counts[broker.broker_id] for broker in snapshot.brokers if broker.rack == rack], 0, band)
        for rack in racks
    )

    assert _moved(plan(snapshot, GOALS)) <= 1.1 * fewest


@given(shapes(troubles=["leaving", "offline", "excluded"]))
def test_only_brokers_that_must_be_empty_lose_replicas_if_load_is_not_evened(shape: Shape) -> None:
    snapshot = cluster(shape)
    before = Rules(snapshot, GOALS)
    planned = plan(snapshot, replace(GOALS, evens_load=False))

    assert not planned.orders
    for move in planned.moves:
        assert all(map(before.must_empty, move.removing))
        assert move.goal is Goal.EMPTY_BROKERS


def _place(entry: Unsolvable) -> tuple[tuple[str, int], int]:
    assert entry.topic is not None
    assert entry.partition is not None
    assert entry.broker_id is not None
    return (entry.topic, entry.partition), entry.broker_id


def _moved(planned: Plan) -> int:
    return sum(len(move.adding) for move in planned.moves)
