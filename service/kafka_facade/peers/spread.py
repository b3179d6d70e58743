"""How slots are spread over the workers of a node."""

from __future__ import annotations


def spread(slots: int, workers: int) -> tuple[int, ...]:
    """Return for each slot the number of its worker, from 0 to ``workers`` - 1.

    Sizes differ by at most one. With more or fewer workers only those slots move that have to: to the new workers, or
    away from those that are no more. It is the same in all processes, whatever happened before.
    """
    found = [0] * slots
    held = [list(range(slots))]
    for worker in range(1, workers):
        taken: list[int] = []
        for _ in range(slots // (worker + 1)):
            # The last one of the largest: the first workers keep the larger shares, as they have them with any number.
            richest = max(range(worker), key=lambda other: (len(held[other]), other))
            taken.append(held[richest].pop())
        held.append(taken)
        for slot in taken:
            found[slot] = worker
    return tuple(found)
