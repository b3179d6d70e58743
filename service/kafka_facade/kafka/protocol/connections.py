"""Connections to the brokers of a cluster through kafka-python, which this module imports.

Connections fail independently: kafka-python drops a failed one and reconnects at the next request. Brokers are
discovered by asking several of them and taking the first answer, so that no single broker can delay it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import kafka.errors as client_errors
from kafka.net.inet import KafkaNetSocket
from kafka.net.manager import KafkaConnectionManager
from kafka.protocol import admin

from kafka_facade.core.errors import FacadeError, KafkaError, KafkaTimeout, RetriableKafkaError, UnsupportedVersion
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.io_thread import IoThread
from kafka_facade.kafka.protocol.names import Names, addresses
from kafka_facade.kafka.protocol.settings import protocol_config
from kafka_facade.kafka.text import replace_in_this_thread

Node = int | str

# Close a connection with a request that is unanswered for this long (s), or for the caller's timeout if that is longer.
_SILENCE_SECONDS: Final = 5.0
# A timeout shorter than this (s) does not count as a failure of the broker.
_TELLING_SECONDS: Final = 0.5
# Timeout (s) for a broker whose last request failed; any later answer clears that state.
_SUSPECT_SECONDS: Final = 1.0
# How long (s) a request that any broker can answer waits before another broker is asked too.
_HEDGE_SECONDS: Final = 0.5
# During discovery: the delay (s) before the next broker is asked too, and the total timeout (s).
_STAGGER_SECONDS: Final = 0.1
_DISCOVERY_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0
_IDLE_CHECK_SECONDS: Final = 60.0

# Errors that do not count as failures of the broker.
_HARMLESS: Final = (
    client_errors.IncompatibleBrokerVersion,
    client_errors.UnknownBrokerIdError,
)


class _LookedUp(KafkaNetSocket):  # type: ignore[misc]
    """Connects to resolved addresses, because kafka-python would block its only thread with DNS lookups."""

    SCHEMES = ("looked-up",)

    def dns_lookup(self, host: str, port: int, raise_error: bool = False) -> list[Any]:
        return addresses.get((host, port), [])


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """A manager on a thread that others use too: it leaves nothing there when it is closed.

    It is created in another thread than that of its selector, so it must not schedule anything at creation.
    """

    _idle_check: Any = None

    def close_idle_connections(self) -> None:
        """Close idle connections, now and periodically; the library calls this at creation, which is too early."""

    def check_idle_connections(self) -> None:
        """Close idle connections, now and periodically. Runs in the thread of the selector."""
        if self.closed:
            return
        for connection in self.least_used_connections():
            if self._connection_idle_at(connection) <= time.monotonic():
                connection.close()
        pause = min(self._idle_check_delay, _IDLE_CHECK_SECONDS)
        self._idle_check = self._net.call_later(pause, self.check_idle_connections)

    def close(self, node_id: Node | None = None, timeout_ms: int | None = None) -> None:
        """Close a connection, or all and the check for idle ones."""
        super().close(node_id, timeout_ms)
        if node_id is None and self._idle_check is not None:
            self._net.cancel(self._idle_check)
            self._idle_check = None


class Connections:
    """The connections of one client. Created in a thread, used on the event loop."""

    def __init__(self, config: Mapping[str, Any], names: Names, io: IoThread) -> None:
        theirs = protocol_config(config) | {"proxy_url": f"{_LookedUp.SCHEMES[0]}:"}
        self._names = names
        self._manager = _Manager(io.selector(), **theirs)
        self._cluster = self._manager.cluster
        self._suspects: set[Node] = set()
        self._discovering: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._closed = False
        self._manager.call_soon(self._manager.check_idle_connections)

    @property
    def lost(self) -> bool:
        """Whether their thread has ended, so that nothing can be sent any more."""
        return self._failure is not None

    async def brokers(self, timeout: float) -> list[int]:
        """Return the ids of the current brokers. Raises the core's errors."""
        with _translating():
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._discover())
        return [broker.node_id for broker in self._cluster.brokers()]

    async def send(self, build: Callable[[Any], Any], timeout: float, node: int | None = None) -> Any:
        """Send the request that ``build`` creates from :mod:`kafka.protocol.admin`. Raises the core's errors.

        Without a ``node`` it is sent to the controller, or to another broker if the controller failed last.
        """
        asked: Node | None = None
        with _translating():
            try:
                async with asyncio.timeout(timeout) as limit:
                    try:
                        await self._find(node)
                        asked = self._likely() if node is None else node
                        if asked in self._suspects:
                            soon = asyncio.get_running_loop().time() + _SUSPECT_SECONDS
                            limit.reschedule(min(limit.when() or soon, soon))
                        return await self._ask(asked, build(admin), timeout)
                    finally:
                        # Break a reference cycle: the task's error refers to this frame, and the limit to the task.
                        del limit
            except TimeoutError:
                if asked is not None and timeout >= _TELLING_SECONDS:
                    self._suspects.add(asked)
                raise

    async def ask_any(self, build: Callable[[Any], Any], timeout: float) -> Any:
        """Send a request that any broker can answer; return the first answer. Raises the core's errors.

        While a broker does not answer, others are asked too, one by one.
        """
        with _translating():
            async with asyncio.timeout(timeout):
                await self._find(None)
                answer, failure = await self._first(build, timeout)
                if failure is None:
                    return answer
                try:
                    raise failure
                finally:
                    # Break a reference cycle: the error refers to this frame.
                    del failure

    async def _first(self, build: Callable[[Any], Any], timeout: float) -> tuple[Any, BaseException | None]:
        """Return the first answer, or the last error once all brokers have failed."""
        loop = asyncio.get_running_loop()
        silent: dict[asyncio.Task[Any], tuple[Node, float]] = {}
        failure: BaseException = client_errors.MetadataEmptyBrokerList()
        nodes = iter(self._preferred())
        node = next(nodes, None)
        try:
            while node is not None or silent:
                if node is not None:
                    task = asyncio.create_task(self._ask(node, build(admin), timeout), name="Kafka request")
                    silent[task] = node, loop.time()
                    node = next(nodes, None)
                limit = None if node is None else _HEDGE_SECONDS
                answered, _ = await asyncio.wait(silent, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                for task in answered:
                    del silent[task]
                    error = task.exception()
                    if error is None:
                        return task.result(), None
                    failure = error
        finally:
            # An answer that comes later clears the suspicion.
            late = loop.time() - _HEDGE_SECONDS
            self._suspects.update(node for node, asked in silent.values() if asked <= late)
            for task in silent:
                task.cancel()
            if silent:
                await asyncio.gather(*silent, return_exceptions=True)
        return None, failure

    async def close(self, blocking: Blocking, timeout: float) -> None:
        """Close the connections. Raises KafkaTimeout if that takes too long."""
        self._closed = True
        if self._discovering is not None:
            self._discovering.cancel()
            await asyncio.gather(self._discovering, return_exceptions=True)
        await blocking.run(timeout, self.shut)

    def shut(self) -> None:
        """Close the connections. Blocks."""
        closed = threading.Event()
        try:
            self._manager.call_soon(self._manager.close).add_both(lambda _: closed.set())
        except Exception:
            # Their thread has ended.
            self._manager.close()
        else:
            closed.wait(_STOP_SECONDS)

    async def _find(self, node: int | None) -> None:
        """Make sure that the brokers, or this one, are known; refresh old metadata in the background."""
        known = self._cluster.brokers()
        if not known or (node is not None and self._cluster.broker_metadata(node) is None):
            await asyncio.shield(self._discover())
        elif self._cluster.ttl() <= 0:
            self._discover()

    def _likely(self) -> Node:
        """Return the controller or another broker, preferably one whose last request did not fail."""
        return self._preferred()[0]

    def _preferred(self) -> list[Node]:
        """Return all brokers: the controller first, then the others at random, and those whose last request failed."""
        nodes: list[Node] = [broker.node_id for broker in self._cluster.brokers()]
        random.shuffle(nodes)
        controller = self._cluster.controller
        first = None if controller is None else controller.node_id
        nodes.sort(key=lambda node: (node in self._suspects, node != first))
        return nodes

    def _discover(self) -> asyncio.Task[None]:
        """Start discovery, unless it is running; it does not depend on its callers."""
        if self._discovering is None:
            self._discovering = asyncio.create_task(self._first_answer(), name="broker discovery")
            self._discovering.add_done_callback(self._discovered)
        return self._discovering

    def _discovered(self, task: asyncio.Task[None]) -> None:
        self._discovering = None
        if not task.cancelled() and task.exception() is not None:
            # Counts as an attempt, so that the next one is delayed.
            self._cluster.failed_update(task.exception())

    async def _first_answer(self) -> None:
        known: list[Node] = [broker.node_id for broker in self._cluster.brokers()]
        bootstrap: list[Node] = [broker.node_id for broker in self._cluster.bootstrap_brokers()]
        random.shuffle(known)
        random.shuffle(bootstrap)
        known.sort(key=self._suspects.__contains__)
        bootstrap.sort(key=self._suspects.__contains__)
        asked = [
            asyncio.create_task(self._metadata(node, index * _STAGGER_SECONDS))
            for index, node in enumerate(known + bootstrap)
        ]
        failure: BaseException = client_errors.MetadataEmptyBrokerList()
        try:
            async with asyncio.timeout(_DISCOVERY_SECONDS):
                for first in asyncio.as_completed(asked):
                    try:
                        self._cluster.update_metadata(await first)
                    except (client_errors.KafkaError, OSError, FacadeError) as error:
                        failure = error
                        continue
                    if self._cluster.brokers():
                        return
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            self._release(bootstrap)
        raise failure

    async def _metadata(self, node: Node, delay: float) -> Any:
        await asyncio.sleep(delay)
        return await self._ask(node, self._cluster.metadata_request(), _DISCOVERY_SECONDS)

    def _release(self, bootstrap: Sequence[Node]) -> None:
        with contextlib.suppress(Exception):
            for node in bootstrap:
                self._manager.call_soon(self._manager.close, node)

    async def _ask(self, node: Node, request: Any, timeout: float) -> Any:
        """Send a request to one broker. A caller with a short timeout does not cause the connection to be closed."""
        broker = self._cluster.broker_metadata(node)
        if broker is None:
            raise client_errors.UnknownBrokerIdError(node)
        address = (broker.host, broker.port)
        await self._names.look_up(address)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            # Ignore connections that a finished discovery closed on purpose.
            if not (answer.cancelled() and self._cluster.is_bootstrap(node)):
                self._judge(node, address, error)
            if answer.done():
                return
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(_expected(error))

        def tell(value: Any, error: BaseException | None) -> None:
            # The loop may already be closed during shutdown.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, value, error)

        limit = int(max(timeout, _SILENCE_SECONDS) * 1000)
        try:
            sent = self._manager.call_soon(self._exchange, request, node, limit)
        except Exception as error:
            self._failure = error
            raise RetriableKafkaError(f"The thread of the connections to Kafka has ended: {error!r}") from error
        sent.add_callback(lambda value: tell(value, None))
        sent.add_errback(lambda error: tell(None, error))
        return await answer

    async def _exchange(self, request: Any, node: Node, timeout_ms: int) -> Any:
        """Send a request; runs in kafka-python's thread."""
        replace_in_this_thread()
        # Negotiate API versions with each broker, instead of using those of the first one.
        self._manager.broker_version_data = None
        connection = self._manager.get_connection(node, refresh_metadata_on_err=False)
        return await connection.send_request(request, request_timeout_ms=timeout_ms)

    def _judge(self, node: Node, address: tuple[str, int], error: BaseException | None) -> None:
        """Record success or failure of a broker; a failed broker may be gone or have a new address."""
        if error is None:
            self._suspects.discard(node)
        elif isinstance(error, client_errors.NodeNotReadyError):
            # Its last connection failed, and is not tried again yet.
            self._suspects.add(node)
        elif not isinstance(error, _HARMLESS):
            self._suspects.add(node)
            self._names.doubt(address)
            if not (self._closed or self._cluster.is_bootstrap(node)):
                self._discover()


def _expected(error: BaseException) -> BaseException:
    """Return the error; unexpected ones, such as those of a connection that this client closed, become retriable."""
    if isinstance(error, client_errors.KafkaError | OSError | FacadeError):
        return error
    return RetriableKafkaError(f"{type(error).__name__}: {error}")


class _translating:
    """``with _translating():`` converts the errors of kafka-python to the core's."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, client_errors.KafkaError | OSError):
            raise _translated(error) from error


def _translated(error: BaseException) -> FacadeError:
    if isinstance(error, TimeoutError | client_errors.KafkaTimeoutError):
        return KafkaTimeout()
    if isinstance(error, client_errors.IncompatibleBrokerVersion):
        return UnsupportedVersion()
    if isinstance(error, client_errors.UnknownBrokerIdError):
        # The broker has just joined; the next discovery will find it.
        return RetriableKafkaError(str(error))
    code = getattr(error, "errno", None)
    if isinstance(error, client_errors.BrokerResponseError) and code is not None:
        return from_code(code, str(error))
    if isinstance(error, OSError) or getattr(error, "retriable", False):
        return RetriableKafkaError(str(error) or type(error).__name__)
    return KafkaError(str(error) or type(error).__name__)
