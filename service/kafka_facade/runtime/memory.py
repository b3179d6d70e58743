"""The memory of this process, and the watch that protects it from a shortage."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Final

from kafka_facade.core.overload import Overload
from kafka_facade.kafka.freed_memory import trim
from kafka_facade.runtime.garbage import Garbage

logger = logging.getLogger("kafka_facade.runtime")

_LOOK_SECONDS: Final = 0.1
_SHARE: Final = 0.8
# A budget takes such a part of the worker's memory by default.
_PART: Final = 4
# A smaller share would hardly be enough for a process without calls.
_LEAST_SHARE: Final = 256 * 1024 * 1024
LEAST_OF_WORKER: Final = 128 * 1024 * 1024
"""The least memory (bytes) that can be set: one that calls still fit into."""
_GARBAGE_SECONDS: Final = 30.0
_PROCESS: Final = Path("/proc/self/status")
# The limits of containers, of both versions of control groups.
_CONTAINER: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def limit_of_worker(limit: int, workers: int) -> int:
    """Return the memory (bytes) that a worker may use; 0 if that is unknown. ``limit`` is the setting for all."""
    if not _PROCESS.exists():
        return 0
    return limit // workers if limit else max(int(_available() * _SHARE) // workers, _LEAST_SHARE)


def budget(given: int, limit: int, most: int) -> int:
    """Return the size (bytes) of a budget: what is ``given``, or else a part of the worker's ``limit``."""
    return given or (min(most, limit // _PART) if limit else most)


def _available() -> int:
    """Return the memory (bytes) of the machine or of the container, whichever is less."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CONTAINER:
        try:
            found = min(found, int(path.read_text()))
        except (OSError, ValueError):
            # There is no such file, or it says "max".
            continue
    return found


def used() -> int:
    """Return the memory (bytes) that this process uses, without pages of files, which processes share."""
    _, _, after = _PROCESS.read_bytes().partition(b"RssAnon:")
    return int(after.split(maxsplit=1)[0]) * 1024


async def watch(overload: Overload, garbage: Garbage) -> None:
    """Measure the memory in use for ever, and tell ``overload``."""
    was, collect_at = False, 0.0
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        cut_off = overload.measured(used())
        if overload.exceeded and not was:
            logger.warning("memory.max.bytes is exceeded: new calls are rejected")
        elif was and not overload.exceeded:
            logger.warning("memory.max.bytes is no longer exceeded")
        was = overload.exceeded
        if cut_off:
            logger.warning("cut off %d requests that were still arriving, or large responses", cut_off)
        if was:
            # Libraries leave reference cycles, and the C library keeps what was freed.
            if time.monotonic() > collect_at:
                garbage.collect()
                collect_at = time.monotonic() + _GARBAGE_SECONDS
            await asyncio.to_thread(trim)
