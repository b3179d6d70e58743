"""The one way in: what happens to every call before and around its operation, whichever face it came through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kafka_facade.core.call import Call, Caller
from kafka_facade.core.catalogue import BY_IDENTIFIER, Operation
from kafka_facade.core.deadlines import Deadlines
from kafka_facade.core.errors import KafkaTimeout, OperationBlocked, Unavailable

_Result = TypeVar("_Result")


def _names(identifier: str) -> set[str]:
    return {identifier, identifier.rpartition(".")[0] + ".*"}


IDENTIFIERS = frozenset(name for identifier in BY_IDENTIFIER for name in _names(identifier))
"""What an access list may hold: operations, and their groups such as ``api.v3.topics.*``."""

_READS = frozenset(name for name in BY_IDENTIFIER if name.startswith("api.v2.consumers.consume-"))
# As long as an instance can wait (an Int32 of milliseconds), and some more.
_LONGEST_READ_SECONDS = 2**31 / 1000 + 60


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


class Stage(Protocol):
    """What every call passes on its way in, and again on its way out."""

    def enter(self, call: Call) -> None:
        """Let the call in, or raise the error that refuses it."""

    def leave(self, call: Call, error: BaseException | None) -> None:
        """The call has ended, with this error if any; a refusal by a later stage is one."""


class InFlight:
    """Counts the calls in flight, and refuses new ones once the server drains."""

    def __init__(self) -> None:
        self.count = 0
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()

    def enter(self, call: Call) -> None:
        """Unavailable once the server drains."""
        if self.draining:
            raise Unavailable("The server is shutting down.")
        self.count += 1
        self.idle.clear()

    def leave(self, call: Call, error: BaseException | None) -> None:
        """One call less."""
        self.count -= 1
        if not self.count:
            self.idle.set()


class Access:
    """Refuses what the access lists exclude, and what has no implementation."""

    def __init__(self, lists: AccessLists) -> None:
        self._blocked = frozenset(name for name in BY_IDENTIFIER if not lists.permits(name))

    def permits(self, operation: Operation) -> bool:
        """Whether the access lists leave the operation open."""
        return operation.identifier not in self._blocked

    def enter(self, call: Call) -> None:
        """OperationBlocked, NotImplementedYet."""
        if call.operation.identifier in self._blocked:
            raise OperationBlocked(operation=call.operation.identifier)
        call.operation.require_implemented()

    def leave(self, call: Call, error: BaseException | None) -> None:
        """Nothing to do."""


class Admission:
    """A call that passes the stages, in flight while its block runs: ``with admission as call: ...``."""

    __slots__ = ("_call", "_stages")

    def __init__(self, call: Call, stages: tuple[Stage, ...]) -> None:
        self._call = call
        self._stages = stages

    def __enter__(self) -> Call:
        call = self._call
        entered = 0
        try:
            for stage in self._stages:
                stage.enter(call)
                entered += 1
        except BaseException as error:
            self._leave(entered, error)
            raise
        return call

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._leave(len(self._stages), error)

    def _leave(self, entered: int, error: BaseException | None) -> None:
        for stage in reversed(self._stages[:entered]):
            stage.leave(self._call, error)


class Pipeline:
    """The stages that calls pass, in order; deadlines; and the end of all calls at shutdown.

    ``default_timeout`` (s) is the longest that an operation may take, but for reads of consumer instances, which wait
    as long as those say. ``stages`` come after the pipeline's own: in-flight calls, then access lists.
    """

    def __init__(self, access: AccessLists, default_timeout: float, stages: Sequence[Stage] = ()) -> None:
        self._in_flight = InFlight()
        self._access = Access(access)
        self._stages: tuple[Stage, ...] = (self._in_flight, self._access, *stages)
        self._default_timeout = default_timeout
        self.closing = asyncio.Event()
        """Set once the server is to shut down: streams end themselves then, while short calls are still admitted."""
        self.deadlines = Deadlines()

    @property
    def in_flight(self) -> int:
        """How many calls are being run."""
        return self._in_flight.count

    def permits(self, operation: Operation) -> bool:
        """Whether the access lists leave the operation open."""
        return self._access.permits(operation)

    def admit(self, identifier: str, caller: Caller) -> Admission:
        """Let a call of an operation in, for as long as the block lasts, which has the :class:`Call`.

        OperationBlocked, NotImplementedYet, Unavailable once the server drains, and what other stages refuse.
        """
        return Admission(self._call(BY_IDENTIFIER[identifier], caller), self._stages)

    def admit_forwarded(self, call: Call) -> Admission:
        """Let a call in that another worker has admitted; Unavailable once this one drains."""
        return Admission(call, (self._in_flight,))

    def renewed(self, call: Call) -> Call:
        """The same call with its whole time before it: where the request took its time to arrive, or is a stream."""
        renewed = self._call(call.operation, call.caller)
        renewed.hand_over = call.hand_over
        return renewed

    def _call(self, operation: Operation, caller: Caller) -> Call:
        # A read of a consumer instance waits as long as that says.
        limit = _LONGEST_READ_SECONDS if operation.identifier in _READS else self._default_timeout
        if caller.timeout is not None:
            limit = min(caller.timeout, limit)
        return Call(operation, caller, time.monotonic() + limit)

    async def within(self, call: Call, work: Awaitable[_Result]) -> _Result:
        """What the work returns; KafkaTimeout where that isn't there by the call's deadline."""
        try:
            with self.deadlines.limit(call.remaining):
                return await work
        except TimeoutError:
            raise KafkaTimeout from None

    async def drain(self, timeout: float) -> bool:
        """Admit nothing more and wait for calls in flight; False if some were left when the timeout (s) ran out."""
        self.closing.set()
        self._in_flight.draining = True
        try:
            async with asyncio.timeout(timeout):
                await self._in_flight.idle.wait()
        except TimeoutError:
            return False
        return True
