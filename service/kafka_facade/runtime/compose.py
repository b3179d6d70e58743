"""Composition: what a worker consists of, made from its settings.

Nothing else knows which classes implement the ports, and which settings configure what.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from google.protobuf.descriptor import ServiceDescriptor

from kafka_facade.core.catalogue import CATALOGUE, Catalogue
from kafka_facade.core.facade import Facade
from kafka_facade.core.instances.port import PeerPort
from kafka_facade.core.instances.settings import ConsumerDefaults
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.core.links import KINDS, Kind
from kafka_facade.core.pipeline import AccessLists, Kafka, Pipeline
from kafka_facade.kafka.engine import Engine
from kafka_facade.kafka.pool import ClientPool, Clients
from kafka_facade.kafka.shared import Shared
from kafka_facade.peers.local import LocalOwnership
from kafka_facade.peers.peers import Peers
from kafka_facade.peers.transport import TcpTransport, Transport, UnixTransport
from kafka_facade.rest.app import create_app as create_rest_app
from kafka_facade.rest.options import RestOptions
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.server import GrpcServer
from kafka_facade.rpc.services import SERVICES
from kafka_facade.runtime.app import App, HttpFaces
from kafka_facade.runtime.kafka_identities import all_as, kafka_options
from kafka_facade.runtime.settings import Settings
from kafka_facade.web.cross_origin import CrossOriginGuard, CrossOriginOptions
from kafka_facade_graphql.app import create_app as create_graphql_app
from kafka_facade_graphql.options import GraphQLOptions
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


def kafka_clients(settings: Settings, parts: Parts) -> ClientPool:
    """Return the pool of Kafka clients."""
    shared = Shared(settings.consumer_prefetch_max_bytes, settings.consumer_instances_max, settings.kafka_clients_max)
    return ClientPool(
        partial(kafka_options, settings),
        shared,
        settings.kafka_clients_max,
        settings.kafka_clients_idle_ms / 1000,
        parts.engine,
    )


def schema_registry(settings: Settings) -> SchemaRegistry | None:
    """Return the Schema Registry, if one is configured."""
    if not settings.schema_registry_url:
        return None
    # Import lazily: it takes half a second, which is wasted without a registry.
    from kafka_facade.schemas.registry import SchemaRegistry

    return SchemaRegistry(",".join(settings.schema_registry_url), settings.schema_registry_properties)


def peers(settings: Settings, directory: Path, secret: str) -> Peers:
    """Return the other workers of this node; ``secret`` is known to them alone."""
    transport: Transport
    if settings.peers_listener:
        transport = TcpTransport(settings.peers_listener, secret)
    else:
        transport = UnixTransport(directory / f"worker-{os.getpid()}.sock")
    return Peers(LocalOwnership(directory, settings.workers, transport), transport)


def core(
    settings: Settings,
    parts: Parts,
    clients: ClientPool,
    own: Clients,
    service: KafkaIdentity,
    registry: SchemaRegistry | None,
    peers: PeerPort | None,
) -> Facade:
    """Return the core. ``own`` are the clients of the gateway's own identity, ``service``."""
    pipeline = Pipeline(
        AccessLists(settings.api_endpoints_allowlist, settings.api_endpoints_blocklist),
        settings.api_request_timeout_ms / 1000,
        kafka=Kafka(clients, all_as(service)),
        catalogue=parts.catalogue,
    )
    return Facade(
        pipeline=pipeline,
        own=own.ports,
        consumer_defaults=_consumer_defaults(settings),
        batch_max_entries=settings.api_v3_produce_batch_maximum_entries,
        registry=registry,
        peers=peers,
        more=parts.families,
        kinds=parts.kinds,
    )


def http_app(settings: Settings, parts: Parts, facade: Facade) -> App:
    """Return the ASGI application of REST and GraphQL."""
    graphql = create_graphql_app(facade, _graphql_options(settings), parts.graph) if settings.graphql_enable else None
    faces = HttpFaces(create_rest_app(facade, _rest_options(settings)), graphql, settings.graphql_path)
    return CrossOriginGuard(faces, _cross_origin_options(settings))


def grpc_server(settings: Settings, parts: Parts, facade: Facade) -> GrpcServer | None:
    """Return the gRPC server with its ports open, if it has any. Raises OSError if a port is taken."""
    if not settings.grpc_listeners:
        return None
    server = GrpcServer(facade, _rpc_options(settings), parts.services)
    for address in settings.grpc_listeners:
        server.listen(str(address))
    return server


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
        stream_max_in_flight=settings.streaming_max_in_flight_records,
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
        stream_window_bytes=settings.grpc_stream_window_bytes,
        reuse_port=settings.workers > 1,
    )
