"""The caller of an operation, one call of it, and the call's access to Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from kafka_facade.core.catalogue import Operation
from kafka_facade.core.kafka_clients import ClientPool, KafkaIdentity, Lease
from kafka_facade.core.outcome import Outcome, Usage, code_of

if TYPE_CHECKING:
    from kafka_facade.core.kafka_ports import KafkaPorts


class Caller(Struct, frozen=True, gc=False):
    """The caller of an operation: the face it uses, its own timeout in seconds (None: no timeout), and who it is."""

    face: str
    timeout: float | None = None
    principal: str = "User:ANONYMOUS"


Identify = Callable[[Caller, str | None], KafkaIdentity]
"""Returns the Kafka identity of a caller in the cluster with an id (None: the default cluster).

It runs for each call, so it must be fast. For a cluster id that it does not know it returns the identity in the default
cluster, or raises ClusterNotFound.
"""


class KafkaAccess(Struct, gc=False):
    """A caller's access to Kafka for the duration of a call, shared by the copies of the call."""

    pool: ClientPool
    identify: Identify
    caller: Caller
    lease: Lease | None = None
    """The lease on the clients of the caller's identity, once they are open."""
    has_ended: bool = False

    def take(self, cluster_id: str | None) -> bool:
        """Lease the clients for a cluster if they are open, and return whether they are. Never waits."""
        if self.lease is None and not self.has_ended:
            self.lease = self.pool.take(self.identify(self.caller, cluster_id))
        return self.lease is not None

    async def open(self, cluster_id: str | None, timeout: float) -> None:
        """Open the clients for a cluster within ``timeout`` (s), and lease them. Raises the errors of the pool."""
        lease = await self.pool.lease(self.identify(self.caller, cluster_id), timeout)
        if self.lease is None and not self.has_ended:
            self.lease = lease
        else:
            # A copy of the call was faster, or the call has ended.
            lease.release()

    def end(self) -> None:
        """End the lease when the call has ended."""
        self.has_ended = True
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release()


class Call(Struct, gc=False):
    """One call of an operation. ``deadline`` and ``started`` are in seconds of :func:`time.monotonic`.

    ``hand_over`` delivers the result to the caller and raises if that fails. It is set for operations that must know
    whether the caller got the result. Such an operation calls it exactly once unless it fails, even if another worker
    runs the operation.

    ``access`` is set on admission, and ``usage`` if a stage wants to know it.
    """

    operation: Operation
    caller: Caller
    deadline: float
    hand_over: Callable[[Any], Coroutine[Any, Any, None]] | None = None
    access: KafkaAccess | None = None
    usage: Usage | None = None
    started: float = field(default_factory=time.monotonic)

    def outcome(self, error: BaseException | None) -> Outcome:
        """Return how the call has ended, for a stage that it leaves with ``error``."""
        usage = self.usage or Usage()
        return Outcome(code_of(error), time.monotonic() - self.started, usage.records, usage.size)

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def has_kafka(self, cluster_id: str | None) -> bool:
        """Return whether :attr:`kafka` can be used; clients that are open are leased now. Never waits."""
        access = self.access
        return access is not None and (access.lease is not None or access.take(cluster_id))

    async def open_kafka(self, cluster_id: str | None) -> None:
        """Make sure that :attr:`kafka` can be used. Raises the errors of :meth:`ClientPool.lease`."""
        if self.access is not None:
            await self.access.open(cluster_id, self.remaining)

    @property
    def lease(self) -> Lease:
        """The lease on the clients of the caller's identity. Operations have one while they run."""
        access = self.access
        if access is None or access.lease is None:
            raise RuntimeError(f"{self.operation.identifier} runs without access to Kafka.")
        return access.lease

    @property
    def kafka(self) -> KafkaPorts:
        """The ports to use for this caller."""
        return self.lease.ports
