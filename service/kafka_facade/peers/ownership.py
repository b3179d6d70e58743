"""Who owns the slots of consumer instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

SLOTS: Final = 256
"""The number of slots, the same for any number of workers or nodes."""


class Ownership(Protocol):
    """Tells which worker owns each slot. At most one does at a time, and it may change while the process runs."""

    @property
    def count(self) -> int:
        """How many slots there are."""

    def owns(self, slot: int) -> bool:
        """Return whether this worker owns a slot."""

    def address_of(self, slot: int) -> str | None:
        """Return where the owner of a slot listens, in the terms of the transport; None if it is not known.

        It may be the address of a worker that has ended, or that has lost the slot since. The worker may be on another
        node.
        """

    async def run(self, lost: Callable[[], None]) -> None:
        """Take part in the ownership until cancelled, then give up all slots. Calls ``lost`` when slots were lost."""
