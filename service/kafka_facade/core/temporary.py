"""Temporary directories; those left behind by a killed process are removed at the next start."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

WORKERS: Final = "kafka-facade-workers-"
PROTOC: Final = "kafka-facade-protoc-"
_PREFIXES: Final = (WORKERS, PROTOC)
_UNLOCKED: Final = tuple(f".{prefix}" for prefix in _PREFIXES)
_LOCK: Final = "lock"
# A directory that is still unlocked after this long (s) belongs to a process that died before it could lock it.
_LONGEST_UNLOCKED: Final = 60


class NoTemporaryDirectory(Exception):
    """No temporary directory can be created; the message completes "... needs"."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"a writable temporary directory; set TMPDIR to one ({error.strerror})")


def temporary_directory() -> Path:
    """Return the system's directory for temporary ones. Raises NoTemporaryDirectory."""
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise NoTemporaryDirectory(error) from None


@contextlib.contextmanager
def locked_directory(prefix: str, parent: Path) -> Iterator[Path]:
    """Create a directory, locked through a file in it while this process uses it, and remove it at the end.

    Raises NoTemporaryDirectory.
    """
    # Another process may run remove_abandoned before the lock is taken; the leading dot protects it until then.
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=parent))
    except OSError as error:
        raise NoTemporaryDirectory(error) from None
    with (made / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = made.rename(parent / made.name.removeprefix("."))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def remove_abandoned(*parents: Path) -> None:
    """Remove this user's directories in ``parents`` that no living process has locked. Blocks."""
    for parent in set(parents):
        for path in [found for prefix in (*_PREFIXES, *_UNLOCKED) for found in parent.glob(f"{prefix}*")]:
            with contextlib.suppress(OSError):
                found = path.lstat()
                if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and _is_abandoned(path, found.st_mtime):
                    shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path, changed: float) -> bool:
    """Return whether no process uses the directory. ``changed`` is its modification time in Unix seconds."""
    if path.name.startswith("."):
        return time.time() - changed > _LONGEST_UNLOCKED
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
