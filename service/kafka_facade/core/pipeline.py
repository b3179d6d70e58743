"""The one way in: what happens to every call before and around its operation, whichever face it came through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import Struct

from kafka_facade.core.catalogue import BY_IDENTIFIER, Operation
from kafka_facade.core.deadlines import Deadlines
from kafka_facade.core.errors import KafkaTimeout, OperationBlocked, Unavailable

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


def _names(identifier: str) -> set[str]:
    return {identifier, identifier.rpartition(".")[0] + ".*"}


IDENTIFIERS = frozenset(name for identifier in BY_IDENTIFIER for name in _names(identifier))
"""What an access list may hold: operations, and their groups such as ``api.v3.topics.*``."""

_READS = frozenset(name for name in BY_IDENTIFIER if name.startswith("api.v2.consumers.consume-"))
# As long as an instance can wait (an Int32 of milliseconds), and some more.
_LONGEST_READ_SECONDS = 2**31 / 1000 + 60


class Call(Struct, gc=False):
    """One call of an operation. ``deadline`` is in seconds of :func:`time.monotonic`.

    ``hand_over`` takes the result to the caller and raises where that fails, for operations that must know. They call
    it once unless they fail, also where another worker runs them.
    """

    operation: Operation
    face: str
    deadline: float
    hand_over: Callable[[Any], Awaitable[None]] | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True, slots=True)
class AccessLists:
    """``api.endpoints.allowlist`` and ``.blocklist`` (reference: "Accesslists").

    An entry is an operation's identifier, or that of its group: ``api.v3.topics.*``.
    """

    allow: Collection[str] = ()
    block: Collection[str] = ()

    def permits(self, identifier: str) -> bool:
        """Whether a call of the operation may go on."""
        names = _names(identifier)
        allowed = not self.allow or not names.isdisjoint(self.allow)
        return allowed and names.isdisjoint(self.block)


class Admission:
    """A call in flight, while its block runs."""

    __slots__ = ("_pipeline",)

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def __enter__(self) -> None:
        self._pipeline.enter()

    def __exit__(self, *_: object) -> None:
        self._pipeline.leave()


class Pipeline:
    """Admits calls, keeps their deadlines, and waits for them at shutdown."""

    def __init__(self, access: AccessLists, default_timeout: float) -> None:
        self._blocked = frozenset(name for name in BY_IDENTIFIER if not access.permits(name))
        self._default_timeout = default_timeout
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.closing = asyncio.Event()
        """Set once the server is to shut down: streams end themselves then, while short calls are still admitted."""
        self._draining = False
        self.deadlines = Deadlines()

    @property
    def in_flight(self) -> int:
        """How many calls are being run."""
        return self._in_flight

    def permits(self, operation: Operation) -> bool:
        """Whether the access lists leave the operation open."""
        return operation.identifier not in self._blocked

    def check(self, operation: Operation) -> None:
        """OperationBlocked or NotImplementedYet for an operation that can't be called."""
        if not self.permits(operation):
            raise OperationBlocked(operation=operation.identifier)
        operation.require_implemented()

    def call(self, identifier: str, face: str, *, timeout: float | None = None) -> Call:
        """A new call; ``timeout`` is the caller's own (seconds) and can only shorten the default."""
        # A read of a consumer instance waits as long as that says.
        longest = _LONGEST_READ_SECONDS if identifier in _READS else self._default_timeout
        limit = longest if timeout is None else min(timeout, longest)
        return Call(BY_IDENTIFIER[identifier], face, time.monotonic() + limit)

    def admit(self, call: Call) -> Admission:
        """Let a call in, for as long as the block lasts: for streams, which have no deadline as a whole.

        OperationBlocked, NotImplementedYet, Unavailable once the server drains.
        """
        if self._draining:
            raise Unavailable("The server is shutting down.")
        self.check(call.operation)
        return Admission(self)

    def enter(self) -> None:
        """One call more is in flight."""
        self._in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """One call less is in flight."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def run(
        self, call: Call, method: Callable[[Call, _Request], Awaitable[_Response]], request: _Request
    ) -> _Response:
        """Run one operation to its end within the call's deadline."""
        with self.admit(call):
            try:
                with self.deadlines.limit(call.remaining):
                    return await method(call, request)
            except TimeoutError:
                raise KafkaTimeout from None

    async def drain(self, timeout: float) -> bool:
        """Admit nothing more and wait for calls in flight; False if some were left when the timeout (s) ran out."""
        self.closing.set()
        self._draining = True
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
