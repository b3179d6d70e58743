"""The directory that the workers of one gateway share, for the sockets over which they reach each other."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kafka_facade.core.temporary import WORKERS, locked_directory, remove_abandoned

# Paths of Unix sockets have 107 characters at the most.
_LONGEST_PARENT = 60


@contextlib.contextmanager
def shared_directory() -> Iterator[Path]:
    """A new directory, removed at the end."""
    with locked_directory(WORKERS, _parent()) as path:
        yield path


def remove_leftovers() -> None:
    """Remove the temporary directories of gateways that were killed."""
    remove_abandoned(_parent(), Path(tempfile.gettempdir()))


def _parent() -> Path:
    temporary = tempfile.gettempdir()
    return Path(temporary if len(temporary) < _LONGEST_PARENT else "/tmp")
