"""Memory for large requests and responses in progress, shared fairly by their callers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Final

from kafka_facade.core.errors import TooManyRequests

SMALL: Final = 64 * 1024
"""What takes no more memory (bytes) needs none of the budget."""

TOO_MANY: Final = "Too many large requests are in progress. Try again later."
"""The message if there is no memory."""

_WAIT_SECONDS: Final = 30.0
# Maximum number of requests that wait. Beyond it, the last one of the caller that has most of them is rejected.
_MOST_WAITING: Final = 1000
# What may count apart from it, as a multiple of the budget.
_MOST_SLOW: Final = 2
# A request for at most this part of the budget (2 MiB of 128) is small; a reserve of so much more is for small ones.
_SMALL_PART: Final = 64
_RESERVE_PART: Final = 16


class Holder:
    """One who holds bytes of a budget."""

    __slots__ = ("caller",)

    def __init__(self, caller: object) -> None:
        self.caller = caller


class _Waiter:
    """A reservation that waits for bytes."""

    __slots__ = ("admitted", "lasting", "patient", "reservation", "size", "small", "turn")

    def __init__(self, size: int, reservation: Holder, *, patient: bool, lasting: bool, small: bool) -> None:
        self.size = size
        self.reservation = reservation
        self.patient = patient
        self.lasting = lasting
        self.small = small
        # Small requests of a caller do not wait behind its large ones.
        self.turn: tuple[object, bool] = reservation.caller, small
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class MemoryBudget:
    """Divides ``total`` bytes among requests.

    Requests that do not fit wait, and are admitted in turn: one of each caller after the other. Several requests of one
    caller get at most half of the budget, so that they cannot keep others waiting for as long as they take. Those in
    progress may grow: the oldest one at once, so that there is always one that comes to its end, others once there is
    memory for it. A request for more than half of the budget waits until no other such request is in progress, since so
    much may never be free.

    Small requests that would have to wait take memory from a reserve besides the budget. So large requests, for as long
    as they take, do not keep them waiting. One caller gets at most half of the reserve.

    Requests that wait for something else than memory for long (see :meth:`Reservation.waiting`) count apart, so that a
    broker that hangs, or callers that do not read, keep no others waiting. Twice the budget may count apart, half of it
    for one caller.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._reserve = self._free_reserve = total // _RESERVE_PART
        # The reservations that hold bytes, the oldest first, and the bytes of each caller.
        self._held: dict[Holder, int] = {}
        self._callers: dict[object, int] = {}
        # Those admitted with more than half of the budget, which are not counted in it.
        self._huge: set[Holder] = set()
        # Those that were admitted from the reserve, and count in it alone.
        self._reserved: set[Holder] = set()
        # Those that wait for something else than memory: their bytes, and whether they were huge.
        self._slow: dict[Holder, tuple[int, bool]] = {}
        self._slow_bytes = 0
        self._slow_callers: dict[object, int] = {}
        self._waiting: OrderedDict[tuple[object, bool], deque[_Waiter]] = OrderedDict()
        self._growing: list[_Waiter] = []
        self._count = 0
        self._closed = False

    async def take(self, size: int, reservation: Holder, *, patient: bool = False, lasting: bool = False) -> None:
        """Take bytes, at most ``total``, once they are free.

        Raises TooManyRequests after 30 s (unless it is ``lasting``), if too many requests wait, in a shortage of
        memory, and at shutdown. A ``patient`` request is never rejected, because that would lose what it has read.
        """
        self.count_again(reservation)
        small = size <= self.total // _SMALL_PART
        waiter = _Waiter(size, reservation, patient=patient, lasting=lasting, small=small)
        if reservation in self._held:
            self._growing.append(waiter)
        else:
            self._add(waiter)
        self._admit()
        if self._closed:
            self.reject_waiting()
        try:
            async with asyncio.timeout(None if patient or lasting else _WAIT_SECONDS):
                await waiter.admitted
        except BaseException as error:
            if waiter.admitted.done() and not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
                self.give_back(size, reservation)
            else:
                self._remove(waiter)
                self._admit()
            if isinstance(error, TimeoutError):
                raise TooManyRequests(TOO_MANY) from None
            raise

    def take_at_once(self, size: int, reservation: Holder) -> bool:
        """Take bytes for an empty reservation, unless it would have to wait."""
        fits = size <= min(self._free, self.total // 2) and self.is_within_share(size, reservation)
        if self.is_waited_for or not fits:
            return False
        self._hold(size, reservation)
        return True

    @property
    def is_waited_for(self) -> bool:
        """Whether requests wait for bytes."""
        return bool(self._growing or self._waiting)

    @property
    def is_short(self) -> bool:
        """Whether a request waits for bytes that others hold, and not for its caller's own."""
        waiting = (waiter for queue in self._waiting.values() for waiter in queue)
        return bool(self._growing) or any(self.is_within_share(waiter.size, waiter.reservation) for waiter in waiting)

    def take_huge_at_once(self, size: int, reservation: Holder) -> bool:
        """Take more than half of the budget, beside others, for an empty reservation, unless it would have to wait."""
        half = self.total // 2
        if self.is_waited_for or self._closed or self._huge or size <= half or reservation.caller in self._callers:
            return False
        self._huge.add(reservation)
        self._hold(size, reservation)
        return True

    def take_anyway(self, size: int, reservation: Holder) -> None:
        """Take bytes without waiting, even if they are not free: what needs them exists already."""
        self.count_again(reservation)
        if size > self.total // 2 and reservation not in self._held:
            self._huge.add(reservation)
        self._hold(size, reservation)

    def is_within_share(self, size: int, reservation: Holder) -> bool:
        """Return whether the caller may take bytes once there are, without giving others back before."""
        held = self._callers.get(reservation.caller, 0)
        # What is small may be held for ever, such as an unread answer, so that nothing waits for it.
        return held <= self.total // _SMALL_PART or held + size <= self.total // 2

    def give_back(self, size: int, reservation: Holder) -> None:
        """Return bytes, and admit requests that fit now. A negative size takes bytes without waiting."""
        self.count_again(reservation)
        self._hold(-size, reservation)
        self._admit()

    def may_count_apart(self, reservation: Holder) -> bool:
        """Return whether the request counts apart, or would if it was slow."""
        size, total = self._held.get(reservation, 0), _MOST_SLOW * self.total
        of_caller = self._slow_callers.get(reservation.caller, 0)
        return self._slow_bytes + size <= total and (not of_caller or not size or of_caller + size <= total // 2)

    def count_apart(self, reservation: Holder) -> bool:
        """Take what a slow request holds out of the budget. Return False if too much counts apart already."""
        if not self.may_count_apart(reservation):
            return False
        if size := self._held.get(reservation, 0):
            caller, huge = reservation.caller, reservation in self._huge
            self._hold(-size, reservation)
            self._slow[reservation] = size, huge
            self._slow_bytes += size
            self._slow_callers[caller] = self._slow_callers.get(caller, 0) + size
            self._admit()
        return True

    def counts_apart(self, reservation: Holder) -> bool:
        """Whether what the request holds counts apart."""
        return reservation in self._slow

    def count_again(self, reservation: Holder) -> None:
        """Count what the request holds in the budget again, at once."""
        size, huge = self._slow.pop(reservation, (0, False))
        if size:
            self._slow_bytes -= size
            left = self._slow_callers.pop(reservation.caller) - size
            if left:
                self._slow_callers[reservation.caller] = left
            if huge:
                self._huge.add(reservation)
            self._hold(size, reservation)

    def close(self) -> None:
        """Reject the requests that wait, and those that would have to."""
        self._closed = True
        self.reject_waiting()

    def reject_waiting(self, *, lasting: bool = True) -> None:
        """Reject the requests that wait, also those that may wait for ever if ``lasting``."""
        waiting = [*self._growing, *(waiter for queue in self._waiting.values() for waiter in queue)]
        for waiter in waiting:
            if not waiter.patient and (lasting or not waiter.lasting):
                self._reject(waiter)

    def _hold(self, size: int, reservation: Holder) -> None:
        if reservation in self._reserved:
            self._free_reserve -= size
        elif reservation not in self._huge:
            self._free -= size
        held = self._held.get(reservation, 0) + size
        of_caller = self._callers.pop(reservation.caller, 0) + size
        if of_caller:
            self._callers[reservation.caller] = of_caller
        if held:
            self._held[reservation] = held
        else:
            self._held.pop(reservation, None)
            self._huge.discard(reservation)
            self._reserved.discard(reservation)

    def _add(self, waiter: _Waiter) -> None:
        if self._count >= _MOST_WAITING and not waiter.patient:
            longest = max(self._waiting.values(), key=len)
            if longest[-1].patient or len(longest) <= len(self._waiting.get(waiter.turn, ())) + 1:
                raise TooManyRequests(TOO_MANY)
            self._reject(longest[-1])
        self._waiting.setdefault(waiter.turn, deque()).append(waiter)
        self._count += 1

    def _reject(self, waiter: _Waiter) -> None:
        self._remove(waiter)
        if not waiter.admitted.done():
            waiter.admitted.set_exception(TooManyRequests(TOO_MANY))

    def _remove(self, waiter: _Waiter) -> None:
        """Remove a request from those that wait, if it does."""
        if waiter in self._growing:
            self._growing.remove(waiter)
        queue = self._waiting.get(waiter.turn, deque())
        if waiter not in queue:
            return
        queue.remove(waiter)
        self._count -= 1
        if not queue:
            del self._waiting[waiter.turn]

    def _admit(self) -> None:
        """Admit what waits: growing requests, then the others, and small ones that are left from the reserve."""
        self._let_grow()
        self._admit_in_turn()
        if self._count and self._free_reserve > 0:
            self._admit_from_reserve()

    def _admit_from_reserve(self) -> None:
        waiting = [waiter for (_, small), queue in self._waiting.items() if small for waiter in queue]
        for waiter in waiting:
            held = self._callers.get(waiter.reservation.caller, 0)
            if waiter.admitted.done():
                # It was cancelled.
                self._remove(waiter)
            elif waiter.size <= self._free_reserve and held + waiter.size <= self._reserve // 2:
                self._reserved.add(waiter.reservation)
                self._admit_first(waiter)

    def _admit_in_turn(self) -> None:
        """Admit the first request of each caller in turn, until one does not fit."""
        passed_over = 0
        while not self._growing and passed_over < len(self._waiting):
            turn, queue = next(iter(self._waiting.items()))
            waiter = queue[0]
            if waiter.admitted.done():
                # It was cancelled.
                self._remove(waiter)
                continue
            if not self.is_within_share(waiter.size, waiter.reservation):
                self._waiting.move_to_end(turn)
                passed_over += 1
            elif self._is_huge(waiter):
                if self._huge:
                    self._waiting.move_to_end(turn)
                    passed_over += 1
                    continue
                self._huge.add(waiter.reservation)
                self._admit_first(waiter)
                passed_over = 0
            elif waiter.size > self._free:
                # Smaller requests must not overtake it for ever.
                return
            else:
                self._admit_first(waiter)
                passed_over = 0

    def _is_huge(self, waiter: _Waiter) -> bool:
        return waiter.size > self.total // 2

    def _admit_first(self, waiter: _Waiter) -> None:
        self._grant(waiter)
        if waiter.turn in self._waiting:
            self._waiting.move_to_end(waiter.turn)

    def _let_grow(self) -> None:
        while self._growing:
            oldest = next(iter(self._held), None)
            waiter = next((entry for entry in self._growing if entry.reservation is oldest), self._growing[0])
            if waiter.reservation is not oldest and waiter.size > self._free:
                return
            self._grant(waiter)

    def _grant(self, waiter: _Waiter) -> None:
        self._remove(waiter)
        if not waiter.admitted.done():
            self._hold(waiter.size, waiter.reservation)
            waiter.admitted.set_result(None)
