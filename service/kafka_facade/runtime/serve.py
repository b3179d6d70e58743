"""Run the gateway: one process, or several under a supervisor."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import resource
import socket
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from kafka_facade.client_settings.options import ClusterOptions
from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.client_settings.registry import client_config as registry_config
from kafka_facade.client_settings.registry import inherits
from kafka_facade.core.catalogue import OPERATIONS
from kafka_facade.core.pipeline import IDENTIFIERS
from kafka_facade.core.secrets import SecretProperties, shown
from kafka_facade.core.temporary import NoTemporaryDirectory
from kafka_facade.kafka.settings.check import unknown_settings
from kafka_facade.kafka.settings.roles import delivery
from kafka_facade.runtime.app import Gateway
from kafka_facade.runtime.log import configure_logging
from kafka_facade.runtime.memory import LEAST_OF_WORKER
from kafka_facade.runtime.security_settings import resemblance, resembled
from kafka_facade.runtime.server import BACKLOG, run
from kafka_facade.runtime.settings import Settings
from kafka_facade.runtime.shared_directory import remove_leftovers, shared_directory
from kafka_facade.runtime.sources import SettingsError
from kafka_facade.runtime.supervisor import Supervisor
from kafka_facade.runtime.worker import HTTP_SHARE, Worker
from kafka_facade.settings.parsers import Address
from kafka_facade.web.protocol import HttpProtocolFactory
from kafka_facade.web.websocket import WebSocketProtocol

logger = logging.getLogger("kafka_facade.runtime")

# Generous, because startup on a busy machine may be slow.
_HEALTH_SECONDS = 30
_REST_PATHS = frozenset(operation.path.split("/")[1] for operation in OPERATIONS) | {"kafka"}


class ListenError(Exception):
    """An address cannot be bound; the message says which, why, and how to fix it."""


def serve(settings: Settings, warnings: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status. Raises SettingsError or ListenError before starting."""
    configure_logging(settings.process.log_level, settings.secrets())
    _allow_many_files()
    _check(settings)
    _check_protocols(settings.cluster)
    settings, more = _without_unknown(settings)
    for warning in warnings + more:
        logger.warning("%s", warning)
    sockets = [_bind(address, "listeners") for address in settings.http.listeners]
    for address in settings.grpc.listeners:
        # gRPC binds in each worker with SO_REUSEPORT, so a port that is in use would go unnoticed there.
        _bind(address, "grpc.listeners").close()
    remove_leftovers()
    if settings.peers.workers == 1:
        return _run(settings, sockets, None)
    try:
        with shared_directory() as directory:
            return _run(settings, sockets, directory)
    except NoTemporaryDirectory as error:
        raise SettingsError(f"workers is {settings.peers.workers}; more than 1 needs {error}") from None


def _run(settings: Settings, sockets: list[socket.socket], peers_directory: Path | None) -> int:
    worker = Worker(settings, peers_directory)
    protocol: Any = HttpProtocolFactory(settings.http, worker.overload.arrivals)
    config = uvicorn.Config(
        Gateway(worker),
        loop="uvloop",
        http=protocol,
        ws=WebSocketProtocol,
        interface="asgi3",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        workers=settings.peers.workers,
        backlog=BACKLOG,
        ws_max_size=settings.graphql.max_body_bytes,
        # Disabled, because a few bytes could expand to megabytes, many times in one read.
        ws_per_message_deflate=False,
        timeout_worker_healthcheck=_HEALTH_SECONDS,
        timeout_keep_alive=math.ceil(settings.http.idle_seconds),
        timeout_graceful_shutdown=max(1, math.floor(settings.process.shutdown_seconds * HTTP_SHARE)),
    )
    for address in settings.http.listeners:
        logger.info("REST%s on http://%s", " and GraphQL" if settings.graphql.enabled else "", address)
    for address in settings.grpc.listeners:
        logger.info("gRPC on %s", address)
    if settings.peers.workers > 1:
        supervisor = Supervisor(config, sockets, settings.process.shutdown_seconds)
        supervisor.run()
        return supervisor.status
    return run(config, worker, sockets)


def _check(settings: Settings) -> None:
    """Check settings that can only be validated together."""
    if not settings.http.listeners and not settings.grpc.listeners:
        raise SettingsError("listeners and grpc.listeners are both empty; expected at least one of them")
    if settings.graphql.enabled and settings.graphql.path.split("/")[1] in _REST_PATHS:
        raise SettingsError(f"graphql.path is {settings.graphql.path!r}; expected a path that isn't REST's")
    least = LEAST_OF_WORKER * settings.process.workers
    if 0 < settings.process.memory_limit < least:
        expected = f"0 or at least {LEAST_OF_WORKER} for each of {settings.process.workers} workers, which is {least}"
        raise SettingsError(f"memory.max.bytes is {settings.process.memory_limit}; expected {expected}")
    for key, names in (
        ("api.endpoints.allowlist", settings.core.allowed),
        ("api.endpoints.blocklist", settings.core.blocked),
    ):
        for name in names:
            # An unknown name would leave an operation open that was meant to be blocked.
            if name not in IDENTIFIERS:
                raise SettingsError(f"{key} has {name!r}; expected identifiers as kafka-facade operations prints them")


def _check_protocols(cluster: ClusterOptions) -> None:
    """Check the protocols of bootstrap servers: clients silently ignore those with another protocol."""
    given = {server.partition("://")[0].upper() for server in cluster.bootstrap_servers.split(",") if "://" in server}
    for role, properties in cluster.roles():
        protocol = properties.get("security.protocol", "PLAINTEXT").upper()
        if given - {protocol}:
            key = cluster.key(role, "security.protocol")
            where = shown("bootstrap.servers", cluster.bootstrap_servers)
            raise SettingsError(f"bootstrap.servers is {where}; expected the protocol of {key}, which is {protocol}")


def _allow_many_files() -> None:
    """Raise the soft limit of open files (1,024 by default): a consumer instance needs about ten."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bind(address: Address, key: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
    except OSError as error:
        listener.close()
        reason = "the port is taken" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        raise ListenError(f"can't listen on {address}: {reason}; set {key} to another address") from None
    listener.set_inheritable(True)
    return listener


def _without_unknown(settings: Settings) -> tuple[Settings, list[str]]:
    """Drop settings that the Kafka clients do not know, with a warning for each. Raises SettingsError for bad ones."""
    cluster, registry = settings.cluster, settings.registry
    unknown: dict[str, None] = {}
    changes: dict[str, Any] = {}
    sasl_shared = inherits(registry.properties)
    fixed = {"producer": delivery(settings.core.request_seconds)}
    for role, properties in cluster.roles():
        try:
            left_out = unknown_settings(role, properties, sasl_shared=sasl_shared, fixed=fixed.get(role, {}))
        except BadSettings as error:
            raise SettingsError(f"{_shown(cluster, role, error.names)}: {error.reason}") from None
        for key in (cluster.key(role, entry) for entry in left_out):
            if (limit := resembled(key)) is not None:
                raise SettingsError(resemblance(key, limit))
            unknown[key] = None
        changes[role] = SecretProperties({key: value for key, value in properties.items() if key not in left_out})
    if registry.url:
        try:
            registry_config(registry.url, registry.properties)
        except BadSettings as error:
            keys = ", ".join(f"schema.registry.{name}" for name in error.names)
            raise SettingsError(f"{keys}: {error.reason}") from None
    warnings = [f"the Kafka client setting {key} isn't known and has no effect" for key in unknown]
    return replace(settings, cluster=replace(cluster, **changes)), warnings


def _shown(cluster: ClusterOptions, role: str, names: Iterable[str]) -> str:
    """Format settings of a client as given, with values that are not secret."""
    properties = cluster.of(role)
    keys = ((name, cluster.key(role, name)) for name in names)
    return ", ".join(f"{key} is {shown(name, properties[name])}" if properties.get(name) else key for name, key in keys)
