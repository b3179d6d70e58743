"""A librdkafka consumer of which the event loop never has to wait."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from confluent_kafka import Consumer as ClientConsumer

from kafka_facade.core.errors import IllegalConsumerState, KafkaTimeout, TooManyRequests
from kafka_facade.kafka import thread_keys
from kafka_facade.kafka.authentication import Authentication
from kafka_facade.kafka.blocking import Blocking, settled
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.text import replacing_invalid_text

_P = ParamSpec("_P")
_T = TypeVar("_T")

# How long (s) what has no time of its own waits for the client's present call.
_BUSY_SECONDS: Final = 10.0


class SerializedClient:
    """Owns a client. That serves one call at a time: a second one waits in its thread until the first has returned.

    So calls that may wait for Kafka go to a thread (:meth:`_in_thread`), and calls from the event loop (:meth:`_call`)
    are made only while no thread is in one (``_free``).

    The last reference to a client destroys it, which waits for its threads. No frame on the event loop holds one:
    methods are passed as those of the class, and exceptions keep their frames alive.
    """

    def __init__(self, config: Mapping[str, Any], blocking: Blocking, closing: Blocking) -> None:
        self._authentication = Authentication()
        self._config = dict(config) | {"error_cb": self._authentication.on_error}
        # The only reference: taking the client out of the list destroys it.
        self._owned = [self._new_client()]
        self._blocking = blocking
        # Leaving a group can wait for a broker; that must not hold up other calls.
        self._closing = closing
        self._free = asyncio.Event()
        self._free.set()

    def _new_client(self) -> ClientConsumer:
        if thread_keys.are_scarce():
            raise TooManyRequests(
                "This process has reached its Kafka client limit; "
                "retry (an instance under another name) or raise workers."
            )
        try:
            return ClientConsumer(self._config)
        except Exception as error:
            raise from_exception(error) from error

    @property
    def _client(self) -> ClientConsumer:
        if not self._owned:
            raise IllegalConsumerState
        return self._owned[0]

    def _call(self, method: Any, *args: Any, **named: Any) -> Any:
        """Call a method of the client that doesn't wait for Kafka."""
        try:
            with replacing_invalid_text:
                return method(self._client, *args, **named)
        except Exception as error:
            raise from_exception(error) from error

    async def _in_thread(
        self, within: float, method: Callable[Concatenate[ClientConsumer, _P], _T], *args: _P.args, **named: _P.kwargs
    ) -> _T:
        """Call a method that waits for Kafka; KafkaTimeout after ``within`` seconds, while it may still go on."""
        deadline = time.monotonic() + within
        # Where Kafka refuses the credentials no call is begun: it would keep the client for as long as it takes.
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
        """Have a thread call a method of the client, which is free before.

        ``on_success`` is called before the client is free again, whether or not somebody waits still.
        """
        self._free.clear()
        begun = self._blocking.begin(_called, self._owned, method, *args, **named)

        def done() -> None:
            try:
                if on_success is not None and not begun.cancelled() and begun.exception() is None:
                    on_success()
            finally:
                self._free.set()

        _when_done(begun, done)
        return begun

    async def _until_free(self, within: float = _BUSY_SECONDS) -> None:
        """Wait until no thread is in a call, which may go on for longer than its caller waits; KafkaTimeout."""
        if self._free.is_set():
            return
        try:
            async with asyncio.timeout(within):
                while not self._free.is_set():
                    await self._free.wait()
        except TimeoutError:
            raise KafkaTimeout from None

    def _require_client(self) -> None:
        """Have a client again after one was destroyed; TooManyRequests while others have taken its place."""
        if not self._owned:
            self._owned = [self._new_client()]

    async def _destroy(self, timeout: float, then: Callable[[], None] | None = None) -> None:
        """Destroy the client in a thread, without its own close, and call ``then``; never raises.

        Waits up to ``timeout`` (s) and never takes the work back: nobody else may destroy the client. Its own close
        serves rebalances to the end, and one that comes too late waits for an answer for ever, with the interpreter's
        lock held. https://github.com/confluentinc/librdkafka/issues/4884
        """
        owned, self._owned = self._owned, []
        destroyed = asyncio.Event()

        def done() -> None:
            destroyed.set()
            if then is not None:
                then()

        _when_done(self._closing.begin(owned.clear), done)
        # Nothing is lost by a member that the group has to time out.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await destroyed.wait()


def _called(owned: list[ClientConsumer], method: Any, *args: Any, **named: Any) -> Any:
    """In a thread: call a method of the client, which is destroyed here if it has been given up meanwhile."""
    if not owned:
        raise IllegalConsumerState
    return method(owned[0], *args, **named)


def _when_done(begun: Future[Any], then: Callable[[], None]) -> None:
    """Have the running event loop call ``then`` once a thread is done."""
    loop = asyncio.get_running_loop()

    def tell(_: object) -> None:
        # The loop is closed where nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(then)

    begun.add_done_callback(tell)
