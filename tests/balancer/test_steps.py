"""The steps of tasks, and which moves of a plan begin next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.balancer.planning.goals import Goal, Goals
from kafka_facade.core.balancer.planning.plan import Move, Plan
from kafka_facade.core.balancer.planning.snapshot import Broker, Snapshot
from kafka_facade.core.balancer.port import PlacedPartition, Placement
from kafka_facade.core.balancer.queue import Limits, MoveQueue
from kafka_facade.core.balancer.records import Failure, MoveRecord, new_task
from kafka_facade.core.balancer.snapshots import Look
from kafka_facade.core.balancer.steps import (
    ADD_BROKER,
    ADDITION,
    MOVED_AWAY,
    REMOVAL,
    REMOVE_BROKER,
    TABLES,
    Steps,
    TaskEvent,
    TaskStatus,
    TaskType,
)
from kafka_facade.core.reassignments.port import Place

_FIRST = {REMOVE_BROKER: REMOVAL, ADD_BROKER: ADDITION}


def _reachable(task_type: TaskType) -> set[Steps]:
    table = TABLES[task_type]
    found, left = set[Steps](), [_FIRST[task_type]]
    while left:
        at = left.pop()
        found.add(at)
        left += [after for (before, _), after in table.items() if before == at and after not in found]
    return found


@pytest.mark.parametrize("task_type", TABLES)
def test_tables_have_only_what_can_be_reached(task_type: TaskType) -> None:
    assert {before for before, _ in TABLES[task_type]} <= _reachable(task_type)


@pytest.mark.parametrize("task_type", TABLES)
def test_each_task_in_progress_can_be_cancelled_and_a_finished_one_does_not_change(task_type: TaskType) -> None:
    for steps in _reachable(task_type):
        events = {event for before, event in TABLES[task_type] if before == steps}
        if steps.status is TaskStatus.IN_PROGRESS:
            assert TaskEvent.CANCELED in events
            assert TABLES[task_type][steps, TaskEvent.CANCELED].status is TaskStatus.FAILED
        else:
            assert not events


def test_a_removal_succeeds_step_by_step() -> None:
    task = new_task(3, REMOVE_BROKER, REMOVAL, should_shutdown=True)
    for event in (TaskEvent.TAKEN, TaskEvent.EXCLUDED, TaskEvent.MOVED):
        task = task.after(event, message="waiting")
    assert task.steps == MOVED_AWAY
    assert task.message == "waiting"
    done = task.after(TaskEvent.STOPPED)
    assert done.status is TaskStatus.SUCCESS
    assert done.message is None
    with pytest.raises(KeyError):
        done.after(TaskEvent.FAILED, Failure(10006, "late"))


def _seen(partitions: dict[Place, PlacedPartition], down: Collection[int] = ()) -> Look:
    """A look at brokers 1 to 6."""
    alive = {number: number not in down for number in range(1, 7)}
    return Look(alive, is_complete=True, placement=Placement({}, partitions), moving={}, named=frozenset())


@st.composite
def _moves(draw: st.DrawFn) -> list[Move]:
    brokers = st.lists(st.integers(1, 6), min_size=2, max_size=4, unique=True)
    moves = []
    for number in range(draw(st.integers(0, 40))):
        ids = draw(brokers)
        size = draw(st.integers(0, 100))
        moves.append(Move("t", number, tuple(ids[1:]), (ids[0], *ids[2:]), size, Goal.REPLICAS))
    return moves


@given(_moves(), st.integers(1, 10), st.integers(1, 5), st.integers(100, 400), st.booleans())
def test_moves_begin_within_all_limits_and_all_begin_at_last(
    moves: list[Move], most: int, most_each: int, room: int, smallest_first: bool
) -> None:
    snapshot = Snapshot(tuple(Broker(number, None, room, room) for number in range(1, 7)), ())
    queue = MoveQueue(Plan(tuple(moves)), snapshot, Goals(max_disk_load=1.0), smallest_first=smallest_first)
    at = _seen(
        {
            (move.topic, move.partition): PlacedPartition(move.replicas_before, frozenset(move.replicas_before), 1)
            for move in moves
        }
    )
    begun: list[MoveRecord] = []
    used = Counter[int]()
    while batch := queue.take(at, (), Limits(most, most_each), ()):
        assert len(batch) <= most
        busy = Counter(broker for move in batch for broker in (*move.adding, *move.removing))
        assert max(busy.values()) <= most_each
        for move in batch:
            used.update(dict.fromkeys(move.adding, move.size_bytes))
        assert all(size <= room for size in used.values())
        for move in batch:
            used.subtract(dict.fromkeys(move.removing, move.size_bytes))
        queue.finish(batch)
        begun += batch
    assert len(begun) + len(queue) == len(moves)
    if all(move.size_bytes == 0 for move in moves):
        assert not len(queue)


def test_partitions_that_are_under_replicated_or_changed_do_not_begin() -> None:
    moves = [Move("t", number, (1, 2), (3, 2), 1, Goal.EMPTY_BROKERS) for number in range(4)]
    queue = MoveQueue(Plan(tuple(moves)), Snapshot((), ()), Goals(), smallest_first=False)
    partitions = {
        ("t", 0): PlacedPartition((1, 2), frozenset({1}), 1),
        ("t", 1): PlacedPartition((1, 2), frozenset({2}), 2),
        ("t", 2): PlacedPartition((2, 1), frozenset({1, 2}), 1),
    }
    # Broker 1 loses its replicas, so it need not be in sync.
    at = _seen(partitions)
    assert [move.partition for move in queue.take(at, (), Limits(9, 9), (1,))] == [1]
    assert len(queue) == 1


def test_moves_to_a_broker_that_is_down_do_not_begin() -> None:
    moves = [Move("t", number, (1, 2), (3 + number, 2), 1, Goal.EMPTY_BROKERS) for number in range(2)]
    queue = MoveQueue(Plan(tuple(moves)), Snapshot((), ()), Goals(), smallest_first=False)
    at = _seen({("t", number): PlacedPartition((1, 2), frozenset({1, 2}), 1) for number in range(2)}, down=(3,))
    assert [move.partition for move in queue.take(at, (), Limits(9, 9), (1,))] == [1]
    assert len(queue) == 1
