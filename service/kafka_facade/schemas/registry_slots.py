"""Slots for requests to the Schema Registry, so that slow requests do not delay those of other kinds."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

# Requests of one kind that may be in flight, and how many of them for the same schema id or subject.
_OF_A_KIND: Final = 6
_OF_A_SUBJECT: Final = 3


class RegistrySlots:
    """Slots of each kind of request. A schema id or subject can take half of them."""

    def __init__(self) -> None:
        self._kinds: dict[str, asyncio.Semaphore] = {}
        # Only those in use.
        self._subjects: WeakValueDictionary[tuple[str, int | str], asyncio.Semaphore] = WeakValueDictionary()

    def slot(self, kind: str, subject: int | str) -> RegistrySlot:
        """Return the slot for a request, to be acquired."""
        of_kind = self._kinds.setdefault(kind, asyncio.Semaphore(_OF_A_KIND))
        of_subject = self._subjects.setdefault((kind, subject), asyncio.Semaphore(_OF_A_SUBJECT))
        return RegistrySlot(of_kind, of_subject)


class RegistrySlot:
    """The slot of one request."""

    def __init__(self, of_kind: asyncio.Semaphore, of_subject: asyncio.Semaphore) -> None:
        self._of_kind = of_kind
        self._of_subject = of_subject

    @property
    def locked(self) -> bool:
        """Whether a request has to wait."""
        return self._of_subject.locked() or self._of_kind.locked()

    async def acquire(self) -> None:
        """Wait for the slot."""
        # In this order, requests that wait for those of the same subject take no slot of the kind.
        await self._of_subject.acquire()
        try:
            await self._of_kind.acquire()
        except BaseException:
            self._of_subject.release()
            raise

    def release(self) -> None:
        """Free the slot."""
        self._of_kind.release()
        self._of_subject.release()
