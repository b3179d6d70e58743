"""A memory budget that clients share.

The limits of a client are fixed at creation, so each client takes a share of one budget: the first clients get large
shares, later ones a small share that is reserved for them.
"""

from __future__ import annotations

from kafka_facade.core.errors import TooManyRequests

# Half of a budget is reserved evenly, half is first come.
_HALVES = 2
_LEAST_BYTES = 16 * 1024


class MemoryBudget:
    """A budget of ``total`` bytes for ``users``.

    Half of it is divided evenly, into shares of at least ``even`` bytes; of what is free of the rest, each takes one of
    ``part`` parts.
    """

    def __init__(self, total: int, users: int, part: int, even: int = 0) -> None:
        self._even = max(even, total // _HALVES // users)
        self._reserved = total // _HALVES
        self._free = total - self._reserved
        self._part = part

    def take(self, least: int = 0, part: int = 0) -> MemoryShare:
        """Take a share for one client, to be given back later; ``part`` replaces that of the budget.

        Raises TooManyRequests if less than ``least`` bytes are left.
        """
        even = min(max(self._even, least), self._reserved)
        extra = max(self._free // (part or self._part), least - even)
        if extra > self._free:
            raise TooManyRequests("This process has no memory left for another Kafka client; retry.")
        self._reserved -= even
        self._free -= extra
        return MemoryShare(self, even, extra)

    def give_back(self, even: int, extra: int) -> None:
        """Return the two parts of a share."""
        self._reserved += even
        self._free += extra


class MemoryShare:
    """The ``size`` in bytes that one client may use: its ``even`` part, and one beyond that."""

    def __init__(self, budget: MemoryBudget, even: int, extra: int) -> None:
        # A client that cannot do with less gets a little beyond the budget, unless it has named what it needs.
        self.size = max(_LEAST_BYTES, even + extra)
        self._budget = budget
        self._taken = even, extra

    def give_back(self) -> None:
        """Return the share when the client is gone; idempotent."""
        self._budget.give_back(*self._taken)
        self._taken = 0, 0
