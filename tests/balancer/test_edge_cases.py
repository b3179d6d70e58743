"""Plans for clusters at the edges: nowhere to go, no room, nothing to do."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random

import pytest

from kafka_facade.core.balancer.planning.goals import Goal, Goals
from kafka_facade.core.balancer.planning.plan import Move, Order, Plan, Reason, Unsolvable
from kafka_facade.core.balancer.planning.planner import plan
from kafka_facade.core.balancer.planning.snapshot import Broker, Partition, Snapshot
from kafka_facade.core.worker_threads import WorkerThreads
from loop_watch import watched
from machine_speed import slowness

_GOALS = Goals()
_ONLY_EMPTY = Goals(evens_load=False)


def _partitions(*replicas: tuple[int, ...], size: int = 0) -> tuple[Partition, ...]:
    return tuple(Partition("orders", index, ids, ids[0], size) for index, ids in enumerate(replicas))


def _plan(brokers: tuple[Broker, ...], partitions: tuple[Partition, ...], goals: Goals = _GOALS) -> Plan:
    return plan(Snapshot(brokers, partitions), goals)


def _unsolvable(reason: Reason, broker: int) -> Unsolvable:
    return Unsolvable(Goal.EMPTY_BROKERS, reason, broker, "orders", 0)


def test_a_cluster_without_brokers_has_an_empty_plan() -> None:
    assert _plan((), ()) == Plan()


def test_a_cluster_without_partitions_has_an_empty_plan() -> None:
    assert _plan((Broker(1), Broker(2, is_leaving=True)), ()) == Plan()


@pytest.mark.parametrize("others", [Broker(2, is_excluded=True), Broker(2, is_leaving=True), Broker(2, offline_ms=1)])
def test_no_broker_takes_replicas(others: Broker) -> None:
    planned = _plan((Broker(1, is_leaving=True), others), _partitions((1,)))

    assert planned == Plan(unsolvable=(_unsolvable(Reason.TOO_FEW_BROKERS, 1),))


def test_replication_factor_is_the_number_of_brokers_left() -> None:
    brokers = (Broker(1), Broker(2), Broker(3, is_leaving=True))

    planned = _plan(brokers, _partitions((1, 2, 3)))

    assert planned == Plan(unsolvable=(_unsolvable(Reason.TOO_FEW_BROKERS, 3),))


def test_a_replica_on_a_leaving_broker_moves_to_another_rack() -> None:
    brokers = (Broker(1, "a"), Broker(2, "a"), Broker(3, "b", is_leaving=True), Broker(4, "b"))

    planned = _plan(brokers, _partitions((1, 3)), _ONLY_EMPTY)

    assert planned.moves == (Move("orders", 0, (1, 3), (1, 4), 0, Goal.EMPTY_BROKERS),)
    assert planned.moves[0].adding == (4,)
    assert planned.moves[0].removing == (3,)


def test_a_rack_that_leaves_is_replaced_by_one_that_is_in_use() -> None:
    brokers = (Broker(1, "a"), Broker(2, "a"), Broker(3, "b", is_leaving=True))

    planned = _plan(brokers, _partitions((1, 3)), _ONLY_EMPTY)

    assert [move.replicas for move in planned.moves] == [(1, 2)]


def test_replicas_of_an_unregistered_broker_move() -> None:
    planned = _plan((Broker(1), Broker(2)), (Partition("orders", 0, (1, 9), 1),), _ONLY_EMPTY)

    assert [move.replicas for move in planned.moves] == [(1, 2)]


@pytest.mark.parametrize(
    ("offline_ms", "threshold_ms", "moves"),
    [(3_600_000, 3_600_000, 1), (3_599_999, 3_600_000, 0), (10**9, -1, 0), (0, 0, 1)],
)
def test_replicas_of_a_broker_that_is_offline_for_long_move(offline_ms: int, threshold_ms: int, moves: int) -> None:
    brokers = (Broker(1), Broker(2), Broker(3, offline_ms=offline_ms))

    planned = _plan(brokers, _partitions((1, 3)), Goals(failure_threshold_ms=threshold_ms))

    assert len(planned.moves) == moves
    assert not planned.unsolvable


def test_a_partition_waits_for_a_broker_that_may_return() -> None:
    """It is under-replicated meanwhile, so its other replicas stay as well."""
    brokers = (Broker(1), Broker(2, offline_ms=1), Broker(3))

    assert _plan(brokers, _partitions(*[(1, 2)] * 20)) == Plan()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"leader": None}, Reason.NO_LEADER),
        ({"adding": (1,)}, Reason.REASSIGNING),
        ({"topic": "_orders"}, Reason.EXCLUDED_TOPIC),
        ({"topic": "audit"}, Reason.EXCLUDED_TOPIC),
    ],
)
def test_why_a_partition_stays_on_a_leaving_broker(changes: dict[str, object], reason: Reason) -> None:
    goals = Goals(excluded_topics=frozenset({"audit"}), excluded_topic_prefixes=("_",))
    partition = replace(_partitions((1,))[0], **changes)  # type: ignore[arg-type]

    planned = _plan((Broker(1, is_leaving=True), Broker(2)), (partition,), goals)

    assert planned.is_empty
    assert [entry.reason for entry in planned.unsolvable] == [reason]


def test_a_reassignment_off_a_leaving_broker_is_enough() -> None:
    partition = Partition("orders", 0, (2, 1), 1, adding=(2,), removing=(1,))

    assert _plan((Broker(1, is_leaving=True), Broker(2)), (partition,)) == Plan()


def test_copies_in_flight_take_room() -> None:
    brokers = (Broker(1, is_leaving=True), Broker(2, total_bytes=1000, usable_bytes=1000), Broker(3))
    moving = Partition("orders", 1, (2, 3), 3, 500, adding=(2,), removing=(3,))

    def moves(size: int) -> list[tuple[int, ...]]:
        partition = Partition("orders", 0, (1, 3), 1, size)
        return [move.replicas for move in _plan(brokers, (partition, moving), _ONLY_EMPTY).moves]

    assert moves(350) == [(2, 3)]
    assert moves(351) == []


def test_full_disks_are_no_target() -> None:
    brokers = (Broker(1, is_leaving=True), Broker(2, total_bytes=1000, usable_bytes=249))

    planned = _plan(brokers, _partitions((1,), size=100))

    assert planned == Plan(unsolvable=(_unsolvable(Reason.NO_ROOM, 1),))
    assert not _plan(brokers, _partitions((1,), size=99)).unsolvable


def test_a_broker_above_its_disk_limit_loses_the_replica_that_is_enough() -> None:
    brokers = (Broker(1, total_bytes=1000, usable_bytes=100), Broker(2, total_bytes=1000, usable_bytes=1000))
    sizes = (10, 600, 60, 230)
    partitions = tuple(Partition("orders", index, (1,), 1, size) for index, size in enumerate(sizes))

    planned = _plan(brokers, partitions, Goals(spread=10))

    assert [(move.partition, move.goal) for move in planned.moves] == [(2, Goal.DISKS)]


def test_brokers_without_room_for_another_rack_are_named() -> None:
    brokers = (Broker(1, "a"), Broker(2, "a"), Broker(3, "b", total_bytes=10, usable_bytes=0))

    planned = _plan(brokers, _partitions((1, 2), size=5))

    assert planned.is_empty
    assert {(entry.goal, entry.broker_id) for entry in planned.unsolvable} == {(Goal.RACKS, None), (Goal.DISKS, 3)}


def test_brokers_without_racks_exchange_replicas_freely() -> None:
    planned = _plan((Broker(1), Broker(2), Broker(3)), _partitions(*[(1, 2)] * 9))

    counts = dict.fromkeys((1, 2, 3), 0)
    for move in planned.moves:
        assert move.adding == (3,)
        counts[move.removing[0]] += 1
    assert sum(counts.values()) == 6
    assert abs(counts[1] - counts[2]) <= 1


def test_racks_of_unequal_size_keep_what_they_must() -> None:
    """The only broker of a rack has a replica of each partition, and the others share the rest."""
    brokers = (Broker(1, "a"), Broker(2, "b"), Broker(3, "b"), Broker(4, "b"))

    planned = _plan(brokers, _partitions(*[(1, 2)] * 9))

    assert all(move.replicas[0] == 1 or move.replicas[1] == 1 for move in planned.moves)
    assert len(planned.moves) == 6


def test_an_excluded_broker_keeps_its_share_and_gets_nothing() -> None:
    brokers = (Broker(1), Broker(2), Broker(3, is_excluded=True))

    planned = _plan(brokers, _partitions(*[(1,)] * 10, *[(2,)] * 10, *[(3,)] * 4))

    assert planned == Plan()


def test_leaders_move_along_a_path() -> None:
    """Broker 3 shares no partition with broker 1: it takes over from broker 2, which takes over from broker 1."""
    replicas = [*[(1, 2)] * 4, *[(2, 3)] * 4, *[(1,)] * 4, *[(3,)] * 4]

    planned = _plan((Broker(1), Broker(2), Broker(3)), _partitions(*replicas))

    assert planned.orders == (
        Order("orders", 0, (1, 2), (2, 1)),
        Order("orders", 1, (1, 2), (2, 1)),
        Order("orders", 4, (2, 3), (3, 2)),
    )
    assert not planned.moves


@pytest.mark.serial
async def test_a_thread_plans_for_a_large_cluster_without_blocking_the_loop() -> None:
    """30 brokers with 10,000 partitions of 3 replicas, three brokers of which are new."""
    random = Random(1)
    brokers = tuple(Broker(index, f"rack-{index % 3}") for index in range(30))
    partitions = tuple(
        Partition(f"topic-{index % 200}", index // 200, ids, ids[0], int(random.lognormvariate(17, 1.5)))
        for index, ids in enumerate(
            tuple(3 * random.randrange(1 + rack % 2, 10) + rack for rack in random.sample(range(3), 3))
            for _ in range(10_000)
        )
    )
    snapshot = Snapshot(brokers, partitions)
    threads = WorkerThreads("planner", 1)
    seconds, held = [], []

    def timed_plan() -> Plan:
        began = time.thread_time()
        planned = plan(snapshot, _GOALS)
        seconds.append(time.thread_time() - began)
        return planned

    try:
        # Other programs on the machine slow some tries down.
        for _ in range(3):
            async with watched() as watch:
                assert (await threads.run(timed_plan, wait=10, limit=120)).moves
            held.append(watch.longest_held)
    finally:
        threads.close()

    assert min(seconds) < 10 * slowness()
    assert min(held) < 0.05 * slowness()
