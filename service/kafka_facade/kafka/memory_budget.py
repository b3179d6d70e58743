"""A memory budget that clients share.

The limits of a client are fixed at creation, so each client takes a share of one budget: the first clients get large
shares, later ones a small share that is reserved for them.
"""

from __future__ import annotations

# Half of a budget is reserved evenly, half is first come.
_HALVES = 2
_LEAST_BYTES = 16 * 1024


class MemoryBudget:
    """A budget of ``total`` bytes for ``users``.

    Half of it is divided evenly; of what is free of the rest, each takes one of ``part`` parts.
    """

    def __init__(self, total: int, users: int, part: int) -> None:
        self._floor = max(_LEAST_BYTES, total // _HALVES // users)
        self._free = total // _HALVES
        self._part = part

    def take(self) -> MemoryShare:
        """Take a share for one client, to be given back later."""
        extra = self._free // self._part
        self._free -= extra
        return MemoryShare(self, self._floor + extra, extra)

    def give_back(self, extra: int) -> None:
        """Return the part of a share beyond the even one."""
        self._free += extra


class MemoryShare:
    """The ``size`` in bytes that one client may use."""

    def __init__(self, budget: MemoryBudget, size: int, extra: int) -> None:
        self.size = size
        self._budget = budget
        self._extra = extra

    def give_back(self) -> None:
        """Return the share when the client is gone; idempotent."""
        self._budget.give_back(self._extra)
        self._extra = 0
