"""Kafka requests that librdkafka doesn't have, through kafka-python's connections.

kafka-python does its input and output in a thread of its own, which is started with the first request; nothing of it
runs on the event loop. All of it is given up and begun anew when a connection fails, since kafka-python keeps to the
broker, and to the refusal, that it has met once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

import kafka.errors as client_errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from kafka_facade.core.errors import FacadeError, KafkaError, KafkaTimeout, RetriableKafkaError, UnsupportedVersion
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol_config import protocol_config

logger = logging.getLogger("kafka_facade.kafka")

_PAUSE_SECONDS = 0.1
_CLOSE_SECONDS = 5.0
# One broker that doesn't answer must not use up the time in which another one would.
_CONNECT_SECONDS = 5.0


class ProtocolClient:
    """Sends single requests to a cluster. ``config`` has librdkafka's names; it is looked at with the first request."""

    def __init__(self, config: Mapping[str, Any], closing: Blocking) -> None:
        self._config = config
        self._blocking = closing
        self._connections: _Connections | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, request: Any, timeout: float, *, again: bool = True) -> Any:
        """The answer to a request of kafka-python's, whatever error codes it has.

        Sent once more after a failed connection, unless ``again`` is False. KafkaTimeout, KafkaAuthenticationFailed.
        """
        deadline = time.monotonic() + timeout
        while True:
            connections = self._open()
            try:
                return await connections.send(request, deadline - time.monotonic())
            except (client_errors.KafkaError, TimeoutError, OSError) as error:
                self._discard(connections)
                failure = _translated(error)
                if not (again and failure.row.retriable) or deadline - time.monotonic() <= _PAUSE_SECONDS:
                    raise failure from error
                logger.warning("a request to Kafka failed and is sent again: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        """Close all connections and end the thread; never raises."""
        self._closed = True
        if self._connections is not None:
            self._discard(self._connections)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _open(self) -> _Connections:
        if self._closed:
            raise KafkaError("The connections to Kafka are closed.")
        if self._connections is None:
            self._connections = _Connections(protocol_config(self._config))
        return self._connections

    def _discard(self, connections: _Connections) -> None:
        if self._connections is not connections:
            return
        self._connections = None
        task = asyncio.create_task(self._close_in_thread(connections), name="protocol client close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_in_thread(self, connections: _Connections) -> None:
        with contextlib.suppress(FacadeError):
            await self._blocking.run(_CLOSE_SECONDS, connections.close)


class _Connections:
    """Connections to the brokers of a cluster, with the thread that serves them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._selector = NetworkSelector(**config)
        self._manager = KafkaConnectionManager(self._selector, **config)
        self._selector.start()

    async def send(self, request: Any, timeout: float) -> Any:
        """The answer, or what kafka-python raises; TimeoutError."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def succeed(value: Any) -> None:
            if not answer.done():
                answer.set_result(value)

        def fail(error: BaseException) -> None:
            if not answer.done():
                answer.set_exception(error)

        def settle(how: Any, outcome: Any) -> None:
            # The loop is closed where nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(how, outcome)

        sent = self._manager.call_soon(self._exchange, request, max(1, int(timeout * 1000)))
        sent.add_callback(lambda value: settle(succeed, value))
        sent.add_errback(lambda error: settle(fail, error))
        async with asyncio.timeout(timeout):
            return await answer

    async def _exchange(self, request: Any, timeout_ms: int) -> Any:
        """In the thread: find the cluster, and ask its controller, or any broker while none is named."""
        manager = self._manager
        if not manager.bootstrapped:
            await manager.bootstrap_async(min(timeout_ms, int(_CONNECT_SECONDS * 1000)))
        controller = manager.cluster.controller
        node = None if controller is None else controller.node_id
        return await manager.send(request, node_id=node, request_timeout_ms=timeout_ms)

    def close(self) -> None:
        """Close the connections and wait for the thread to end."""
        self._manager.close()
        self._selector.close()


def _translated(error: BaseException) -> FacadeError:
    if isinstance(error, TimeoutError | client_errors.KafkaTimeoutError):
        return KafkaTimeout()
    if isinstance(error, client_errors.IncompatibleBrokerVersion):
        return UnsupportedVersion()
    code = getattr(error, "errno", None)
    if isinstance(error, client_errors.BrokerResponseError) and code is not None:
        return from_code(code, str(error))
    if isinstance(error, OSError) or getattr(error, "retriable", False):
        return RetriableKafkaError(str(error) or type(error).__name__)
    return KafkaError(str(error) or type(error).__name__)
