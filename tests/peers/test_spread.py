"""Slots are distributed evenly, and as few as possible move."""

import collections

from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.peers.spread import spread

numbers = st.integers(1, 40)
slot_numbers = st.integers(0, 300)


def sizes(found: tuple[int, ...], workers: int) -> list[int]:
    counted = collections.Counter(found)
    return [counted[worker] for worker in range(workers)]


@given(slot_numbers, numbers)
def test_shares_differ_by_at_most_one(slots: int, workers: int) -> None:
    found = spread(slots, workers)
    assert len(found) == slots
    assert set(found) <= set(range(workers))
    assert max(sizes(found, workers)) - min(sizes(found, workers)) <= 1


@given(slot_numbers, numbers, numbers)
def test_as_few_slots_as_possible_move(slots: int, before: int, after: int) -> None:
    fewer, more = sorted((before, after))
    small, large = spread(slots, fewer), spread(slots, more)
    moved = [slot for slot in range(slots) if small[slot] != large[slot]]
    # Only to the new workers, or away from those that are no more.
    assert all(large[slot] >= fewer for slot in moved)
    # As few as an even spread allows: the workers that stay hold as much as they may.
    least, larger = divmod(slots, more)
    assert len(moved) == slots - fewer * least - min(fewer, larger)


def test_known_spreads() -> None:
    assert spread(4, 1) == (0, 0, 0, 0)
    assert spread(4, 2) == (0, 0, 1, 1)
    assert sizes(spread(256, 3), 3) == [86, 85, 85]
    assert sizes(spread(2, 4), 4) == [1, 1, 0, 0]
