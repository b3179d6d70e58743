"""One worker: the core, the Kafka clients and the three faces on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from google.protobuf.descriptor import ServiceDescriptor

from kafka_facade.core.catalogue import CATALOGUE, Catalogue
from kafka_facade.core.facade import Facade
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.links import KINDS, Kind
from kafka_facade.core.pipeline import AccessLists, Kafka, Pipeline
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.pool import ClientPool
from kafka_facade.kafka.shared import Shared
from kafka_facade.peers.local import LocalOwnership
from kafka_facade.peers.peers import Peers
from kafka_facade.peers.transport import TcpTransport, Transport, UnixTransport
from kafka_facade.rest.app import create_app as create_rest_app
from kafka_facade.rest.options import RestOptions
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.server import GrpcServer
from kafka_facade.rpc.services import SERVICES
from kafka_facade.runtime.ending import end_within
from kafka_facade.runtime.kafka_identities import all_as, kafka_options, service_identity
from kafka_facade.runtime.log import configure_logging
from kafka_facade.runtime.settings import Settings
from kafka_facade.web.cross_origin import CrossOriginGuard, CrossOriginOptions
from kafka_facade_graphql.app import create_app as create_graphql_app
from kafka_facade_graphql.options import GraphQLOptions
from kafka_facade_graphql.schema import GRAPH, Graph

if TYPE_CHECKING:
    from kafka_facade.schemas.registry import SchemaRegistry

logger = logging.getLogger("kafka_facade.runtime")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN_SECONDS = 30.0
_LINGER_SECONDS = 1.0
_PARENT_CHECK_SECONDS = 1.0
# The gateway's own objects have no reference cycles, but those of libraries must not accumulate.
_GC_THRESHOLDS = (1_000, 10, 50)
HTTP_SHARE = 0.6
"""The share of the shutdown timeout in which HTTP requests may finish before they are cancelled."""
# The share reserved for closing consumers and flushing the producer.
_CLOSE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Parts:
    """What a gateway serves, and its engine; the defaults are the gateway as it is shipped."""

    engine: type[Engine] = Engine
    catalogue: Catalogue = CATALOGUE
    kinds: Mapping[type[Any], Kind] = field(default_factory=lambda: KINDS)
    families: Sequence[object] = ()
    """Families of operations besides those of the core."""
    services: Sequence[ServiceDescriptor] = SERVICES
    graph: Graph = GRAPH


class Gateway:
    """The ASGI application of a worker; its lifespan starts and stops everything that the worker runs.

    Picklable until it is started, so that a supervisor can pass it to a new process.
    """

    def __init__(self, settings: Settings, peers_directory: Path | None = None, parts: Parts | None = None) -> None:
        self.settings = settings
        self._parts = parts
        self._peers_directory = peers_directory
        # The workers of one gateway have it in common, since each is started with a copy of this object.
        self._peers_secret = secrets.token_hex(32)
        self._peers: Peers | None = None
        self._rest: App | None = None
        self._graphql: App | None = None
        self._entry: App | None = None
        self._facade: Facade | None = None
        self._clients: ClientPool | None = None
        self._registry: SchemaRegistry | None = None
        self._grpc: GrpcServer | None = None
        self._grpc_stop: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline: float | None = None
        self._ending = False
        self._orphan_watch: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch to GraphQL by its path, and to REST for all other paths."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._entry is not None:
            await self._entry(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        graphql = self.settings.graphql_path
        if self._graphql is not None and (path == graphql or path.startswith(graphql + "/")):
            await self._graphql(scope, receive, send)
        elif self._rest is not None and scope["type"] == "http":
            await self._rest(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._startup()
        except Exception as error:
            logger.debug("start-up failed", exc_info=True)
            await self._shutdown()
            await send({"type": "lifespan.startup.failed", "message": f"The gateway can't start: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _startup(self) -> None:
        settings = self.settings
        self._loop = asyncio.get_running_loop()
        configure_logging(settings.log_level, settings.secrets())
        parts = self._parts or Parts()
        service = service_identity(settings)
        shared = Shared(
            settings.consumer_prefetch_max_bytes, settings.consumer_instances_max, settings.kafka_clients_max
        )
        self._clients = ClientPool(
            partial(kafka_options, settings),
            shared,
            settings.kafka_clients_max,
            settings.kafka_clients_idle_ms / 1000,
            parts.engine,
        )
        # Held until the end, so that these clients are never closed as idle.
        own = await self._clients.lease(service, _OPEN_SECONDS)
        await own.engine.check()
        await own.engine.prepare()
        self._registry = _registry(settings)
        if self._peers_directory is not None:
            self._peers = _peers(settings, self._peers_directory, self._peers_secret)
        pipeline = Pipeline(
            AccessLists(settings.api_endpoints_allowlist, settings.api_endpoints_blocklist),
            settings.api_request_timeout_ms / 1000,
            kafka=Kafka(self._clients, all_as(service)),
            catalogue=parts.catalogue,
        )
        facade = Facade(
            pipeline=pipeline,
            own=own.ports,
            consumer_defaults=_consumer_defaults(settings),
            batch_max_entries=settings.api_v3_produce_batch_maximum_entries,
            registry=self._registry,
            peers=self._peers,
            more=parts.families,
            kinds=parts.kinds,
        )
        self._facade = facade
        await facade.start()
        if self._peers is not None:
            await self._peers.start(facade)
        self._rest = create_rest_app(facade, _rest_options(settings))
        if settings.graphql_enable:
            self._graphql = create_graphql_app(facade, _graphql_options(settings), parts.graph)
        self._entry = CrossOriginGuard(self._dispatch, _cross_origin_options(settings))
        if settings.grpc_listeners:
            self._grpc = GrpcServer(facade, _rpc_options(settings), parts.services)
            for address in settings.grpc_listeners:
                self._grpc.listen(str(address))
            await self._grpc.start()
        if settings.workers > 1:
            self._orphan_watch = asyncio.create_task(_end_with(_supervisor()), name="supervisor watch")
        # Objects that exist now are permanent, so exclude them from garbage collection.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

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
            timeout = self.settings.shutdown_timeout_ms / 1000
            self._deadline = time.monotonic() + timeout
            end_within(timeout)
        if self._facade is not None:
            self._facade.pipeline.closing.set()
        self._stop_grpc()

    def _stop_grpc(self) -> None:
        if self._grpc is not None and self._grpc_stop is None:
            self._grpc_stop = asyncio.create_task(self._grpc.stop(self._drain_seconds()), name="gRPC shutdown")

    def _drain_seconds(self) -> float:
        left = 0.0 if self._deadline is None else self._deadline - time.monotonic()
        return max(0.0, left - self.settings.shutdown_timeout_ms / 1000 * _CLOSE_SHARE)

    async def _shutdown(self) -> None:
        self._begin_shutdown()
        # A signal during startup may arrive before the gRPC server exists.
        self._stop_grpc()
        if self._orphan_watch is not None:
            self._orphan_watch.cancel()
            await asyncio.gather(self._orphan_watch, return_exceptions=True)
        if self._grpc_stop is not None:
            await self._grpc_stop
        if self._facade is not None:
            pipeline = self._facade.pipeline
            if not await pipeline.drain(self._drain_seconds()):
                logger.warning("shutdown deadline passed with %d requests in flight", pipeline.in_flight)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._close_seconds()):
                    await self._facade.close(self._close_seconds())
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


def _peers(settings: Settings, directory: Path, secret: str) -> Peers:
    transport: Transport
    if settings.peers_listener:
        transport = TcpTransport(settings.peers_listener, secret)
    else:
        transport = UnixTransport(directory / f"worker-{os.getpid()}.sock")
    return Peers(LocalOwnership(directory, settings.workers, transport), transport)


def _supervisor() -> int:
    """The process that started this worker. If it has exited, the current parent is a different process."""
    parent = multiprocessing.parent_process()
    return os.getppid() if parent is None or parent.pid is None else parent.pid


async def _end_with(supervisor: int) -> None:
    """Shut this worker down if its supervisor dies, because nobody else would."""
    while os.getppid() == supervisor:  # noqa: ASYNC110  nothing tells of a parent's end
        await asyncio.sleep(_PARENT_CHECK_SECONDS)
    logger.error("the supervisor is gone; this worker ends")
    os.kill(os.getpid(), signal.SIGTERM)


def _exit_soon() -> None:
    watchdog = threading.Timer(_LINGER_SECONDS, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()


def _registry(settings: Settings) -> SchemaRegistry | None:
    if not settings.schema_registry_url:
        return None
    # Import lazily: it takes half a second, which is wasted without a registry.
    from kafka_facade.schemas.registry import SchemaRegistry

    return SchemaRegistry(",".join(settings.schema_registry_url), settings.schema_registry_properties)


def _consumer_defaults(settings: Settings) -> ConsumerDefaults:
    return ConsumerDefaults(
        request_timeout_ms=settings.consumer_request_timeout_ms,
        request_max_bytes=settings.consumer_request_max_bytes,
        instance_timeout_ms=settings.consumer_instance_timeout_ms,
        fetch_min_bytes=settings.fetch_min_bytes,
        auto_offset_reset=settings.consumer_auto_offset_reset,
        auto_commit=settings.consumer_enable_auto_commit,
        max_instances=settings.consumer_instances_max,
    )


def _rest_options(settings: Settings) -> RestOptions:
    return RestOptions(
        v2_enabled=settings.api_v2_enable,
        v3_enabled=settings.api_v3_enable,
        max_body_bytes=settings.max_request_body_size,
        resource_name_authority=settings.confluent_resource_name_authority,
        compression=settings.compression_enable,
        record_seconds=settings.request_body_timeout_ms / 1000,
        stream_max_seconds=settings.streaming_connection_max_duration_ms / 1000,
        advertised_listeners=settings.advertised_listeners,
        host_name=settings.host_name,
        forwarded=settings.network_forwarded_request_customizer_enable,
    )


def _own_hosts(settings: Settings) -> list[str]:
    advertised = [urlsplit(url).hostname or "" for url in settings.advertised_listeners]
    return [*settings.access_control_own_hosts, *filter(None, (*advertised, settings.host_name))]


def _cross_origin_options(settings: Settings) -> CrossOriginOptions:
    return CrossOriginOptions(
        allow_origins=settings.access_control_allow_origin,
        allow_methods=settings.access_control_allow_methods,
        allow_headers=settings.access_control_allow_headers,
        expose_headers=settings.access_control_expose_headers,
        own_origins=settings.advertised_listeners,
        own_hosts=_own_hosts(settings),
        forwarded=settings.network_forwarded_request_customizer_enable,
        closed_path=settings.graphql_path if settings.graphql_enable else "",
    )


def _graphql_options(settings: Settings) -> GraphQLOptions:
    return GraphQLOptions(
        path=settings.graphql_path,
        graphiql=settings.graphql_graphiql_enable,
        introspection=settings.graphql_introspection_enable,
        max_depth=settings.graphql_max_depth,
        max_aliases=settings.graphql_max_aliases,
        max_tokens=settings.graphql_max_tokens,
        max_objects=settings.graphql_max_objects,
        max_cost=settings.graphql_max_cost,
        max_document_bytes=settings.graphql_max_document_size,
        max_body_bytes=min(settings.graphql_max_request_size, settings.max_request_body_size),
    )


def _rpc_options(settings: Settings) -> RpcOptions:
    return RpcOptions(
        max_message_bytes=settings.max_request_body_size,
        max_response_bytes=settings.grpc_max_response_bytes,
        write_seconds=settings.response_write_timeout_ms / 1000,
        reuse_port=settings.workers > 1,
    )
