"""Makes calls fail immediately when Kafka rejects a client's credentials, instead of at their timeout.

librdkafka reports rejected credentials through its error callback at each connection attempt, while calls keep waiting
for a connection. It retries continuously (see ``reconnect.backoff.max.ms``), so calls fail only for a short time after
the last rejection and succeed again by themselves once Kafka accepts the credentials.

librdkafka requests an OAuth token every 10 s, but reports the same failure only once. So a client without a token stays
rejected until a call gets an answer: from time to time some calls may try, for a short time. If the token endpoint does
not respond, the credentials may be right, so the calls fail with a retriable error.
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

# New calls fail for this long (s) after a rejection; connection attempts are more frequent than this.
_FRESH_SECONDS: Final = 2.0
# A call that times out within this long (s) of a rejection is reported as an authentication failure.
_EXPLAINS_SECONDS: Final = 5.0
# If the client got an answer within this long (s), other brokers accept it, so ignore the rejection of one broker.
_ANSWERED_SECONDS: Final = 5.0
# Interval (s) at which the client's errors are polled while calls wait.
_POLL_SECONDS: Final = 0.1
_IDLE_POLL_SECONDS: Final = 1.0
# The beginning of librdkafka's report that it has no OAuth token.
_NO_TOKEN: Final = "Failed to acquire SASL OAUTHBEARER token"
# Then follows the body of the endpoint's response, or the error of libcurl if there was none.
_NO_RESPONSE: Final = re.compile(
    re.escape(_NO_TOKEN)
    + ": (?:Failed to connect|Could ?n[o']t (?:connect|resolve)|Resolving timed out|Operation timed out"
    "|Connection (?:time|refused|reset|was)|(?:Recv|Send) failure|Empty reply|SSL connection timeout|OpenSSL )"
)
_UNAVAILABLE: Final = "No token for Kafka could be fetched, because the token endpoint does not respond; retry."
# How long (s) calls then fail before some may try again, and how long (s) those wait.
_TOKEN_SECONDS: Final = 10.0
_TRY_SECONDS: Final = 2.0
# RFC 8446, section 6.2: bad, unsupported, revoked, expired, unknown certificates, and none; unknown CA; access denied.
_CERTIFICATE_ALERT: Final = re.compile(r"SSL alert number (?:4[2-6]|48|49|116)\b")


class Authentication:
    """Tracks whether Kafka accepts the credentials of one client. Created and used on one event loop.

    ``on_error`` is the client's error callback and may be called in any thread. ``poll`` makes the client call it, if
    nothing else does.
    """

    def __init__(self, poll: Callable[[], object] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._refused_at = float("-inf")
        self._answered_at = float("-inf")
        self._seen_at = float("-inf")
        self._has_no_token = False
        # Whether that is because the token endpoint did not respond.
        self._undecided = False
        self._no_token_until = float("-inf")
        self._waiting: set[_Waiting] = set()
        # Iterations of the loop while calls run: a call that ends within its first one has not asked Kafka.
        self.turns = 0
        self._counting = False
        self._poll = poll
        self._timer: asyncio.TimerHandle | None = None
        self.on_refusal: Callable[[], None] | None = None
        """Called when waiting calls are failed, for other waiters."""
        if poll is not None:
            self.begin_polling(poll)

    def begin_polling(self, poll: Callable[[], object]) -> None:
        """Poll a client that is created after this object."""
        self._poll = poll
        self._timer = self._loop.call_later(_IDLE_POLL_SECONDS, self._serve)

    def on_error(self, error: ClientError) -> None:
        """The client's error callback."""
        refused = issubclass(KINDS.get(error.code(), FacadeError), KafkaAuthenticationFailed)
        # In TLS 1.3 the server checks the client certificate after the client has finished the handshake.
        if refused or _CERTIFICATE_ALERT.search(error.str()):
            # The loop may already be closed during shutdown.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._refuse, error.str())

    @property
    def refused(self) -> bool:
        """Whether Kafka currently rejects the credentials."""
        now = time.monotonic()
        if self._has_no_token and now < self._no_token_until:
            return True
        return self._refused_at > self._answered_at and now - self._refused_at < _FRESH_SECONDS

    @property
    def failure(self) -> FacadeError:
        """The error of calls that fail because of the credentials."""
        if self._has_no_token and self._undecided:
            return RetriableKafkaError(_UNAVAILABLE)
        return KafkaAuthenticationFailed()

    def answered(self) -> None:
        """Record that Kafka has answered, and so accepts the credentials."""
        self._answered_at = time.monotonic()
        self._has_no_token = False

    def check(self, *, polled: bool = False) -> None:
        """Raise :attr:`failure` if Kafka currently rejects the credentials.

        After the client was ``polled`` in vain, also if it has no token, because there is no call that could try.
        """
        if self.refused or (polled and self._lacks_token):
            raise self.failure

    def waiting(self) -> _Waiting:
        """Return a context manager for awaiting Kafka; :attr:`failure` ends it on a rejection."""
        return _Waiting(self)

    def close(self) -> None:
        """Stop polling the client."""
        if self._timer is not None:
            self._timer.cancel()
        self._poll = self._timer = None

    def explains(self, error: BaseException | None) -> bool:
        """Return whether a call failed because of rejected credentials although its error says something else."""
        recent = time.monotonic() - self._seen_at < _EXPLAINS_SECONDS
        return isinstance(error, RetriableKafkaError) and (recent or self._has_no_token)

    def begin(self, waiting: _Waiting) -> None:
        """Add a waiting block."""
        self.check()
        self._waiting.add(waiting)
        if self._has_no_token:
            self._loop.call_later(_TRY_SECONDS, self._give_up, waiting)
        if not self._counting:
            self._counting = True
            self._loop.call_soon(self._count)
        if self._timer is not None and self._timer.when() > self._loop.time() + _POLL_SECONDS:
            self._timer.cancel()
            self._timer = self._loop.call_later(_POLL_SECONDS, self._serve)

    def end(self, waiting: _Waiting) -> None:
        """Remove a waiting block."""
        self._waiting.discard(waiting)

    def _count(self) -> None:
        self._counting = False
        self.turns += 1

    def _give_up(self, waiting: _Waiting) -> None:
        """Fail a call that has got no answer in time, and all others, because there is no token yet."""
        if self._has_no_token and waiting in self._waiting:
            self._no_token_until = time.monotonic() + _TOKEN_SECONDS
            self._fail_all()

    @property
    def _lacks_token(self) -> bool:
        """Whether the client has never had a token; one that has had one may still have connections."""
        return self._has_no_token and self._answered_at == float("-inf")

    def _refuse(self, report: str) -> None:
        self._seen_at = now = time.monotonic()
        if report.startswith(_NO_TOKEN):
            self._has_no_token = True
            self._undecided = _NO_RESPONSE.match(report) is not None
        if now - self._answered_at < _ANSWERED_SECONDS:
            return
        self._refused_at = now
        if self._lacks_token:
            self._no_token_until = now + _TOKEN_SECONDS
        self._fail_all()

    def _fail_all(self) -> None:
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
    """A block that fails as soon as Kafka rejects the credentials, by cancelling its task."""

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
            # If the task was also cancelled for another reason, let that CancelledError propagate.
            if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise self._owner.failure from None
        elif error is None:
            if self._owner.turns != self._turn:
                self._owner.answered()
        elif self._owner.explains(error):
            raise self._owner.failure from error

    def fail(self) -> None:
        """Cancel the block, once."""
        if not self._failed:
            self._failed = True
            self._task.cancel()


class _FailFast:
    """Wraps a port so that its coroutines run within an :class:`Authentication`."""

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

        # Cache the wrapper as an attribute.
        self.__dict__[name] = call
        return call


def fail_fast(port: _T, authentication: Authentication) -> _T:
    """Wrap a port so that its calls fail as soon as Kafka rejects the client's credentials."""
    return cast(_T, _FailFast(port, authentication))
