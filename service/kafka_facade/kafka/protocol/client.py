"""Kafka requests that librdkafka doesn't have, through kafka-python.

kafka-python takes half a second to load and is seldom needed: that is done with the first request, in a thread. It does
its input and output in a thread of its own; nothing of it runs on the event loop. Only where that thread has ended are
its connections made anew: a broker that fails is no reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from kafka_facade.core.errors import FacadeError, KafkaError, KafkaTimeout
from kafka_facade.kafka.blocking import Blocking, settled
from kafka_facade.kafka.protocol.names import Names
from kafka_facade.kafka.protocol.settings import untranslated

if TYPE_CHECKING:
    from kafka_facade.kafka.protocol.connections import Connections

_T = TypeVar("_T")

logger = logging.getLogger("kafka_facade.kafka")

_PAUSE_SECONDS = 0.1
_OPEN_SECONDS = 20.0
_CLOSE_SECONDS = 5.0
# A broker that takes longer (s) may hang: another one is asked. One that is slow gets more time each time.
_ANSWER_SECONDS = 1.0
# A part of the time is for one answer: whom to ask may change, and requests that others wait behind must end.
_SHARE = 0.25


class ProtocolClient:
    """Sends single requests to a cluster. ``config`` has librdkafka's names; it is looked at with the first request."""

    def __init__(self, config: Mapping[str, Any], blocking: Blocking, names: Names, in_flight: int) -> None:
        """``blocking`` has the threads that make connections and close them; ``in_flight`` requests go on at once."""
        self._config = config
        self._blocking = blocking
        self._names = names
        self.usable = untranslated(config) is None
        """Whether the settings let it connect: some of security don't translate."""
        self._slots = asyncio.Semaphore(in_flight)
        self._opening: asyncio.Task[None] | None = None
        self._connections: Connections | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def prepare(self) -> None:
        """Load what the first request needs, ahead of it."""
        if self.usable and self._opening is None:
            self._opening = asyncio.create_task(self._connect(), name="protocol client open")
            # A failure is for the first request to meet again.
            self._opening.add_done_callback(lambda opening: opening.cancelled() or opening.exception())

    async def send(
        self, build: Callable[[Any], Any], timeout: float, *, again: bool = True, node: int | None = None
    ) -> Any:
        """The answer of the controller, or of the broker ``node``, to a request, whatever error codes it has.

        ``build`` makes it of :mod:`kafka.protocol.admin`. Without a ``node``, it is sent again while it fails and there
        is time, maybe to another broker, unless ``again`` is False. KafkaTimeout, RetriableKafkaError,
        UnsupportedVersion, KafkaError.
        """
        if not again or node is not None:
            part = max(min(timeout, _ANSWER_SECONDS), timeout * _SHARE)
            return await self._attempts(lambda found, left: found.send(build, min(left, part), node), timeout, False)
        parts = (_ANSWER_SECONDS * 2**attempt for attempt in itertools.count())
        return await self._attempts(lambda found, left: found.send(build, min(left, next(parts))), timeout, True)

    async def brokers(self, timeout: float) -> list[int]:
        """The ids of all brokers; the errors of :meth:`send`."""
        return await self._attempts(lambda found, left: found.brokers(left), timeout, True)

    async def _attempts(
        self, attempt: Callable[[Connections, float], Awaitable[_T]], timeout: float, again: bool
    ) -> _T:
        deadline = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout), self._slots:
                while True:
                    connections = await self._open()
                    try:
                        return await attempt(connections, deadline - time.monotonic())
                    except FacadeError as error:
                        if connections.lost:
                            self._discard(connections)
                        if not (again and error.codes.retriable) or deadline - time.monotonic() <= _PAUSE_SECONDS:
                            raise
                        logger.warning("retrying a failed Kafka request: %s", error)
                    await asyncio.sleep(_PAUSE_SECONDS)
        except TimeoutError:
            raise KafkaTimeout from None

    async def close(self) -> None:
        """Close all connections and end the thread; never raises."""
        self._closed = True
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._connections is not None:
            self._discard(self._connections)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _open(self) -> Connections:
        while self._connections is None:
            if self._closed:
                raise KafkaError("The connections to Kafka are closed.")
            if self._opening is None:
                self._opening = asyncio.create_task(self._connect(), name="protocol client open")
            # It goes on without the caller who has begun it: its thread must have an owner.
            await asyncio.shield(self._opening)
        return self._connections

    async def _connect(self) -> None:
        opening = self._blocking.begin(_new_connections, self._config, self._names)
        try:
            self._connections = await settled(opening, _OPEN_SECONDS)
        except BaseException:
            opening.add_done_callback(_shut)
            raise
        finally:
            self._opening = None

    def _discard(self, connections: Connections) -> None:
        if self._connections is not connections:
            return
        self._connections = None
        task = asyncio.create_task(self._close_quietly(connections), name="protocol client close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_quietly(self, connections: Connections) -> None:
        with contextlib.suppress(FacadeError):
            await connections.close(self._blocking, _CLOSE_SECONDS)


def _new_connections(config: Mapping[str, Any], names: Names) -> Connections:
    from kafka_facade.kafka.protocol.connections import Connections

    return Connections(config, names)


def _shut(opening: Future[Connections]) -> None:
    """Close connections that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().shut()
