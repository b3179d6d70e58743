"""Memory for large messages on their way out: records that were read, and what they are encoded to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from kafka_facade.core.errors import TooManyRequests
from kafka_facade.core.memory_budget import MemoryBudget
from kafka_facade.core.reservation import Reservation

logger = logging.getLogger("kafka_facade.core")

LARGE: Final = 256 * 1024
"""Messages of records or text up to this size (bytes) need none of the budget: a peer has few at a time."""
LEAST_BYTES: Final = 128 * 1024 * 1024
"""The smallest budget by default."""

SLOW: Final = "The client took a large message too slowly, while the gateway was short of memory."
"""Why a client is cut off."""

RECORD_COPIES: Final = 4
"""What a message takes, as a multiple of its records: as they were read, encoded, and in the libraries."""
# Once a message waits for longer than this (s), peers that take theirs too slowly are cut off, one at a time.
_PATIENCE_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.5
# A peer may take so long (s), and longer for a larger message: bytes of the budget per second.
_TAKING_SECONDS: Final = 2.0
_TAKING_RATE: Final = 32 * 1024 * 1024


class Peer(NamedTuple):
    """Who takes messages: a connection, and what ends what is being sent on it."""

    connection: object
    cut_off: Callable[[], object]


_peer: ContextVar[Peer] = ContextVar("peer")


def use_peer(connection: object, cut_off: Callable[[], object]) -> None:
    """Set who takes the messages of this task, and of those that it starts. ``cut_off`` must not wait."""
    _peer.set(Peer(connection, cut_off))


class Outgoing:
    """Divides ``total`` bytes among large messages, see MemoryBudget; each takes a multiple of its size.

    A message holds its part from before it is encoded until its peer has taken it. If others have to wait for long, the
    peer that has held its part the longest is cut off, unless it has had time enough.
    """

    def __init__(self, total: int) -> None:
        self._budget = MemoryBudget(total)
        # When each message was handed over to its peer; the earliest first.
        self._taking: dict[Message, float] = {}
        self._waiting: dict[Message, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def message(self) -> Message:
        """Return a message of the current peer, which holds nothing yet."""
        found = _peer.get(None) or Peer(object(), bool)
        return Message(self, Reservation(self._budget, found.connection), found.cut_off)

    @asynccontextmanager
    async def hold(self, size: int, *, copies: int = RECORD_COPIES, anyway: bool = False) -> AsyncIterator[None]:
        """Hold the memory of a message of so many bytes in this block, in which it is encoded and its peer takes it.

        Raises TooManyRequests if there is none for long, unless it is sent ``anyway``: it tells of a change. One that
        is encoded already has 1 of ``copies``.
        """
        message = self.message()
        await message.grow(size, copies=copies, anyway=anyway)
        message.hand_over()
        try:
            yield
        finally:
            message.release()

    def close(self) -> None:
        """Reject the messages that wait, because the server drains."""
        self._budget.close()

    def reject_waiting(self) -> None:
        """Reject the messages that wait, except for those of streams, which hold nothing while they wait."""
        self._budget.reject_waiting(lasting=False)

    def cut_off_largest(self, excess: int, patience: float) -> int:
        """Cut off the peers that hold the most, up to ``excess`` bytes, in a shortage of memory. Return how many.

        Those are spared that have had a message for less than ``patience`` (s).
        """
        now = time.monotonic()
        late = [message for message, since in self._taking.items() if now - since > patience]
        count = 0
        for message in sorted(late, key=lambda message: message.held, reverse=True):
            if excess <= 0:
                break
            excess -= message.held
            count += 1
            self._cut_off(message)
        return count

    def began(self, message: Message) -> None:
        """Record that the peer can take the message from now on."""
        self._taking[message] = time.monotonic()

    def ended(self, message: Message) -> None:
        """Record that the peer has taken the message, or is gone."""
        self._taking.pop(message, None)

    @contextmanager
    def waiting(self, message: Message) -> Iterator[None]:
        """Record that a message waits for memory in this block."""
        self._waiting[message] = time.monotonic()
        if self._timer is None:
            self._look_later()
        try:
            yield
        finally:
            del self._waiting[message]

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Cut off a peer that others wait for."""
        self._timer = None
        if not self._waiting:
            return
        self._look_later()
        now = time.monotonic()
        for message, since in self._waiting.items():
            if now - since < _PATIENCE_SECONDS:
                return
            # Messages on its own connection are all that some wait for.
            if message.held or self._budget.is_within_share(message.wanted, message.reservation):
                slow = self._slowest(now, None if message.held else self._is_huge(message.wanted))
                if slow is not None:
                    logger.warning("a client was cut off that took a large message too slowly: others wait for memory")
                    self._cut_off(slow)
                    return

    def _slowest(self, now: float, huge: bool | None) -> Message | None:
        """Return the message that is being taken the longest, and has had time enough. ``huge``: None is any."""
        for message, since in self._taking.items():
            fits = huge in (None, self._is_huge(message.held))
            if fits and now - since > _TAKING_SECONDS + message.held / _TAKING_RATE:
                return message
        return None

    def _is_huge(self, size: int) -> bool:
        """Whether only one message of this size is sent at a time, beside others."""
        return size > self._budget.total // 2

    def _cut_off(self, message: Message) -> None:
        del self._taking[message]
        message.cut_off()


class Message:
    """The part of the budget of one message."""

    __slots__ = ("_outgoing", "cut_off", "held", "held_since", "reservation", "wanted")

    def __init__(self, outgoing: Outgoing, reservation: Reservation, cut_off: Callable[[], object]) -> None:
        self._outgoing = outgoing
        self.reservation = reservation
        self.cut_off = cut_off
        self.wanted = 0
        """The bytes of the budget that it waits for."""
        self.held = 0
        """The bytes that it holds."""
        self.held_since = 0.0
        """Since when, in seconds of :func:`time.monotonic`."""

    def fits(self, size: int, *, copies: int = RECORD_COPIES) -> bool:
        """Hold the memory of a message of so many bytes, if there is enough; never waits."""
        wanted = copies * size
        if wanted > self.held:
            self.release()
            if not self.reservation.resize_at_once(wanted):
                return False
            self._has(wanted)
        return True

    async def reserve(self, size: int, *, copies: int = RECORD_COPIES, lasting: bool = False) -> None:
        """Hold the memory of a message of so many bytes, once there is enough.

        Raises TooManyRequests after 30 s unless ``lasting``, if too many messages wait, and at shutdown.
        """
        if self.fits(size, copies=copies):
            return
        self.wanted = copies * size
        with self._outgoing.waiting(self):
            await self.reservation.resize(self.wanted, lasting=lasting)
        self._has(self.wanted)

    async def grow(self, size: int, *, copies: int = RECORD_COPIES, anyway: bool = False) -> None:
        """Hold the memory of a message that has grown to so many bytes, once there is enough; none if it is small.

        Raises TooManyRequests like :meth:`reserve`, unless it is held ``anyway`` after that.
        """
        more = copies * size - self.held
        if size <= LARGE or more <= 0:
            return
        try:
            if not self.held:
                await self.reserve(size, copies=copies)
                return
            self.wanted = more
            with self._outgoing.waiting(self):
                await self.reservation.grow(more)
        except TooManyRequests:
            if not anyway:
                raise
            self.reservation.grow_anyway(more)
        self._has(self.held + more)

    def _has(self, size: int) -> None:
        self.held, self.held_since = size, time.monotonic()

    def hand_over(self) -> None:
        """Record that the peer can take the message from now on."""
        if self.held:
            self._outgoing.began(self)

    def release(self) -> None:
        """Give all back: the peer has taken the message, or never will."""
        if self.held:
            self.held = 0
            self._outgoing.ended(self)
            self.reservation.release()
