"""The Kafka clients of all identities of a process: opened at first use, bounded, and closed when idle."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial

from kafka_facade.core.errors import FacadeError, KafkaTimeout, TooManyRequests, Unavailable
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.kafka_ports import KafkaPorts
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade.kafka.shared import Shared

logger = logging.getLogger("kafka_facade.kafka")

# How long (s) opening clients may take, with waiting for others to close, and how long closing may take.
_OPEN_SECONDS = 30.0
_CLOSE_SECONDS = 10.0
# How much longer (s) the pool waits for clients that do not close in time.
_GRACE_SECONDS = 1.0
# The interval (s) between looks for idle clients; a short idle time is looked at more often.
_LOOK_SECONDS = 1.0
_LOOKS = 4


class _Clients:
    """The open clients of one identity, with the number of leases on them."""

    __slots__ = ("engine", "identity", "ports", "used_at", "users")

    def __init__(self, identity: KafkaIdentity, engine: Engine, users: int) -> None:
        self.identity = identity
        self.engine = engine
        self.ports: KafkaPorts = engine.ports()
        self.users = users
        self.used_at = time.monotonic()

    def lease(self) -> Lease:
        """Return another lease."""
        self.users += 1
        return Lease(self)

    def release(self) -> None:
        """Count one lease less."""
        self.users -= 1
        self.used_at = time.monotonic()


class Lease:
    """A lease on the clients of one identity."""

    __slots__ = ("_clients", "_has_ended", "identity", "ports")

    def __init__(self, clients: _Clients) -> None:
        self._clients = clients
        self._has_ended = False
        self.identity = clients.identity
        self.ports = clients.ports

    @property
    def engine(self) -> Engine:
        """The engine of the clients."""
        return self._clients.engine

    def share(self) -> Lease:
        """Return another lease on the same clients."""
        return self._clients.lease()

    def release(self) -> None:
        """End the lease. Raises RuntimeError if it has ended: the clients would be closed while another is in use."""
        if self._has_ended:
            raise RuntimeError(f"A lease on the Kafka clients of {self.identity.name} is released twice.")
        self._has_ended = True
        self._clients.release()


class _Opening:
    """Clients that are being opened, with the number of calls that wait for them."""

    def __init__(self) -> None:
        self.waiting = 0
        self.found: _Clients | None = None
        self.failure: FacadeError | None = None
        self.done = asyncio.Event()


class ClientPool:
    """The clients of up to ``most`` identities. Create it on the event loop that uses it.

    Clients without a lease are closed after ``idle_seconds``, or as soon as another identity needs their place.
    ``options_of`` returns the settings of an identity's clients.
    """

    def __init__(
        self,
        options_of: Callable[[KafkaIdentity], KafkaOptions],
        shared: Shared,
        most: int,
        idle_seconds: float,
        engine: type[Engine] = Engine,
    ) -> None:
        self._options_of = options_of
        self._shared = shared
        self._most = most
        self._idle_seconds = idle_seconds
        self._engine = engine
        # By the digest of the identity, which costs less to look up.
        self._open: dict[bytes, _Clients] = {}
        self._opening: dict[bytes, _Opening] = {}
        # Clients have a place from before they are opened until they are destroyed.
        self._places = asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._expiry = asyncio.create_task(self._expire(), name="idle Kafka clients")

    def take(self, identity: KafkaIdentity) -> Lease | None:
        """Lease clients that are open; None if they have to be opened."""
        found = self._open.get(identity.digest)
        return None if found is None else found.lease()

    async def lease(self, identity: KafkaIdentity, timeout: float) -> Lease:
        """Lease clients, opening them if necessary; calls at the same time open them once.

        Raises TooManyRequests if no place is free, KafkaTimeout, Unavailable during shutdown, and the error with which
        opening them failed.
        """
        if (found := self.take(identity)) is not None:
            return found
        opening = self._opening.get(identity.digest) or self._begin(identity)
        opening.waiting += 1
        try:
            async with asyncio.timeout(timeout):
                await opening.done.wait()
        except BaseException as error:
            if opening.found is not None:
                opening.found.release()
            opening.waiting -= 1
            if isinstance(error, TimeoutError):
                raise KafkaTimeout from None
            raise
        if opening.found is None:
            # Each call gets an error of its own, because tracebacks are added to it.
            raise copy.copy(opening.failure or Unavailable("The server is shutting down."))
        # Those who wait have been counted when the clients were open.
        return Lease(opening.found)

    def _begin(self, identity: KafkaIdentity) -> _Opening:
        if self._closed:
            raise Unavailable("The server is shutting down.")
        if len(self._open) + len(self._opening) >= self._most:
            idle = [clients for clients in self._open.values() if not clients.users]
            if not idle:
                raise TooManyRequests(
                    f"This worker has reached its limit of {self._most} Kafka identities (kafka.clients.max), "
                    "and all of them are in use; retry."
                )
            self._retire(min(idle, key=lambda clients: clients.used_at), _CLOSE_SECONDS)
        opening = self._opening[identity.digest] = _Opening()
        self._run(self._make(identity, opening), "Kafka clients open")
        return opening

    async def _make(self, identity: KafkaIdentity, opening: _Opening) -> None:
        """Open clients; a failure is not remembered."""
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await self._places.acquire()
                try:
                    forget = partial(self._forget, identity.cluster)
                    engine = await self._engine.open(self._options_of(identity), self._shared, forget)
                except BaseException:
                    self._places.release()
                    raise
            opening.found = self._open[identity.digest] = _Clients(identity, engine, opening.waiting)
        except Exception as error:
            opening.failure = from_exception(error)
            logger.warning("the Kafka clients of %s can't be opened: %s", identity.name, opening.failure)
        finally:
            del self._opening[identity.digest]
            opening.done.set()

    def _forget(self, cluster: str, topic: str) -> None:
        """Drop what the producers of a cluster remember of a topic that one identity has changed."""
        for clients in self._open.values():
            if clients.identity.cluster == cluster:
                clients.engine.producer.forget(topic)

    def _retire(self, clients: _Clients, timeout: float) -> None:
        """Close clients in a task; the identity's next call opens others."""
        del self._open[clients.identity.digest]
        self._run(self._shut(clients, timeout), "Kafka clients close")

    async def _shut(self, clients: _Clients, timeout: float) -> None:
        try:
            await clients.engine.close(timeout)
        except Exception:
            logger.exception("the Kafka clients of %s can't be closed", clients.identity.name)
        finally:
            gone = clients.engine.destroyed
            if gone is None or gone.done():
                self._places.release()
            else:
                # Others open clients only when these no longer take threads and memory.
                gone.add_done_callback(partial(_soon, asyncio.get_running_loop(), self._places.release))

    def _run(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self) -> None:
        """Close idle clients; runs until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_SECONDS, self._idle_seconds / _LOOKS))
            until = time.monotonic() - self._idle_seconds
            for clients in [entry for entry in self._open.values() if not entry.users and entry.used_at <= until]:
                self._retire(clients, _CLOSE_SECONDS)

    async def close(self, timeout: float) -> None:
        """Close all clients, in use or not, within ``timeout`` (s), and what they share."""
        deadline = time.monotonic() + timeout
        self._closed = True
        self._expiry.cancel()
        await asyncio.gather(self._expiry, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                for opening in list(self._opening.values()):
                    await opening.done.wait()
        for clients in list(self._open.values()):
            self._retire(clients, max(0.0, deadline - time.monotonic()))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=max(0.0, deadline - time.monotonic()) + _GRACE_SECONDS)
            if late:
                logger.warning("%d Kafka clients were not closed in time", len(late))
        await self._shared.close()


def _soon(loop: asyncio.AbstractEventLoop, then: Callable[[], None], _done: object) -> None:
    """Call a function on the loop, from another thread."""
    # The loop may already be closed during shutdown.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(then)
