"""The shares of the slots that a worker of a node holds.

A share is a lock file, which the system unlocks if the worker dies, and a symbolic link whose target is the holder's
address.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kafka_facade.peers.transport import Transport

# A worker that holds a share claims another only after seeing it free this many times in a row, so that a restarting
# worker can reclaim it first.
_PATIENCE = 60


class Shares:
    """Claims shares for the worker that listens on ``transport``."""

    def __init__(self, directory: Path, count: int, transport: Transport) -> None:
        self._directory = directory
        self._transport = transport
        self._held: dict[int, int] = {}
        self._lost = False
        self._seen_free = [0] * count
        self.count = count

    @property
    def has_any(self) -> bool:
        """Whether this worker holds a share."""
        return bool(self._held)

    def holds(self, share: int) -> bool:
        """Return whether this worker holds a share."""
        return share in self._held

    def address_of(self, share: int) -> str | None:
        """Return the address of the last holder of a share; None before the first one."""
        try:
            return os.readlink(self._link_of(share))
        except FileNotFoundError:
            return None

    def claim(self) -> None:
        """Claim free shares, and refresh held ones. Raises OSError; held shares are kept then."""
        self._keep_files()
        for share in range(self.count):
            if share not in self._held:
                self._try(share)

    def take_lost(self) -> bool:
        """Return whether a share was lost since the last call."""
        lost, self._lost = self._lost, False
        return lost

    def release(self) -> None:
        """Release all shares."""
        while self._held:
            os.close(self._held.popitem()[1])

    def _try(self, share: int) -> None:
        lock = os.open(self._directory / f"{share}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._seen_free[share] = 0
            os.close(lock)
            return
        self._seen_free[share] += 1
        if self._held and self._seen_free[share] < _PATIENCE:
            os.close(lock)
            return
        try:
            self._link(share)
        except OSError:
            os.close(lock)
            raise
        self._held[share] = lock

    def _keep_files(self) -> None:
        """Touch the files, since systems remove old files from temporary directories."""
        for share, lock in list(self._held.items()):
            if not os.fstat(lock).st_nlink:
                # The file was removed, and another worker may hold a new one of the same name.
                os.close(self._held.pop(share))
                self._lost = True
                continue
            os.utime(lock)
            try:
                os.utime(self._link_of(share), follow_symlinks=False)
            except FileNotFoundError:
                self._link(share)
        if self._held:
            self._transport.touch()

    def _link_of(self, share: int) -> Path:
        return self._directory / f"{share}.address"

    def _link(self, share: int) -> None:
        """Point the link of the share to this worker; the previous holder has ended."""
        address, former = self._transport.address, self.address_of(share)
        if former is not None and former != address:
            self._transport.discard(former)
        link = self._directory / f"{share}.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(address)
        link.replace(self._link_of(share))
