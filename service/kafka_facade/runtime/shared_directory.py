"""The directory that the workers of one gateway share, for the sockets over which they reach each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "kafka-facade-workers-"
_LOCK = "lock"
# Paths of Unix sockets have 107 characters at the most.
_LONGEST_PARENT = 60


@contextlib.contextmanager
def shared_directory() -> Iterator[Path]:
    """A new directory, removed at the end. Those of gateways that were killed are removed first."""
    temporary = tempfile.gettempdir()
    parent = Path(temporary if len(temporary) < _LONGEST_PARENT else "/tmp")
    _remove_abandoned(parent)
    # Another start may look at it before it is locked: it has another name until then.
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=parent))
    with (made / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = made.rename(parent / made.name.removeprefix("."))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """Remove our own directories that no living process has locked."""
    for path in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and _is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
