"""The interface for the ownership of consumer instance slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

SLOTS: Final = 256
"""The number of slots, the same for any number of workers or nodes."""


class Ownership(Protocol):
    """The owner of each slot: at most one worker at a time, which may change while the process runs."""

    @property
    def count(self) -> int:
        """The number of slots."""

    def owns(self, slot: int) -> bool:
        """Return whether this worker owns a slot."""

    def address_of(self, slot: int) -> str | None:
        """Return the transport address of a slot's owner; None if unknown.

        The worker may have ended or lost the slot since, and may be on another node.
        """

    async def run(self, lost: Callable[[], None]) -> None:
        """Claim and hold slots until cancelled, then release them. Calls ``lost`` after losing slots."""
