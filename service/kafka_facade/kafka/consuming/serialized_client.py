"""A librdkafka consumer whose calls never block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import IllegalConsumerState, KafkaTimeout, TooManyRequests
from kafka_facade.kafka import thread_keys
from kafka_facade.kafka.authentication import Authentication
from kafka_facade.kafka.blocking import Blocking, settled
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.text import replacing_invalid_text

_P = ParamSpec("_P")
_T = TypeVar("_T")

_CREATE_SECONDS: Final = 20.0
BUSY_SECONDS: Final = 10.0
"""How long operations without a timeout of their own wait for the client's current call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSetup:
    """What a client is created with.

    It is created in a thread of ``connecting``, called in those of ``blocking``, and closed in those of ``closing``,
    because leaving a group can block on a broker. ``grouped`` is whether it joins and commits. ``on_dropped`` is called
    when the client drops prefetched records.
    """

    config: Mapping[str, Any]
    connecting: Blocking
    blocking: Blocking
    closing: Blocking
    grouped: bool
    on_dropped: Callable[[], None] = lambda: None


class SerializedClient:
    """Owns a client and makes sure that only one call uses it at a time; a second one would block its thread.

    Calls that may wait for Kafka run in a thread (:meth:`_in_thread`). Calls from the event loop (:meth:`_call`) are
    made only while no thread uses the client (``_free``).

    Dropping the last reference destroys a client and waits for its threads. Therefore no frame on the event loop may
    hold one (exceptions keep frames alive): methods are passed unbound, as attributes of the class.
    """

    def __init__(self, setup: ClientSetup) -> None:
        """The client is created by :meth:`open`."""
        self._authentication = Authentication()
        self._config = dict(setup.config) | {"error_cb": self._authentication.on_error}
        # The only reference: removing the client from the list destroys it.
        self._owned: list[ClientConsumer] = []
        self._closed = False
        self._connecting = setup.connecting
        self._blocking = setup.blocking
        self._closing = setup.closing
        self._free = asyncio.Event()
        self._free.set()
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()

    async def open(self) -> None:
        """Create the client, if there is none. Raises TooManyRequests if the process has too many, and KafkaTimeout."""
        if self._closed:
            raise IllegalConsumerState
        if self._owned:
            return
        created = self._connecting.begin(_created, self._config)
        try:
            owned = await settled(created, _CREATE_SECONDS)
        except BaseException:
            created.add_done_callback(self._drop)
            raise
        if self._closed:
            self._closing.begin(owned.clear)
            raise IllegalConsumerState
        self._owned = owned

    def _drop(self, created: Future[list[ClientConsumer]]) -> None:
        """Destroy a client that no call waits for any more, in a thread."""
        if not created.cancelled() and created.exception() is None:
            self._closing.begin(created.result().clear)

    @property
    def _client(self) -> ClientConsumer:
        if not self._owned:
            raise IllegalConsumerState
        return self._owned[0]

    def _call(self, method: Any, *args: Any, **named: Any) -> Any:
        """Call a method that does not wait for Kafka."""
        try:
            with replacing_invalid_text:
                return method(self._client, *args, **named)
        except Exception as error:
            raise from_exception(error) from error

    async def _in_thread(
        self, within: float, method: Callable[Concatenate[ClientConsumer, _P], _T], *args: _P.args, **named: _P.kwargs
    ) -> _T:
        """Call a method that waits for Kafka. Raises KafkaTimeout after ``within`` seconds; the call may still run."""
        deadline = time.monotonic() + within
        # While Kafka rejects the credentials, start no call: it would occupy the client until its timeout.
        with self._authentication.waiting():
            await self._until_free(within)
            begun = self._begin(None, method, *args, **named)
            return await settled(begun, max(0.0, deadline - time.monotonic()))

    def _begin(
        self,
        on_success: Callable[[], None] | None,
        method: Callable[Concatenate[ClientConsumer, _P], _T],
        *args: _P.args,
        **named: _P.kwargs,
    ) -> Future[_T]:
        """Start a call in a thread; the client must be free.

        ``on_success`` is called before the client is free again, even if the caller no longer waits.
        """
        self._free.clear()
        begun = self._blocking.begin(_called, self._owned, method, *args, **named)

        def done(ended: Future[_T]) -> None:
            try:
                if on_success is not None and not ended.cancelled() and ended.exception() is None:
                    on_success()
            finally:
                self._free.set()

        _when_done(begun, done)
        return begun

    def _on_the_loop(
        self, change: Callable[[list[ClientPartition]], None], client: ClientConsumer, partitions: list[ClientPartition]
    ) -> None:
        """Call a callback of the client on the event loop, also if a thread serves the client's events."""
        if threading.get_ident() == self._loop_thread:
            change(partitions)
            return
        done: Future[None] = Future()

        def run() -> None:
            try:
                change(partitions)
            finally:
                done.set_result(None)

        # At shutdown the loop may be closed, or not run any more.
        with contextlib.suppress(RuntimeError, TimeoutError):
            self._loop.call_soon_threadsafe(run)
            done.result(BUSY_SECONDS)

    async def _until_free(self, within: float = BUSY_SECONDS) -> None:
        """Wait until no thread uses the client; a call may outlive its caller. Raises KafkaTimeout."""
        if self._free.is_set():
            return
        try:
            async with asyncio.timeout(within):
                while not self._free.is_set():
                    await self._free.wait()
        except TimeoutError:
            raise KafkaTimeout from None

    async def _destroy(self, timeout: float, then: Callable[[], None] | None = None) -> None:
        """Destroy the client in a thread without calling its ``close``, then call ``then``; never raises.

        Waits up to ``timeout`` (s), but never cancels the destruction. ``close`` is not used because it serves
        rebalances until it is done, and a late rebalance can make it wait forever while it holds the interpreter lock:
        https://github.com/confluentinc/librdkafka/issues/4884
        """
        owned, self._owned = self._owned, []
        destroyed = asyncio.Event()

        def done(_: object) -> None:
            destroyed.set()
            if then is not None:
                then()

        _when_done(self._closing.begin(owned.clear), done)
        # On timeout, the group removes the member when its session expires; no data is lost.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await destroyed.wait()


def _created(config: dict[str, Any]) -> list[ClientConsumer]:
    """Create a client in a thread; the list has the only reference."""
    try:
        with thread_keys.taking():
            return [ClientConsumer(config)]
    except TooManyRequests:
        raise TooManyRequests(
            "This process has reached its Kafka client limit; retry (an instance under another name) or raise workers."
        ) from None


def _called(owned: list[ClientConsumer], method: Any, *args: Any, **named: Any) -> Any:
    """Call a method of the client in a thread; the client is destroyed here if its owner dropped it meanwhile."""
    if not owned:
        raise IllegalConsumerState
    return method(owned[0], *args, **named)


def _when_done(begun: Future[_T], then: Callable[[Future[_T]], None]) -> None:
    """Schedule ``then`` with the future on the running event loop once a thread is done.

    The future keeps its callbacks, so ``then`` must not refer to it: that cycle would need garbage collection.
    """
    loop = asyncio.get_running_loop()

    def tell(ended: Future[_T]) -> None:
        # The loop may already be closed during shutdown.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(then, ended)

    begun.add_done_callback(tell)
