"""Kafka requests that librdkafka doesn't have, through kafka-python.

kafka-python takes half a second to load and is seldom needed: that is done with the first request, in a thread. It does
its input and output in a thread of its own; nothing of it runs on the event loop. Its connections are given up and made
anew when one fails, since it keeps to the broker, and to the refusal, that it has met once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kafka_facade.core.errors import FacadeError, KafkaError, KafkaTimeout, UnsupportedVersion
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.protocol.settings import untranslated

if TYPE_CHECKING:
    from kafka_facade.kafka.protocol.connections import Connections

logger = logging.getLogger("kafka_facade.kafka")

_PAUSE_SECONDS = 0.1
_OPEN_SECONDS = 20.0
_CLOSE_SECONDS = 5.0
_TELLING_SECONDS = 0.5
# kafka-python refuses what is more than it may have in flight; others wait here.
_IN_FLIGHT = 4


class ProtocolClient:
    """Sends single requests to a cluster. ``config`` has librdkafka's names; it is looked at with the first request."""

    def __init__(self, config: Mapping[str, Any], blocking: Blocking, in_flight: int = _IN_FLIGHT) -> None:
        self._config = config
        self._blocking = blocking
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
        self,
        build: Callable[[Any], Any],
        timeout: float,
        *,
        again: bool = True,
        node: int | None = None,
        keep: bool = False,
    ) -> Any:
        """The answer of the controller, or of the broker ``node``, to a request, whatever error codes it has.

        ``build`` makes it of :mod:`kafka.protocol.admin`. After a failed connection it is sent again while there is
        time, unless ``again`` is False. With ``keep`` the connections are not given up: others of the caller's requests
        are on their way to other brokers, and :meth:`renew` follows. KafkaTimeout, RetriableKafkaError,
        UnsupportedVersion, KafkaError.
        """
        deadline = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout), self._slots:
                return await self._send(build, deadline, again, node, keep)
        except TimeoutError:
            raise KafkaTimeout from None

    @property
    def connections(self) -> Connections | None:
        """Those that the next request uses; None where it makes new ones."""
        return self._connections

    def renew(self, used: Connections | None) -> None:
        """Give these connections up, if they are still in use: the next request makes new ones."""
        if used is not None:
            self._discard(used)

    async def _send(
        self, build: Callable[[Any], Any], deadline: float, again: bool, node: int | None, keep: bool
    ) -> Any:
        while True:
            connections = await self._open()
            left = deadline - time.monotonic()
            try:
                return await connections.send(build, left, node)
            except FacadeError as error:
                # Neither too little time nor a request that brokers don't know says anything against the connections.
                hasty = left < _TELLING_SECONDS and isinstance(error, KafkaTimeout)
                if not (keep or hasty or isinstance(error, UnsupportedVersion)):
                    self._discard(connections)
                if not (again and error.codes.retriable) or deadline - time.monotonic() <= _PAUSE_SECONDS:
                    raise
                logger.warning("retrying a failed Kafka request: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)

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
        try:
            self._connections = await self._blocking.run(_OPEN_SECONDS, _new_connections, self._config)
        finally:
            self._opening = None

    def _discard(self, connections: Connections) -> None:
        if self._connections is not connections:
            return
        self._connections = None
        task = asyncio.create_task(self._close_in_thread(connections), name="protocol client close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_in_thread(self, connections: Connections) -> None:
        with contextlib.suppress(FacadeError):
            await self._blocking.run(_CLOSE_SECONDS, connections.close)


def _new_connections(config: Mapping[str, Any]) -> Connections:
    from kafka_facade.kafka.protocol.connections import Connections

    return Connections(config)
