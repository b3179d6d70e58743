"""Slots for requests to the Schema Registry, so that slow requests do not delay those of other kinds, and hardly those
of their own kind."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final
from weakref import WeakValueDictionary

# Requests of one kind that may be in flight, and how many of them for the same schema id or subject.
_OF_A_KIND: Final = 6
_OF_A_SUBJECT: Final = 3
# Requests that take longer than this (s) do not count, but all together are at most twice as many.
_SLOW_SECONDS: Final = 1.0


class RegistrySlots:
    """Slots of each kind of request. A schema id or subject can take half of them."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        # Only those in use.
        self._subjects: WeakValueDictionary[tuple[str, int | str], asyncio.Semaphore] = WeakValueDictionary()

    def slot(self, kind: str, subject: int | str) -> RegistrySlot:
        """Return the slot for a request, to be acquired."""
        of_kind = self._kinds.setdefault(kind, _Kind())
        of_subject = self._subjects.setdefault((kind, subject), asyncio.Semaphore(_OF_A_SUBJECT))
        return RegistrySlot(of_kind, of_subject)


class RegistrySlot:
    """The slot of one request."""

    def __init__(self, of_kind: _Kind, of_subject: asyncio.Semaphore) -> None:
        self._of_kind = of_kind
        self._of_subject = of_subject

    @property
    def locked(self) -> bool:
        """Whether a request has to wait."""
        return self._of_subject.locked() or self._of_kind.locked

    async def acquire(self) -> None:
        """Wait for the slot."""
        # In this order, requests that wait for those of the same subject take no slot of the kind.
        await self._of_subject.acquire()
        try:
            await self._of_kind.acquire(self)
        except BaseException:
            self._of_subject.release()
            raise

    def release(self) -> None:
        """Free the slot."""
        self._of_kind.release(self)
        self._of_subject.release()


class _Kind:
    """The slots of one kind of request.

    The one that has waited the longest and the latest one take turns. So a request does not wait behind many that the
    registry never answers, and none waits for ever.
    """

    def __init__(self) -> None:
        # In the order of the times at which the slots were taken.
        self._taken: dict[RegistrySlot, float] = {}
        self._waiting: deque[tuple[RegistrySlot, asyncio.Future[None]]] = deque()
        self._latest_is_next = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def locked(self) -> bool:
        return bool(self._waiting) or not self._has_room()

    async def acquire(self, slot: RegistrySlot) -> None:
        if not self.locked:
            self._taken[slot] = time.monotonic()
            return
        entry = slot, asyncio.get_running_loop().create_future()
        self._waiting.append(entry)
        self._admit()
        try:
            await entry[1]
        except BaseException:
            if slot in self._taken:
                self.release(slot)
            elif entry in self._waiting:
                self._waiting.remove(entry)
            raise

    def release(self, slot: RegistrySlot) -> None:
        del self._taken[slot]
        self._admit()

    def _fast(self) -> list[float]:
        now = time.monotonic()
        return [began for began in self._taken.values() if now - began < _SLOW_SECONDS]

    def _has_room(self) -> bool:
        return len(self._taken) < 2 * _OF_A_KIND and len(self._fast()) < _OF_A_KIND

    def _admit(self) -> None:
        """Give free slots to those that wait, now and when a request that was fast until then becomes a slow one."""
        while self._waiting and self._has_room():
            slot, given = self._waiting.pop() if self._latest_is_next else self._waiting.popleft()
            self._latest_is_next = not self._latest_is_next
            if not given.done():
                self._taken[slot] = time.monotonic()
                given.set_result(None)
        if self._waiting and self._timer is None and (fast := self._fast()):
            delay = max(0.0, fast[0] + _SLOW_SECONDS - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._admit()
