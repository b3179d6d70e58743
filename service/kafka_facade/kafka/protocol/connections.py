"""Connections to the brokers of a cluster, by kafka-python; loading this module loads all of that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import kafka.errors as client_errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol import admin

from kafka_facade.core.errors import FacadeError, KafkaError, KafkaTimeout, RetriableKafkaError, UnsupportedVersion
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.settings import protocol_config
from kafka_facade.kafka.text import replace_in_this_thread

# One broker that doesn't answer must not use up the time in which another one would.
_SHARE = 0.25
_LEAST_SECONDS = 1.0


class Connections:
    """Connections with the thread that serves them. Made in a thread, used on the event loop."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        theirs = protocol_config(config)
        self._selector = NetworkSelector(**theirs)
        self._manager = KafkaConnectionManager(self._selector, **theirs)
        self._selector.start()

    async def send(self, build: Callable[[Any], Any], timeout: float, node: int | None = None) -> Any:
        """The answer to the request that ``build`` makes of :mod:`kafka.protocol.admin`; the errors of the core."""
        timeout = max(min(timeout, _LEAST_SECONDS), timeout * _SHARE, 0.001)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
            if not answer.done():
                set_outcome(outcome)

        def tell(set_outcome: Callable[[Any], None], outcome: Any) -> None:
            # The loop is closed where nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, set_outcome, outcome)

        sent = self._manager.call_soon(self._exchange, build(admin), int(timeout * 1000), node)
        sent.add_callback(lambda value: tell(answer.set_result, value))
        sent.add_errback(lambda error: tell(answer.set_exception, _expected(error)))
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except (client_errors.KafkaError, TimeoutError, OSError) as error:
            raise _translated(error) from error

    async def _exchange(self, request: Any, timeout_ms: int, node: int | None) -> Any:
        """In the thread: find the cluster, and ask the node, or else the controller, or any while there is none."""
        replace_in_this_thread()
        manager = self._manager
        if not manager.bootstrapped:
            await manager.bootstrap_async(timeout_ms)
        controller = manager.cluster.controller
        if node is None and controller is not None:
            node = controller.node_id
        return await manager.send(request, node_id=node, request_timeout_ms=timeout_ms)

    def close(self) -> None:
        """Close the connections and wait for the thread to end."""
        self._manager.close()
        self._selector.close()


def _expected(error: BaseException) -> BaseException:
    """The error; what is none of a request, as where connections are closed under it, as one that passes."""
    if isinstance(error, client_errors.KafkaError | TimeoutError | OSError | FacadeError):
        return error
    return RetriableKafkaError(f"{type(error).__name__}: {error}")


def _translated(error: BaseException) -> FacadeError:
    if isinstance(error, TimeoutError | client_errors.KafkaTimeoutError):
        return KafkaTimeout()
    if isinstance(error, client_errors.IncompatibleBrokerVersion):
        return UnsupportedVersion()
    if isinstance(error, client_errors.UnknownBrokerIdError):
        # It has joined since: connections that are made anew know it.
        return RetriableKafkaError(str(error))
    code = getattr(error, "errno", None)
    if isinstance(error, client_errors.BrokerResponseError) and code is not None:
        return from_code(code, str(error))
    if isinstance(error, OSError) or getattr(error, "retriable", False):
        return RetriableKafkaError(str(error) or type(error).__name__)
    return KafkaError(str(error) or type(error).__name__)
