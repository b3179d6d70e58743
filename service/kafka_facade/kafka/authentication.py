"""Calls of a client that Kafka refuses the credentials of fail at once, and not when their time is over.

librdkafka tells of a refusal by its error callback, with each attempt to connect, while the calls that wait for a
connection wait on. Attempts go on all the time (see ``reconnect.backoff.max.ms``), so nothing has to be done for calls
to succeed again once Kafka takes the credentials: only calls within a moment of the last refusal fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import re
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import FacadeError, KafkaAuthenticationFailed, RetriableKafkaError
from kafka_facade.kafka.errors import KINDS

_T = TypeVar("_T")

# How long (s) a refusal speaks for calls that begin: attempts to connect follow each other faster than this.
_FRESH_SECONDS: Final = 2.0
# How long (s) it explains a call that ran out of time.
_EXPLAINS_SECONDS: Final = 5.0
# A client that had an answer so lately (s) has brokers that accept it: then a refusal is one broker's.
_ANSWERED_SECONDS: Final = 5.0
# How often (s) a client is asked for its errors while calls wait.
_POLL_SECONDS: Final = 0.1
_IDLE_POLL_SECONDS: Final = 1.0
# RFC 8446, section 6.2: bad, unsupported, revoked, expired, unknown certificates, and none; unknown CA; access denied.
_CERTIFICATE_ALERT: Final = re.compile(r"SSL alert number (?:4[2-6]|48|49|116)\b")


class Authentication:
    """Whether Kafka takes the credentials of one client. Made and used on one event loop.

    ``on_error`` is the client's error callback; it is called in any thread. ``poll``, where nothing else does it, makes
    the client call it.
    """

    def __init__(self, poll: Callable[[], object] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._refused_at = float("-inf")
        self._answered_at = float("-inf")
        self._seen_at = float("-inf")
        self._waiting: set[_Waiting] = set()
        # Turns of the loop while calls are under way: one that ended within its first turn has asked Kafka nothing.
        self.turns = 0
        self._counting = False
        self._poll = poll
        self._timer: asyncio.TimerHandle | None = None
        self.on_refusal: Callable[[], None] | None = None
        """Called where waiting calls fail, for what else waits."""
        if poll is not None:
            self._timer = self._loop.call_later(_IDLE_POLL_SECONDS, self._serve)

    def on_error(self, error: ClientError) -> None:
        """The client's error callback."""
        refused = issubclass(KINDS.get(error.code(), FacadeError), KafkaAuthenticationFailed)
        # In TLS 1.3 a server looks at the client's certificate when for the client the handshake is over.
        if refused or _CERTIFICATE_ALERT.search(error.str()):
            # The loop is closed where nobody waits any more.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._refuse)

    @property
    def refused(self) -> bool:
        """Whether Kafka refuses the credentials at present."""
        return self._refused_at > self._answered_at and time.monotonic() - self._refused_at < _FRESH_SECONDS

    def answered(self) -> None:
        """Kafka has answered: it takes the credentials."""
        self._answered_at = time.monotonic()

    def check(self) -> None:
        """KafkaAuthenticationFailed where Kafka refuses the credentials at present."""
        if self.refused:
            raise KafkaAuthenticationFailed

    def waiting(self) -> _Waiting:
        """A block that waits for Kafka, in a coroutine; KafkaAuthenticationFailed as soon as no answer will come."""
        return _Waiting(self)

    def close(self) -> None:
        """Ask the client for nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._poll = self._timer = None

    def explains(self, error: BaseException | None) -> bool:
        """Whether a call failed since Kafka refuses the credentials, though its error says something else."""
        return isinstance(error, RetriableKafkaError) and time.monotonic() - self._seen_at < _EXPLAINS_SECONDS

    def begin(self, waiting: _Waiting) -> None:
        """One that waits."""
        self.check()
        self._waiting.add(waiting)
        if not self._counting:
            self._counting = True
            self._loop.call_soon(self._count)
        if self._timer is not None and self._timer.when() > self._loop.time() + _POLL_SECONDS:
            self._timer.cancel()
            self._timer = self._loop.call_later(_POLL_SECONDS, self._serve)

    def end(self, waiting: _Waiting) -> None:
        """One that no longer waits."""
        self._waiting.discard(waiting)

    def _count(self) -> None:
        self._counting = False
        self.turns += 1

    def _refuse(self) -> None:
        self._seen_at = now = time.monotonic()
        if now - self._answered_at < _ANSWERED_SECONDS:
            return
        self._refused_at = now
        for waiting in tuple(self._waiting):
            waiting.fail()
        if self.on_refusal is not None:
            self.on_refusal()

    def _serve(self) -> None:
        if self._poll is None:
            return
        try:
            self._poll()
        finally:
            pause = _POLL_SECONDS if self._waiting else _IDLE_POLL_SECONDS
            self._timer = self._loop.call_later(pause, self._serve)


class _Waiting:
    """A block that fails as soon as Kafka refuses the credentials; its task is cancelled for that."""

    __slots__ = ("_cancelling", "_failed", "_owner", "_task", "_turn")

    def __init__(self, owner: Authentication) -> None:
        self._owner = owner
        self._failed = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A call to Kafka needs a task.")
        self._task = task
        self._cancelling = task.cancelling()
        self._turn = self._owner.turns
        self._owner.begin(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._owner.end(self)
        if self._failed:
            # A cancellation that came from elsewhere too goes on as one.
            if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise KafkaAuthenticationFailed from None
        elif error is None:
            if self._owner.turns != self._turn:
                self._owner.answered()
        elif self._owner.explains(error):
            raise KafkaAuthenticationFailed from error

    def fail(self) -> None:
        """End the block, once."""
        if not self._failed:
            self._failed = True
            self._task.cancel()


class _FailFast:
    """A port whose coroutines are calls of an :class:`Authentication`."""

    def __init__(self, port: object, authentication: Authentication) -> None:
        self._port = port
        self._authentication = authentication

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return found

        @functools.wraps(found)
        async def call(*args: Any, **named: Any) -> Any:
            with self._authentication.waiting():
                return await found(*args, **named)

        # Looked up once: the next time it is an attribute of its own.
        self.__dict__[name] = call
        return call


def fail_fast(port: _T, authentication: Authentication) -> _T:
    """The port, with calls that fail as soon as Kafka refuses its client's credentials."""
    return cast(_T, _FailFast(port, authentication))
