"""Slot ownership of the workers on one node, through lock files in a private directory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from kafka_facade.peers.ownership import SLOTS
from kafka_facade.peers.shares import Shares
from kafka_facade.peers.spread import spread
from kafka_facade.peers.transport import Transport

logger = logging.getLogger("kafka_facade.peers")

_CLAIM_SECONDS = 0.2
_LOOK_SECONDS = 1.0


class LocalOwnership:
    """Each of ``workers`` processes locks a share of the slots; :mod:`kafka_facade.peers.spread` assigns the slots to
    shares.

    If a process dies, its share is free at once.
    """

    def __init__(self, directory: Path, workers: int, transport: Transport, count: int = SLOTS) -> None:
        self._share_of = spread(count, workers)
        self._shares = Shares(directory, workers, transport)

    @property
    def count(self) -> int:
        """The number of slots."""
        return len(self._share_of)

    def owns(self, slot: int) -> bool:
        """Return whether this worker owns a slot."""
        return self._shares.holds(self._share_of[slot])

    def address_of(self, slot: int) -> str | None:
        """Return the address of the last owner of a slot; None before the first one."""
        return self._shares.address_of(self._share_of[slot])

    async def run(self, lost: Callable[[], None]) -> None:
        """Hold at least one share, and shares that no other worker takes, until cancelled; then release them."""
        failing = False
        try:
            while True:
                try:
                    self._shares.claim()
                    failing = False
                except OSError as error:
                    # For example no file descriptor is free, or the directory was removed.
                    if not failing:
                        logger.error("can't claim shares of the consumer instances; retrying: %s", error)
                    failing = True
                if self._shares.take_lost():
                    lost()
                await asyncio.sleep(_LOOK_SECONDS if self._shares.has_any else _CLAIM_SECONDS)
        finally:
            self._shares.release()
