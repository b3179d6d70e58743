"""The directory of the Unix sockets through which the workers of one gateway communicate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from kafka_facade.core.temporary import (
    WORKERS,
    NoTemporaryDirectory,
    locked_directory,
    remove_abandoned,
    temporary_directory,
)

# Paths of Unix sockets have at most 107 characters.
_LONGEST_PARENT = 60


@contextlib.contextmanager
def shared_directory() -> Iterator[Path]:
    """Create a directory, and remove it at the end. Raises NoTemporaryDirectory."""
    with locked_directory(WORKERS, _parent()) as path:
        yield path


def remove_leftovers() -> None:
    """Remove the temporary directories of gateways that were killed."""
    with contextlib.suppress(NoTemporaryDirectory):
        remove_abandoned(_parent(), temporary_directory())


def _parent() -> Path:
    temporary = temporary_directory()
    return temporary if len(str(temporary)) < _LONGEST_PARENT else Path("/tmp")
