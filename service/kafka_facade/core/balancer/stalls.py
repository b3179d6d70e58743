"""What does not go on: how long it has lasted, and moves that come no closer to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import MoveRecord
from kafka_facade.core.balancer.snapshots import Look
from kafka_facade.core.reassignments.port import Place

# How often to look within the time limit: each look asks brokers for the sizes of all their replicas.
_LOOKS: Final = 10
# The most that the time between two steps counts, in seconds and as a part of the time limit.
_MOST_SECONDS: Final = 10.0
_MOST_PART: Final = 0.25

# A move does not end if it has lost ground so often, and for so many time limits has not come below this part of the
# least that it has lacked.
_MOST_LOSSES: Final = 5
_LOST_LIMITS: Final = 6
_LEAST_GAIN: Final = 0.95

Clock = Callable[[], float]
"""Returns a time in seconds."""


class StepClock:
    """The time (s) in which steps are taken. An outage of Kafka longer than a time limit must not look like a stall.

    The time between two steps counts at most 10 s, and at most a quarter of the time limit ``seconds``.
    """

    def __init__(self, seconds: float, source: Clock = time.monotonic) -> None:
        self._most = min(_MOST_SECONDS, seconds * _MOST_PART)
        self._source = source
        self._last = source()
        self._seconds = 0.0

    def step(self) -> None:
        """Count the time since the last step."""
        now = self._source()
        self._seconds += min(now - self._last, self._most)
        self._last = now

    def now(self) -> float:
        """Return the time of the last step."""
        return self._seconds


class Patience:
    """How long something has lasted, from the first time that it is asked for until it ends."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._since: float | None = None

    def is_over(self) -> bool:
        """Whether it has lasted for too long."""
        if self._since is None:
            self._since = self._clock()
        return self._clock() - self._since > self._seconds

    def end(self) -> None:
        """It does not last any more."""
        self._since = None


class GrowingPause:
    """A pause that grows from ``first`` to ``longest`` seconds, since what is waited for may never come."""

    def __init__(self, first: float, longest: float, clock: Clock) -> None:
        self._first = first
        self._longest = longest
        self._clock = clock
        self._seconds = 0.0
        self._until: float | None = None

    def is_over(self) -> bool:
        """Whether to look again."""
        return self._until is None or self._clock() >= self._until

    def grow(self) -> None:
        """Wait for longer than the last time."""
        self._seconds = min(max(self._first, 2 * self._seconds), self._longest)
        self._until = self._clock() + self._seconds

    def end(self) -> None:
        """Look at once, and begin anew."""
        self._seconds = 0.0
        self._until = None


class Stand(NamedTuple):
    """The bytes that a move lacked at the last look, None if no broker has told them, and when it last got closer."""

    lacking: int | None
    since: float


def stand_after(before: Stand | None, lacking: int | None, now: float) -> Stand:
    """Return the stand of a move after a look.

    It is compared with the look before, and not with the best one: a write burst, another leader or a lost disk may set
    a move back, and it makes progress all the same.
    """
    if before is None:
        return Stand(lacking, now)
    if lacking is None:
        return before
    if before.lacking is None or lacking < before.lacking:
        return Stand(lacking, now)
    return Stand(lacking, before.since)


class Ground(NamedTuple):
    """The least that a move has lacked and since when, and how often it has lost ground again since.

    Retention deletes what the new replica has not copied yet, so that it begins anew, over and over. Between two of
    these it seems to make progress.
    """

    least: int
    since: float
    losses: int = 0
    last: int = 0
    is_falling: bool = True

    def is_lost(self, now: float, seconds: float) -> bool:
        """Return whether the move does not end, given the time limit of moves without progress."""
        return self.losses >= _MOST_LOSSES and now - self.since > _LOST_LIMITS * seconds


def ground_after(before: Ground | None, lacking: int | None, now: float) -> Ground | None:
    """Return the ground of a move after a look. A loss that lasts for several looks counts once."""
    if lacking is None:
        return before
    if before is None or lacking < before.least * _LEAST_GAIN:
        return Ground(lacking, now, last=lacking)
    if lacking <= before.last:
        return before._replace(last=lacking, is_falling=before.is_falling or lacking < before.last)
    return before._replace(losses=before.losses + before.is_falling, last=lacking, is_falling=False)


class Stalls:
    """Finds moves that come no closer to their end: the new replicas get nothing of what they lack of the leader's
    bytes, or lose it again and again."""

    def __init__(self, kafka: BalancerKafka, seconds: float, clock: Clock) -> None:
        self._kafka = kafka
        self._seconds = seconds
        self._clock = clock
        self._due: float | None = None
        self._stands: dict[Place, Stand] = {}
        self._grounds: dict[Place, Ground | None] = {}

    def forget(self) -> None:
        """Forget what was seen."""
        self._stands.clear()
        self._grounds.clear()
        self._due = None

    async def stalled(self, seen: Look, moves: Collection[MoveRecord], timeout: float) -> list[MoveRecord]:
        """Return the moves that have come no closer to their end for the time limit."""
        now = self._clock()
        if self._due is not None and now < self._due:
            return []
        self._due = now + self._seconds / _LOOKS
        going = {move.place: move for move in moves if move.adding}
        lacking = await self._lacking(seen, going.values(), timeout) if going else {}
        self._stands = {place: stand_after(self._stands.get(place), lacking.get(place), now) for place in going}
        self._grounds = {place: ground_after(self._grounds.get(place), lacking.get(place), now) for place in going}

        def is_stalled(place: Place) -> bool:
            ground = self._grounds[place]
            is_lost = ground is not None and ground.is_lost(now, self._seconds)
            return is_lost or now - self._stands[place].since > self._seconds

        return [move for place, move in going.items() if is_stalled(place)]

    async def _lacking(self, seen: Look, moves: Collection[MoveRecord], timeout: float) -> dict[Place, int]:
        """Return how many bytes the new replicas of moves lack, for those whose brokers tell."""
        partitions = seen.placement.partitions
        brokers = {broker for move in moves for broker in move.adding}
        brokers |= {
            entry.leader for move in moves if (entry := partitions.get(move.place)) and entry.leader is not None
        }
        disks = await self._kafka.placement.disks([broker for broker in brokers if seen.alive.get(broker)], timeout)
        found: dict[Place, int] = {}
        for move in moves:
            entry = partitions.get(move.place)
            leader = None if entry is None or entry.leader is None else disks.get(entry.leader)
            if leader is not None and all(broker in disks for broker in move.adding):
                size = leader.sizes.get(move.place, 0)
                found[move.place] = sum(max(0, size - disks[broker].sizes.get(move.place, 0)) for broker in move.adding)
        return found
