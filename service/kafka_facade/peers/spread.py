"""Distribution of slots over the workers of a node."""

from __future__ import annotations


def spread(slots: int, workers: int) -> tuple[int, ...]:
    """Return for each slot the number of its worker, from 0 to ``workers`` - 1.

    Sizes differ by at most one. A change of the number of workers moves as few slots as possible: to new workers, or
    away from removed ones. The result depends only on the arguments.
    """
    found = [0] * slots
    held = [list(range(slots))]
    for worker in range(1, workers):
        taken: list[int] = []
        for _ in range(slots // (worker + 1)):
            # Take from the last of the largest shares, so that the first workers keep the larger ones with any number.
            richest = max(range(worker), key=lambda other: (len(held[other]), other))
            taken.append(held[richest].pop())
        held.append(taken)
        for slot in taken:
            found[slot] = worker
    return tuple(found)
