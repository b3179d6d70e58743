"""Admission and deadlines, which every call goes through whichever face it comes from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kafka_facade.core.call import Call, Caller, Identify, KafkaAccess
from kafka_facade.core.catalogue import CATALOGUE, INSTANCE_READS, Catalogue, Operation
from kafka_facade.core.deadlines import Deadlines
from kafka_facade.core.errors import KafkaTimeout, NotImplementedYet, OperationBlocked, Unavailable
from kafka_facade.core.kafka_clients import ClientPool
from kafka_facade.core.outcome import Usage
from kafka_facade.core.overload import Overload

_Result = TypeVar("_Result")


def _names(identifier: str) -> set[str]:
    return {identifier, identifier.rpartition(".")[0] + ".*"}


IDENTIFIERS = frozenset(name for identifier in CATALOGUE.identifiers for name in _names(identifier))
"""Valid entries of an access list: operations, and groups of them such as ``api.v3.topics.*``."""

# The longest timeout that a consumer instance can have (an Int32 of milliseconds), plus a margin.
_LONGEST_READ_SECONDS = 2**31 / 1000 + 60


@dataclass(frozen=True, slots=True)
class AccessLists:
    """``api.endpoints.allowlist`` and ``.blocklist`` (reference: "Accesslists").

    An entry is the identifier of an operation, or a group such as ``api.v3.topics.*``.
    """

    allow: Collection[str] = ()
    block: Collection[str] = ()

    def permits(self, identifier: str) -> bool:
        """Return whether calls of the operation are allowed."""
        names = _names(identifier)
        allowed = not self.allow or not names.isdisjoint(self.allow)
        return allowed and names.isdisjoint(self.block)


class Stage(Protocol):
    """A hook around every call."""

    def enter(self, call: Call) -> None:
        """Admit the call, or raise the error that rejects it."""

    def leave(self, call: Call, error: BaseException | None) -> None:
        """Note the end of a call, with its error if it failed or a later stage rejected it.

        :meth:`Call.outcome` has the code, the duration and what was stored or handed over.
        """


class InFlight:
    """Counts the calls in flight, and rejects new ones once the server drains."""

    def __init__(self) -> None:
        self.count = 0
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()

    def enter(self, call: Call) -> None:
        """Count the call. Raises Unavailable once the server drains."""
        if self.draining:
            raise Unavailable("The server is shutting down.")
        self.count += 1
        self.idle.clear()

    def leave(self, call: Call, error: BaseException | None) -> None:
        """Uncount the call, and signal ``idle`` after the last one."""
        self.count -= 1
        if not self.count:
            self.idle.set()


class Access:
    """Rejects operations that the access lists exclude or that have no implementation."""

    def __init__(self, lists: AccessLists, identifiers: Iterable[str]) -> None:
        self._blocked = frozenset(name for name in identifiers if not lists.permits(name))
        self.implemented: Container[str] = ()

    def permits(self, operation: Operation) -> bool:
        """Return whether the access lists allow the operation."""
        return operation.identifier not in self._blocked

    def enter(self, call: Call) -> None:
        """Raise OperationBlocked or NotImplementedYet if the call is not allowed."""
        identifier = call.operation.identifier
        if identifier in self._blocked:
            raise OperationBlocked(operation=identifier)
        if identifier not in self.implemented:
            raise NotImplementedYet(f"{identifier} is not implemented yet.", operation=identifier)

    def leave(self, call: Call, error: BaseException | None) -> None:
        """Do nothing."""


class Kafka:
    """Gives each call its access to Kafka, as the identity that composition chooses for its caller."""

    def __init__(self, pool: ClientPool, identify: Identify) -> None:
        self._pool = pool
        self._identify = identify

    def enter(self, call: Call) -> None:
        """Set the call's access; clients are leased when an operation needs them."""
        call.access = KafkaAccess(self._pool, self._identify, call.caller)

    def leave(self, call: Call, error: BaseException | None) -> None:
        """End the lease on clients, if there is one."""
        if call.access is not None:
            call.access.end()


class Admission:
    """Context manager that takes a call through the stages: ``with admission as call: ...``."""

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
    """Takes calls through the stages, applies deadlines, and drains calls at shutdown.

    ``default_timeout`` (s) bounds every operation except reads of consumer instances, which have the timeout of the
    instance. ``stages`` run after the built-in ones: in-flight calls, overload, access lists. ``kafka`` is last, and
    runs for forwarded calls too.
    """

    def __init__(
        self,
        access: AccessLists,
        default_timeout: float,
        stages: Sequence[Stage] = (),
        kafka: Kafka | None = None,
        catalogue: Catalogue = CATALOGUE,
        overload: Overload | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.overload = overload or Overload()
        """Rejects calls when memory is short; requests that arrive are noted in its ``arrivals``."""
        self._in_flight = InFlight()
        self._access = Access(access, catalogue.identifiers)
        own: tuple[Stage, ...] = () if kafka is None else (kafka,)
        self._stages: tuple[Stage, ...] = (self._in_flight, self.overload, self._access, *stages, *own)
        self._forwarded_stages: tuple[Stage, ...] = (self._in_flight, self.overload, *own)
        # Counting records costs time, which is wasted without a stage that looks.
        self._counts = bool(stages)
        self._default_timeout = default_timeout
        self.closing = asyncio.Event()
        """Set when shutdown begins: streams end themselves, while unary calls are still admitted."""
        self.deadlines = Deadlines()

    def serve(self, implemented: Container[str]) -> None:
        """Admit calls of these operations from now on; calls of others raise NotImplementedYet."""
        self._access.implemented = implemented

    @property
    def in_flight(self) -> int:
        """The number of calls in flight."""
        return self._in_flight.count

    def permits(self, operation: Operation) -> bool:
        """Return whether the access lists allow the operation."""
        return self._access.permits(operation)

    def admit(self, identifier: str, caller: Caller) -> Admission:
        """Return a context manager that admits a call of an operation and yields the :class:`Call`.

        Entering it raises OperationBlocked, NotImplementedYet, Unavailable once the server drains, or the error of
        another stage.
        """
        return Admission(self._call(self.catalogue[identifier], caller), self._stages)

    def admit_forwarded(self, call: Call) -> Admission:
        """Admit a call that another worker has forwarded. Raises Unavailable once this worker drains."""
        return Admission(call, self._forwarded_stages)

    def renewed(self, call: Call) -> Call:
        """Return the call with a new deadline: for streams, and requests whose body took long to arrive."""
        renewed = self._call(call.operation, call.caller)
        renewed.hand_over, renewed.access, renewed.usage = call.hand_over, call.access, call.usage
        return renewed

    def _call(self, operation: Operation, caller: Caller) -> Call:
        # The timeout of a consumer instance bounds its reads.
        limit = _LONGEST_READ_SECONDS if operation.identifier in INSTANCE_READS else self._default_timeout
        if caller.timeout is not None:
            limit = min(caller.timeout, limit)
        now = time.monotonic()
        return Call(operation, caller, now + limit, usage=Usage() if self._counts else None, started=now)

    async def within(self, call: Call, work: Awaitable[_Result]) -> _Result:
        """Await the work and return its result. Raises KafkaTimeout at the call's deadline."""
        try:
            with self.deadlines.limit(call.remaining):
                return await work
        except TimeoutError:
            raise KafkaTimeout from None

    async def drain(self, timeout: float) -> bool:
        """Reject new calls and wait for those in flight. Return False if some were left after ``timeout`` (s)."""
        self.closing.set()
        self._in_flight.draining = True
        try:
            async with asyncio.timeout(timeout):
                await self._in_flight.idle.wait()
        except TimeoutError:
            return False
        return True
