"""The life of one worker: the core, the Kafka clients and the three faces on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kafka_facade.core.core import Core
from kafka_facade.core.overload import REQUESTS_BYTES, Overload
from kafka_facade.kafka.pool import ClientPool
from kafka_facade.peers.peers import Peers
from kafka_facade.rpc.server import GrpcServer
from kafka_facade.runtime import compose, memory
from kafka_facade.runtime.app import App
from kafka_facade.runtime.ending import end_within
from kafka_facade.runtime.garbage import Garbage
from kafka_facade.runtime.kafka_identities import service_identity
from kafka_facade.runtime.log import configure_logging
from kafka_facade.runtime.settings import Settings

if TYPE_CHECKING:
    from kafka_facade.schemas.registry import SchemaRegistry

logger = logging.getLogger("kafka_facade.runtime")

_OPEN_SECONDS = 30.0
_LINGER_SECONDS = 1.0
_PARENT_CHECK_SECONDS = 1.0
HTTP_SHARE = 0.6
"""The share of the shutdown timeout in which HTTP requests may finish before they are cancelled."""
# The share reserved for closing consumers and flushing the producer.
_CLOSE_SHARE = 0.3


class Worker:
    """Starts and stops everything that one process of the gateway runs.

    Picklable until it is started, so that a supervisor can pass it to a new process. ``http`` is the application of
    REST and GraphQL; None until they can answer.
    """

    def __init__(
        self, settings: Settings, peers_directory: Path | None = None, parts: compose.Parts | None = None
    ) -> None:
        self.settings = settings
        self.http: App | None = None
        process = settings.process
        limit = memory.limit_of_worker(process.memory_limit, process.workers)
        self.overload = Overload(
            limit, memory.budget(process.requests_memory, limit, REQUESTS_BYTES), process.outgoing_memory
        )
        self._watches: list[asyncio.Task[None]] = []
        self._parts = parts
        self._peers_directory = peers_directory
        # The workers of one gateway have it in common, since each is started with a copy of this object.
        self._peers_certificate = None if peers_directory is None else compose.peers_certificate(settings.peers)
        self._peers: Peers | None = None
        self._core: Core | None = None
        self._clients: ClientPool | None = None
        self._registry: SchemaRegistry | None = None
        self._grpc: GrpcServer | None = None
        self._grpc_stop: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline: float | None = None
        self._ending = False

    async def start(self) -> None:
        """Start everything, in order. Raises the error of what cannot start; :meth:`stop` closes the rest."""
        settings = self.settings
        self._loop = asyncio.get_running_loop()
        configure_logging(settings.process.log_level, settings.secrets())
        parts = self._parts or compose.Parts()
        service = service_identity(settings)
        self._clients = compose.kafka_clients(settings, parts, self.overload.limit)
        # Held until the end, so that these clients are never closed as idle.
        own = await self._clients.lease(service, _OPEN_SECONDS)
        await own.engine.check()
        await own.engine.prepare()
        self._registry = compose.schema_registry(settings.registry)
        if self._peers_directory is not None:
            self._peers = compose.peers(settings.peers, self._peers_directory, self._peers_certificate)
        core = compose.core(settings, parts, self._clients, own, service, self._registry, self._peers, self.overload)
        self._core = core
        await core.start()
        if self._peers is not None:
            await self._peers.start(core)
        self.http = compose.http_app(settings, parts, core)
        self._grpc = compose.grpc_server(settings.grpc, parts, core)
        if self._grpc is not None:
            await self._grpc.start()
        if settings.peers.workers > 1:
            self._watches.append(asyncio.create_task(_end_with(_supervisor()), name="supervisor watch"))
        garbage = Garbage(lambda: core.pipeline.in_flight == 0)
        self._watches.append(asyncio.create_task(garbage.watch(), name="garbage collection"))
        if self.overload.limit:
            watch = memory.watch(self.overload, garbage)
            self._watches.append(asyncio.create_task(watch, name="memory watch"))

    def end_by(self, deadline: float) -> None:
        """Start the shutdown, to be done by ``deadline`` (``time.monotonic``). May be called in any thread."""
        if self._deadline is None:
            self._deadline = deadline
        if self._loop is not None:
            # The loop is closed if the shutdown is complete already.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._begin_shutdown)

    def _begin_shutdown(self) -> None:
        """End streams and reject new gRPC calls."""
        if self._ending:
            return
        self._ending = True
        if self._deadline is None:
            timeout = self.settings.process.shutdown_seconds
            self._deadline = time.monotonic() + timeout
            end_within(timeout)
        if self._core is not None:
            self._core.pipeline.closing.set()
        self.overload.close()
        self._stop_grpc()

    def _stop_grpc(self) -> None:
        if self._grpc is not None and self._grpc_stop is None:
            self._grpc_stop = asyncio.create_task(self._grpc.stop(self._drain_seconds()), name="gRPC shutdown")

    def _drain_seconds(self) -> float:
        left = 0.0 if self._deadline is None else self._deadline - time.monotonic()
        return max(0.0, left - self.settings.process.shutdown_seconds * _CLOSE_SHARE)

    async def stop(self) -> None:
        """Finish calls, close everything that was started, and make sure that the process ends."""
        self._begin_shutdown()
        # A signal during startup may arrive before the gRPC server exists.
        self._stop_grpc()
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        if self._grpc_stop is not None:
            await self._grpc_stop
        if self._core is not None:
            pipeline = self._core.pipeline
            if not await pipeline.drain(self._drain_seconds()):
                logger.warning("shutdown deadline passed with %d requests in flight", pipeline.in_flight)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._close_seconds()):
                    await self._core.close(self._close_seconds())
        if self._peers is not None:
            await self._peers.close()
        if self._clients is not None:
            await self._clients.close(self._close_seconds())
        if self._registry is not None:
            await self._registry.close()
        # Threads stuck in a client call while Kafka is away would delay the exit of the process.
        _exit_soon()

    def _close_seconds(self) -> float:
        return max(0.1, (self._deadline or time.monotonic()) - time.monotonic() - 0.5)


def _supervisor() -> int:
    """The process that started this worker. If it has exited, the current parent is a different process."""
    parent = multiprocessing.parent_process()
    return os.getppid() if parent is None or parent.pid is None else parent.pid


async def _end_with(supervisor: int) -> None:
    """Shut this worker down if its supervisor dies: no other process would do so."""
    while os.getppid() == supervisor:  # noqa: ASYNC110  nothing tells of a parent's end
        await asyncio.sleep(_PARENT_CHECK_SECONDS)
    logger.error("the supervisor has ended; stopping this worker")
    os.kill(os.getpid(), signal.SIGTERM)


def _exit_soon() -> None:
    watchdog = threading.Timer(_LINGER_SECONDS, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()
