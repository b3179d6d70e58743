"""The directory of the Unix sockets through which the workers of one gateway communicate."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kafka_facade.core.temporary import WORKERS, locked_directory, remove_abandoned

# Paths of Unix sockets have at most 107 characters.
_LONGEST_PARENT = 60


@contextlib.contextmanager
def shared_directory() -> Iterator[Path]:
    """Create a directory, and remove it at the end."""
    with locked_directory(WORKERS, _parent()) as path:
        yield path


def remove_leftovers() -> None:
    """Remove the temporary directories of gateways that were killed."""
    remove_abandoned(_parent(), Path(tempfile.gettempdir()))


def _parent() -> Path:
    temporary = tempfile.gettempdir()
    return Path(temporary if len(temporary) < _LONGEST_PARENT else "/tmp")
