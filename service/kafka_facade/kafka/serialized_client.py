"""A librdkafka consumer of which the event loop never has to wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from confluent_kafka import Consumer as ClientConsumer

from kafka_facade.core.errors import FacadeError, IllegalConsumerState
from kafka_facade.kafka.blocking import Blocking, settled
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.text import replacing_invalid_text

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SerializedClient:
    """Owns a client. That serves one call at a time: a second one waits in its thread until the first has returned.

    So calls that may wait for Kafka go to a thread (:meth:`_in_thread`), and calls from the event loop (:meth:`_call`)
    are made only while no thread is in one (``_free``).
    """

    def __init__(self, config: Mapping[str, Any], blocking: Blocking, closing: Blocking) -> None:
        self._config = dict(config)
        # The only reference: what clears the list destroys the client.
        self._owned = [self._new_client()]
        self._blocking = blocking
        # Leaving a group can wait for a broker; that must not hold up other calls.
        self._closing = closing
        self._free = asyncio.Event()
        self._free.set()

    def _new_client(self) -> ClientConsumer:
        try:
            return ClientConsumer(self._config)
        except Exception as error:
            raise from_exception(error) from error

    @property
    def _client(self) -> ClientConsumer:
        if not self._owned:
            raise IllegalConsumerState
        return self._owned[0]

    def _call(self, call: Any, *args: Any, **named: Any) -> Any:
        """Make a call that doesn't wait for Kafka."""
        try:
            with replacing_invalid_text:
                return call(*args, **named)
        except Exception as error:
            raise from_exception(error) from error

    async def _in_thread(self, within: float, call: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
        """Make a call that waits for Kafka; KafkaTimeout after ``within`` seconds, while the call may still go on."""
        await self._free.wait()
        self._free.clear()
        begun = self._blocking.begin(call, *args, **named)
        loop = asyncio.get_running_loop()

        def free(_: object) -> None:
            # The loop is closed where nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._free.set)

        begun.add_done_callback(free)
        return await settled(begun, within)

    async def _renew(self, timeout: float) -> None:
        """Go on with a new client that knows nothing of the old one's group."""
        await self._destroy(timeout)
        self._owned = [self._new_client()]

    async def _destroy(self, timeout: float) -> None:
        """Let go of the client, without its own close; never raises.

        That serves rebalances to the end, and one that comes too late waits for an answer for ever, with the
        interpreter's lock held. https://github.com/confluentinc/librdkafka/issues/4884
        """
        owned, self._owned = self._owned, []
        # Nothing is lost by a member that the group has to time out.
        with contextlib.suppress(FacadeError):
            await self._closing.run(timeout, owned.clear)
