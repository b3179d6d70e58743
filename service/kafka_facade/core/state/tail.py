"""The reader of the state topic, which every worker has."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import Callable
from typing import Final

from kafka_facade.core.errors import FacadeError, KafkaAuthorizationFailed, KafkaTimeout, TopicNotFound
from kafka_facade.core.records.port import ConsumerFactory, ConsumerPort
from kafka_facade.core.state.topic import PARTITION
from kafka_facade.core.state.view import StateView
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.positions import EARLIEST, PartitionPosition

logger = logging.getLogger("kafka_facade.core")

_BATCH: Final = 500
# Pauses (s) between polls: while no call waits for a record, of the leader while it waits for requests, and otherwise
# from the third to the fourth, doubled.
_IDLE_SECONDS: Final = 0.25
_LEADER_SECONDS: Final = 0.1
_FIRST_SECONDS: Final = 0.002
_LONGEST_SECONDS: Final = 0.025
_FAILED_SECONDS: Final = 1.0
# A failure to read is reported again about each second while it lasts.
_FRESH_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0
# A transaction ends with a marker, which a reader passes only when it finds the end of the topic, a fetch later. The
# last offset can only be a marker or a request, so a view without it is up to date.
_MARKER: Final = 1
_OVERRIDES: Final = {"isolation.level": "read_committed", "fetch.max.wait.ms": "500"}


class Tail:
    """Reads the topic from its start into a view, and then waits for more."""

    def __init__(self, consumers: ConsumerFactory, topic: str, view: StateView) -> None:
        self._consumers = consumers
        self._topic = topic
        self.view = view
        self.position = 0
        """The next offset; all records before it are in the view."""
        self.leads = False
        """Whether other workers wait for what this one reads."""
        self.is_lost = False
        """Whether the topic has been deleted, or the reader is closed."""
        self.on_records: Callable[[], None] = lambda: None
        """Called when records have been applied."""
        self.read_at = time.monotonic()
        """When records were read last, in seconds of :func:`time.monotonic`."""
        self._consumer: ConsumerPort | None = None
        self._task: asyncio.Task[None] | None = None
        self._advanced = asyncio.Event()
        self._wake = asyncio.Event()
        self._waiting = 0
        self._failure: FacadeError | None = None
        self._failed_at = 0.0

    async def open(self) -> None:
        """Begin to read. Raises TooManyRequests, and other errors of creating a consumer."""
        self._consumer = await self._consumers.create(
            group=None, auto_offset_reset="earliest", auto_commit=False, overrides=_OVERRIDES
        )
        await self._consumer.assign([PartitionPosition(self._topic, PARTITION, EARLIEST)])
        self._task = asyncio.create_task(self._run(self._consumer), name="state reader")

    async def close(self) -> None:
        """Stop reading, and end all waits with TopicNotFound; never raises."""
        self.is_lost = True
        self.tell()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.close(_CLOSE_SECONDS)

    async def reach(self, end: int, timeout: float) -> None:
        """Wait until the view has all records of state before ``end``. Raises KafkaTimeout."""
        await self.until(lambda: self.position >= end - _MARKER, timeout)

    async def until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait until a condition is met; it is looked at after each change of the view, and after :meth:`tell`.

        Raises KafkaTimeout, TopicNotFound if the topic is deleted, and KafkaAuthorizationFailed if it may not be read.
        """
        self._waiting += 1
        self._wake.set()
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    if self.is_lost:
                        raise TopicNotFound(topic_name=self._topic)
                    if self._failure is not None and time.monotonic() - self._failed_at < _FRESH_SECONDS:
                        raise copy.copy(self._failure)
                    await self._advanced.wait()
        except TimeoutError:
            raise KafkaTimeout from None
        finally:
            self._waiting -= 1

    async def advance(self, timeout: float) -> None:
        """Wait until the view may have changed, or for ``timeout`` seconds. The reader does not poll more often."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._advanced.wait()

    async def _run(self, consumer: ConsumerPort) -> None:
        pause = _FIRST_SECONDS
        while True:
            try:
                records = await consumer.poll(_BATCH, 0)
            except FacadeError as error:
                self._failed(error)
                await asyncio.sleep(_FAILED_SECONDS)
                continue
            for record in records:
                await time_slice()
                self.view.apply(record.key, record.value, record.offset)
                self.position = record.offset + 1
            at = consumer.position(self._topic, PARTITION)
            if records or at > self.position:
                self.position = max(self.position, at)
                self.tell()
                pause = _FIRST_SECONDS
            if records:
                self.read_at = time.monotonic()
                self.on_records()
            elif self._waiting:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_SECONDS)
            else:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LEADER_SECONDS if self.leads else _IDLE_SECONDS):
                        await self._wake.wait()

    def tell(self) -> None:
        """Let those who wait look at their conditions."""
        advanced, self._advanced = self._advanced, asyncio.Event()
        advanced.set()

    def _failed(self, error: FacadeError) -> None:
        logger.warning("the state topic %s can't be read: %s", self._topic, error)
        if isinstance(error, TopicNotFound):
            # A broker that has just started may not know the topic yet: who needs the state looks again.
            self.is_lost = True
        if isinstance(error, KafkaAuthorizationFailed):
            self._failure, self._failed_at = error.with_traceback(None), time.monotonic()
        self.tell()
