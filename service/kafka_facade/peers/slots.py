"""The slots that this worker holds, of those that the workers of a node share.

A slot is a lock file, so that the slots of a worker that dies are free at once, and a link to its holder's socket.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

_CLAIM_SECONDS = 0.2
_LOOK_SECONDS = 1.0
# A worker that has a slot takes another one that is free so often in a row: the worker to come has had its chance.
_PATIENCE = 60


class Slots:
    """Takes slots for a worker that listens on ``socket``."""

    def __init__(self, directory: Path, count: int, socket: Path) -> None:
        self._directory = directory
        self._socket = socket
        self._held: dict[int, int] = {}
        self._seen_free = [0] * count
        self.count = count

    def holds(self, slot: int) -> bool:
        """Whether this worker holds a slot."""
        return slot in self._held

    def path(self, slot: int) -> Path:
        """Where the holder of a slot listens."""
        return self._directory / f"{slot}.sock"

    async def keep(self) -> None:
        """Hold a slot at least, and those that nobody else takes; runs until cancelled."""
        while True:
            self.claim()
            await asyncio.sleep(_LOOK_SECONDS if self._held else _CLAIM_SECONDS)

    def claim(self) -> None:
        """Take what is free and due, and keep what is held."""
        self._keep_files()
        for slot in range(self.count):
            if slot not in self._held:
                self._try(slot)

    def release(self) -> None:
        """Hold nothing any more."""
        while self._held:
            os.close(self._held.popitem()[1])

    def _try(self, slot: int) -> None:
        lock = os.open(self._directory / f"{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._seen_free[slot] = 0
            os.close(lock)
            return
        self._seen_free[slot] += 1
        if self._held and self._seen_free[slot] < _PATIENCE:
            os.close(lock)
            return
        self._held[slot] = lock
        self._link(slot)

    def _keep_files(self) -> None:
        """Files that nobody touches are removed from temporary directories after some days."""
        for slot, lock in list(self._held.items()):
            if not os.fstat(lock).st_nlink:
                # Somebody else may hold a new file of that name by now.
                os.close(self._held.pop(slot))
                continue
            os.utime(lock)
            try:
                os.utime(self.path(slot), follow_symlinks=False)
            except FileNotFoundError:
                self._link(slot)
        if self._held and self._socket.exists():
            os.utime(self._socket)

    def _link(self, slot: int) -> None:
        """Lead to this worker; the one that held the slot before is gone."""
        path, link = self.path(slot), self._directory / f"{slot}.{os.getpid()}"
        if path.is_symlink() and path.readlink() != self._socket:
            path.readlink().unlink(missing_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(self._socket)
        link.replace(path)
