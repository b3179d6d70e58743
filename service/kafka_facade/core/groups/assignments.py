"""Decodes the assignments of members of groups, at most once for each description of the group."""

from __future__ import annotations

from typing import Final

from kafka_facade.core.errors import Unavailable
from kafka_facade.core.groups.assigned import AssignedPartitions
from kafka_facade.core.groups.model import ConsumerAssignments
from kafka_facade.core.groups.port import Assigned
from kafka_facade.core.worker_threads import NoFreeThread, WorkerThreads

# Long work never takes the last thread, so that a large assignment delays no small ones.
_THREADS: Final = 2
_WAIT_SECONDS: Final = 10.0
_DECODE_SECONDS: Final = 30.0
# An assignment of so many bytes takes less than a millisecond to decode.
_AT_ONCE_BYTES: Final = 4 * 1024
_NONE: Final = AssignedPartitions()


class AssignmentDecoder:
    """Decodes the assignments of members, large ones in a few threads."""

    def __init__(self) -> None:
        self._threads = WorkerThreads("assignments", _THREADS)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()

    def of(self, ids: tuple[str, str, str], assigned: Assigned) -> MemberAssignments:
        """Return the assignments of a member: its cluster, group and id, and what it reads."""
        return MemberAssignments(self._threads, ids, assigned)


class MemberAssignments:
    """Returns the assignments of a member when called, and keeps them. Raises Unavailable if the threads are busy."""

    __slots__ = ("_assigned", "_found", "_ids", "_threads")

    def __init__(self, threads: WorkerThreads, ids: tuple[str, str, str], assigned: Assigned) -> None:
        self._threads = threads
        self._ids = ids
        self._assigned: Assigned | None = assigned
        self._found = _NONE

    async def __call__(self) -> ConsumerAssignments:
        """Decode what the member reads, unless that was done before."""
        assigned = self._assigned
        if assigned is not None:
            if assigned.size <= _AT_ONCE_BYTES:
                self._decode()
            else:
                await self._decode_in_thread(assigned.size)
        return ConsumerAssignments(self._ids, self._found)

    async def _decode_in_thread(self, size: int) -> None:
        try:
            # Another field of the request may have decoded it while this one waited.
            await self._threads.run(
                self._decode, wait=_WAIT_SECONDS, limit=_DECODE_SECONDS, known=self._known, size=size
            )
        except (NoFreeThread, TimeoutError):
            raise Unavailable("The threads for large assignments are busy; retry.") from None

    def _decode(self) -> bool:
        assigned = self._assigned
        if assigned is not None:
            self._found = assigned.decode()
            # Drop the encoded assignment.
            self._assigned = None
        return True

    def _known(self) -> bool | None:
        return True if self._assigned is None else None
