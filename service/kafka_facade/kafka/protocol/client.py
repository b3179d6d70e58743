"""A client for Kafka requests that librdkafka does not support, over kafka-python.

Importing kafka-python takes half a second, so it is done in a thread at the first request. kafka-python does its I/O in
one thread for all clients, and nothing of it runs on the event loop. All connections are recreated only if that thread
has ended, not if a broker fails.
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
from kafka_facade.kafka.protocol.io_thread import IoThread
from kafka_facade.kafka.protocol.names import Names
from kafka_facade.kafka.protocol.settings import untranslated

if TYPE_CHECKING:
    from kafka_facade.kafka.protocol.connections import Connections

_T = TypeVar("_T")

logger = logging.getLogger("kafka_facade.kafka")

_PAUSE_SECONDS = 0.1
_OPEN_SECONDS = 20.0
_CLOSE_SECONDS = 5.0
# First timeout (s) for an answer, after which another broker is asked with a longer timeout: the first may hang.
_ANSWER_SECONDS = 1.0
# Each attempt gets this share of the time, because the controller may change and queued requests must not wait long.
_SHARE = 0.25


class ProtocolClient:
    """Sends single requests to a cluster. ``config`` has librdkafka's names; it is applied at the first request."""

    def __init__(
        self, config: Mapping[str, Any], blocking: Blocking, names: Names, io: IoThread, in_flight: int
    ) -> None:
        """``blocking`` has threads for opening and closing connections; ``in_flight`` limits concurrent requests."""
        self._config = config
        self._blocking = blocking
        self._names = names
        self._io = io
        self.usable = untranslated(config) is None
        """Whether it can connect: some security settings cannot be translated to kafka-python's."""
        self._slots = asyncio.Semaphore(in_flight)
        self._opening: asyncio.Task[None] | None = None
        self._connections: Connections | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def prepare(self) -> None:
        """Prepare for the first request in the background."""
        if self.usable and self._opening is None:
            self._opening = asyncio.create_task(self._connect(), name="protocol client open")
            # Ignore a failure; the first request will retry and report it.
            self._opening.add_done_callback(lambda opening: opening.cancelled() or opening.exception())

    async def send(
        self, build: Callable[[Any], Any], timeout: float, *, again: bool = True, node: int | None = None
    ) -> Any:
        """Send a request to the controller, or to the broker ``node``; return the response with its error codes.

        ``build`` creates the request from :mod:`kafka.protocol.admin`. Without a ``node``, a failed request is retried
        within the timeout, possibly at another broker, unless ``again`` is False. Raises KafkaTimeout,
        RetriableKafkaError, UnsupportedVersion, and KafkaError.
        """
        if not again or node is not None:
            part = max(min(timeout, _ANSWER_SECONDS), timeout * _SHARE)
            return await self._attempts(lambda found, left: found.send(build, min(left, part), node), timeout, False)
        parts = (_ANSWER_SECONDS * 2**attempt for attempt in itertools.count())
        return await self._attempts(lambda found, left: found.send(build, min(left, next(parts))), timeout, True)

    async def ask_any(self, build: Callable[[Any], Any], timeout: float) -> Any:
        """Send a request that any broker can answer, and return the first response; see :meth:`send`."""
        return await self._attempts(lambda found, left: found.ask_any(build, left), timeout, True)

    async def brokers(self, timeout: float) -> list[int]:
        """Return the ids of all brokers. Raises the errors of :meth:`send`."""
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
        """Close all connections; never raises."""
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
            # Continue even if the caller is cancelled, because the thread must have an owner.
            await asyncio.shield(self._opening)
        return self._connections

    async def _connect(self) -> None:
        opening = self._blocking.begin(_new_connections, self._config, self._names, self._io)
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


def _new_connections(config: Mapping[str, Any], names: Names, io: IoThread) -> Connections:
    from kafka_facade.kafka.protocol.connections import Connections

    return Connections(config, names, io)


def _shut(opening: Future[Connections]) -> None:
    """Close connections whose opening was abandoned."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().shut()
