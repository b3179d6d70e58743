"""How much of the replicas that move now has been copied. Only looked at while callers watch tasks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import structs

from kafka_facade.core.balancer.port import PlacementPort
from kafka_facade.core.balancer.progress import is_for
from kafka_facade.core.balancer.records import ExecutionRecord, MoveRecord, TaskRecord
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.reassignments.port import Place
from kafka_facade.core.state.view import StateView

logger = logging.getLogger("kafka_facade.core")

_READ_SECONDS: Final = 5.0
# Brokers return the sizes of all their replicas: looks take at most one of this and 1 of the time.
_PAUSE_FACTOR: Final = 20
_LEAST_PAUSE_SECONDS: Final = 2.0


class Copying:
    """Looks at the brokers that get replicas, once for all callers. ``placement`` is the gateway's own port."""

    def __init__(self, placement: PlacementPort) -> None:
        self._placement = placement
        self._sizes: Mapping[tuple[Place, int], int] = {}
        self._due = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End the look that goes on; never raises."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def with_copied(self, view: StateView, task: TaskRecord) -> TaskRecord:
        """Return a task whose progress includes what has been copied, as of the last look, and begin another if due."""
        record = view.get(ExecutionRecord)
        if task.progress is None or record is None or not is_for(record, task):
            return task
        if (self._looking is None or self._looking.done()) and time.monotonic() >= self._due:
            self._looking = asyncio.create_task(self._look(record.batch), name="copied replicas")
        moves = [move for move in record.batch if task.broker_id in (*move.adding, *move.removing)]
        copied = sum(map(self._copied, moves))
        found = structs.replace(task.progress, bytes_moved=task.progress.bytes_moved + copied)
        return structs.replace(task, progress=found)

    def _copied(self, move: MoveRecord) -> int:
        """Return how much the new replica has that has least."""
        return min((move.size_bytes, *(self._sizes.get((move.place, broker), 0) for broker in move.adding)))

    async def _look(self, moves: Iterable[MoveRecord]) -> None:
        began = time.monotonic()
        wanted = [(move.place, broker) for move in moves for broker in move.adding]
        try:
            disks = await self._placement.disks({broker for _, broker in wanted}, _READ_SECONDS)
            # A broker that does not answer has what it had before.
            self._sizes = {
                (place, broker): disks[broker].sizes.get(place, 0)
                if broker in disks
                else self._sizes.get((place, broker), 0)
                for place, broker in wanted
            }
        except FacadeError as error:
            logger.debug("how much has been copied can't be told: %s", error)
        finally:
            now = time.monotonic()
            self._due = now + max(_LEAST_PAUSE_SECONDS, _PAUSE_FACTOR * (now - began))
