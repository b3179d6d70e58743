"""Removals whose replicas have moved: they wait until their brokers are stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from kafka_facade.core.balancer.executor import STEP_SECONDS
from kafka_facade.core.balancer.port import BalancerKafka
from kafka_facade.core.balancer.records import NOT_STOPPED, Failure, TaskRecord, now_ms
from kafka_facade.core.balancer.removal_looks import EXCLUSION_DELETED, is_excluded
from kafka_facade.core.balancer.snapshots import look
from kafka_facade.core.balancer.steps import TaskEvent
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.state.handlers import Leader

logger = logging.getLogger("kafka_facade.core")

_CONFIRM_SECONDS: Final = 1.0
# How often to look for replicas at least, and at most as a multiple of the time that a look takes.
_PAUSE_SECONDS: Final = 10.0
_PAUSE_FACTOR: Final = 4


class Waiting:
    """Decides when such a removal ends, or moves replicas again."""

    def __init__(self, kafka: BalancerKafka, shutdown_seconds: float) -> None:
        self._kafka = kafka
        self._shutdown_seconds = shutdown_seconds
        self._down: set[int] = set()
        """The brokers that were down at the last look."""
        self._filled: frozenset[int] = frozenset()
        """The brokers that had replicas again at the last look."""
        self._due = 0.0

    def forget(self) -> None:
        """Forget what was seen."""
        self._down.clear()
        self._filled = frozenset()

    def keep(self, broker_ids: Iterable[int]) -> None:
        """Forget what was seen of all other brokers."""
        kept = set(broker_ids)
        self._down &= kept
        self._filled &= kept

    def note_look(self, seconds: float = 0.0) -> None:
        """Put off the next look for replicas: the last one took so many seconds."""
        self._due = time.monotonic() + max(_PAUSE_SECONDS, _PAUSE_FACTOR * seconds)

    async def filled(self, waiting: Sequence[TaskRecord]) -> frozenset[int]:
        """Return the brokers that have replicas again. Looks now and then, and before a removal may end.

        Raises retriable errors.
        """
        may_end = bool(self._down) or any(not task.should_shutdown for task in waiting)
        began = time.monotonic()
        if not waiting or (not may_end and began < self._due):
            return self._filled
        try:
            named = (await look(self._kafka, STEP_SECONDS)).named
        except FacadeError as error:
            if error.codes.retriable:
                raise
            # A right is lost; removals must end all the same.
            logger.warning("whether brokers that are to be stopped have replicas can't be seen: %s", error)
        else:
            self._filled = named & {task.broker_id for task in waiting}
        self.note_look(time.monotonic() - began)
        return self._filled

    def after(self, leader: Leader, task: TaskRecord, *, alive: bool, is_filled: bool) -> TaskRecord | None:
        """Return a removal after a look that changes it."""
        if not is_excluded(leader, task):
            return task.after(TaskEvent.CANCELED, EXCLUSION_DELETED)
        if is_filled:
            # An operator has put them there, or the cordon was gone. Stopping it now could lose records.
            return task.after(TaskEvent.FILLED, message=f"Broker {task.broker_id} has got replicas again.")
        if not alive:
            # Metadata lags behind: a broker is down when it was so at the last look, too.
            if task.broker_id in self._down:
                return task.after(TaskEvent.STOPPED)
            self._down.add(task.broker_id)
            leader.hurry(_CONFIRM_SECONDS)
            return None
        self._down.discard(task.broker_id)
        if not task.should_shutdown:
            # Asked for meanwhile.
            return task.after(TaskEvent.DONE)
        if now_ms() - task.updated_ms > self._shutdown_seconds * 1000:
            message = f"Broker {task.broker_id} was not stopped in time."
            return task.after(TaskEvent.NOT_STOPPED, Failure(NOT_STOPPED, message))
        return None
