"""Composition: what a worker consists of, made from its settings.

Nothing else knows which classes implement the ports, and which settings configure what.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import ServiceDescriptor

from kafka_facade.client_settings.options import RegistryOptions
from kafka_facade.core.catalogue import CATALOGUE, Catalogue
from kafka_facade.core.core import Core
from kafka_facade.core.instances.port import PeerPort
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.links import KINDS, Kind
from kafka_facade.core.overload import Overload
from kafka_facade.core.pipeline import AccessLists, Kafka, Pipeline
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.pool import ClientPool, Lease
from kafka_facade.kafka.shared import PREFETCH_BYTES, QUEUED_BYTES, Shared
from kafka_facade.peers.certificate import Certificate, new_certificate
from kafka_facade.peers.local import LocalOwnership
from kafka_facade.peers.options import PeersOptions
from kafka_facade.peers.peers import Peers
from kafka_facade.peers.transport import TcpTransport, Transport, UnixTransport
from kafka_facade.rest.app import create_app as create_rest_app
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.server import GrpcServer
from kafka_facade.rpc.services import SERVICES
from kafka_facade.runtime import memory
from kafka_facade.runtime.app import App, HttpFaces
from kafka_facade.runtime.kafka_identities import all_as, kafka_options
from kafka_facade.runtime.settings import Settings
from kafka_facade.web.cross_origin import CrossOriginGuard
from kafka_facade_graphql.app import create_app as create_graphql_app
from kafka_facade_graphql.schema import GRAPH, Graph

if TYPE_CHECKING:
    from kafka_facade.schemas.registry import SchemaRegistry


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


def kafka_clients(settings: Settings, parts: Parts, memory_limit: int) -> ClientPool:
    """Return the pool of Kafka clients, in a worker that may use ``memory_limit`` bytes (0 if that is unknown)."""
    options = settings.pool
    prefetched = memory.budget(options.prefetch_bytes, memory_limit, PREFETCH_BYTES)
    queued = memory.budget(0, memory_limit, QUEUED_BYTES)
    shared = Shared(replace(options, prefetch_bytes=prefetched), queued)
    return ClientPool(
        partial(kafka_options, settings), shared, options.max_identities, options.idle_seconds, parts.engine
    )


def schema_registry(options: RegistryOptions) -> SchemaRegistry | None:
    """Return the Schema Registry, if one is configured."""
    if not options.url:
        return None
    # Import lazily: it takes half a second, which is wasted without a registry.
    from kafka_facade.schemas.registry import SchemaRegistry

    return SchemaRegistry(options.url, options.properties)


def peers_certificate(options: PeersOptions) -> Certificate | None:
    """Return a new certificate for all workers; None if they use Unix sockets."""
    return new_certificate() if options.listener else None


def peers(options: PeersOptions, directory: Path, certificate: Certificate | None) -> Peers:
    """Return the other workers of this node; only they have the key of ``certificate``, and access to ``directory``."""
    transport: Transport
    if certificate is not None:
        transport = TcpTransport(options.listener, certificate)
    else:
        transport = UnixTransport(directory / f"worker-{os.getpid()}.sock")
    return Peers(LocalOwnership(directory, options.workers, transport), transport)


def core(
    settings: Settings,
    parts: Parts,
    clients: ClientPool,
    own: Lease,
    service: KafkaIdentity,
    registry: SchemaRegistry | None,
    peers: PeerPort | None,
    overload: Overload,
) -> Core:
    """Return the core. ``own`` are the clients of the gateway's own identity, ``service``."""
    options = settings.core
    pipeline = Pipeline(
        AccessLists(options.allowed, options.blocked),
        options.request_seconds,
        kafka=Kafka(clients, all_as(service)),
        catalogue=parts.catalogue,
        overload=overload,
    )
    return Core(
        pipeline=pipeline,
        own=own.ports,
        consumer_defaults=settings.consumers,
        batch_max_entries=options.batch_max_entries,
        state_topic=settings.state.topic,
        balancer=settings.balancer,
        registry=registry,
        peers=peers,
        more=parts.families,
        kinds=parts.kinds,
    )


def http_app(settings: Settings, parts: Parts, core: Core) -> App:
    """Return the ASGI application of REST and GraphQL."""
    # An HTTP body obeys both limits.
    limit = min(settings.graphql.max_body_bytes, settings.rest.max_body_bytes)
    options = replace(settings.graphql, max_body_bytes=limit)
    graphql = create_graphql_app(core, options, parts.graph) if options.enabled else None
    faces = HttpFaces(create_rest_app(core, settings.rest), graphql, options.path)
    closed_path = options.path if options.enabled else ""
    return CrossOriginGuard(faces, replace(settings.cross_origin, closed_path=closed_path))


def grpc_server(options: RpcOptions, parts: Parts, core: Core) -> GrpcServer | None:
    """Return the gRPC server with its ports open, if it has any. Raises OSError if a port is taken."""
    if not options.listeners:
        return None
    server = GrpcServer(core, options, parts.services)
    for address in options.listeners:
        server.listen(str(address))
    return server
