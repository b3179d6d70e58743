"""The settings of the gateway. The docstrings of the fields are the reference in docs/settings.md.

Settings have the names of ``kafka-rest.properties``. Sources in order of precedence: ``-p key=value``, ``KAFKA_REST_*``
environment variables (spelled as for the official container image), and the file. Other keys that begin with
``client.``, ``producer.``, ``consumer.`` or ``admin.`` are passed to the Kafka clients.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import javaproperties

from kafka_facade.client_settings.java_names import overridden
from kafka_facade.client_settings.problem import BadSettings
from kafka_facade.client_settings.registry import without_credentials
from kafka_facade.core.instances.settings import RESETS
from kafka_facade.core.secrets import SecretProperties, secrets_of, shown
from kafka_facade.peers.loopback import loopback
from kafka_facade.runtime.registry_settings import registry_name, registry_properties, take
from kafka_facade.runtime.security_settings import refusal

ENVIRONMENT_PREFIX = "KAFKA_REST_"
_CLIENT_PREFIXES = ("client.", "producer.", "consumer.", "admin.")
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
"""The security protocols of Kafka."""
ROLES = ("producer", "consumer", "admin")
"""The Kafka clients that have settings of their own."""
# Defaults for consumer instances. They may be set under client.*, but are not passed to the Kafka clients.
_OF_INSTANCES = ("auto.offset.reset", "enable.auto.commit")
_URL_ALIAS = "client.schema.registry.url"
# Environment variables of the container image that are not settings of the proxy.
_NO_SETTINGS = ("log4j.", "opts", "jmx.", "heap.")


class SettingsError(Exception):
    """A setting has a bad value. The message has the key, the value unless it is secret, and the expected values."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _setting(key: str, default: str, parse: Callable[[str], Any]) -> Any:
    """Return a field for a setting; the default is written as in a properties file."""
    return field(default_factory=lambda: parse(default), metadata={"key": key, "parse": parse, "default": default})


def _integer(lowest: int, highest: int = 2**31 - 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return value

    return parse


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return text

    return parse


def _path(text: str) -> str:
    if not text.startswith("/") or text == "/" or text.endswith("/"):
        raise ValueError("a path such as /graphql")
    return text


def _bootstrap(text: str) -> str:
    servers = _words(text)
    if not servers or not all(map(_is_server, servers)):
        raise ValueError("comma-separated host:port entries")
    return ",".join(servers)


def _is_server(text: str) -> bool:
    # As in Java, a protocol may come first; it is checked against the client's security.protocol later.
    protocol, _, rest = text.rpartition("://")
    known = not protocol or protocol.upper() in PROTOCOLS
    return known and "@" not in rest and "/" not in rest and 0 < _port_of(rest) < 65536


def _port_of(server: str) -> int:
    port = server.rpartition(":")[2]
    return int(port) if port.isdigit() else 0


def _http_listeners(text: str) -> list[Address]:
    return [_listener(entry, "http") for entry in _words(text)]


def _urls(text: str) -> list[str]:
    entries = _words(text)
    for entry in entries:
        if not _is_url(entry):
            raise ValueError("comma-separated URLs with http:// or https:// and a host")
    return entries


def _public_urls(text: str) -> list[str]:
    entries = _urls(text)
    if any("@" in urlsplit(entry).netloc for entry in entries):
        raise ValueError("URLs without user and password, since they appear in responses")
    return entries


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _grpc_listeners(text: str) -> list[Address]:
    return [_listener(entry if "://" in entry else f"grpc://{entry}", "grpc") for entry in _words(text)]


def _peers_listener(text: str) -> str:
    if text == "unix":
        return ""
    parts = urlsplit(text)
    if parts.scheme != "tcp" or parts.netloc not in (parts.hostname, f"[{parts.hostname}]") or parts.path:
        raise ValueError("unix, or tcp:// and an address without a port")
    return loopback(parts.hostname or "")


def _listener(entry: str, scheme: str) -> Address:
    expected = f"comma-separated {scheme}://host:port entries"
    try:
        parts = urlsplit(entry)
        port = parts.port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme != scheme or port is None or parts.path not in ("", "/") or "@" in parts.netloc:
        raise ValueError(expected)
    return Address(parts.hostname or "0.0.0.0", port)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, validated. Times are in milliseconds, sizes in bytes."""

    bootstrap_servers: str = _setting("bootstrap.servers", "localhost:9092", _bootstrap)
    """Initial Kafka brokers: comma-separated ``host:port`` entries."""

    listeners: list[Address] = _setting("listeners", "http://0.0.0.0:8082", _http_listeners)
    """Addresses for REST and GraphQL, e.g. ``http://0.0.0.0:8082``, comma-separated."""

    grpc_listeners: list[Address] = _setting("grpc.listeners", "grpc://0.0.0.0:50051", _grpc_listeners)
    """Addresses for gRPC, e.g. ``0.0.0.0:50051``, comma-separated; empty disables gRPC."""

    workers: int = _setting("workers", "1", _integer(1, 256))
    """Number of worker processes that share the ports. Each of them serves calls for all consumer instances."""

    peers_listener: str = _setting("peers.listener", "unix", _peers_listener)
    """How workers connect to each other: ``unix`` for Unix sockets in a temporary directory, or ``tcp://127.0.0.1`` for
    free ports on a loopback address. Other addresses are rejected, because these connections are not encrypted."""

    schema_registry_url: list[str] = _setting("schema.registry.url", "", _urls)
    """URL of the Schema Registry, or comma-separated URLs of one registry; needed for Avro, JSON Schema and
    Protobuf."""

    advertised_listeners: list[str] = _setting("advertised.listeners", "", _public_urls)
    """Base URLs of links, e.g. ``https://proxy-1.example.org``, comma-separated. Links use the first URL with the
    request's scheme, or else the first one."""

    host_name: str = _setting("host.name", "", str)
    """Host name in links if ``advertised.listeners`` is empty; default: the host of the request."""

    network_forwarded_request_customizer_enable: bool = _setting(
        "network.forwarded.request.customizer.enable", "false", _boolean
    )
    """Take scheme, host and port of links from ``Forwarded`` or ``X-Forwarded-Proto``, ``-Host`` and ``-Port``."""

    access_control_allow_origin: list[str] = _setting("access.control.allow.origin", "", _words)
    """Comma-separated origins whose pages may call REST, GraphQL and its websocket from a browser, e.g.
    ``https://console.example.org,http://*.example.org``; ``*`` allows all. If empty, pages of other origins can neither
    read nor change anything."""

    access_control_allow_methods: list[str] = _setting("access.control.allow.methods", "", _words)
    """Methods that pages of these origins may use in addition to simple requests; empty means ``GET,POST,HEAD``."""

    access_control_allow_headers: list[str] = _setting("access.control.allow.headers", "", _words)
    """Request header fields that pages of these origins may set; ``*`` allows any, empty means
    ``X-Requested-With,Content-Type,Accept,Origin``."""

    access_control_expose_headers: list[str] = _setting("access.control.expose.headers", "", _words)
    """Response header fields that pages of these origins may read in addition to the CORS-safelisted ones."""

    access_control_own_hosts: list[str] = _setting("access.control.own.hosts", "", _words)
    """Host names under which browsers reach the gateway over plain HTTP, e.g. ``gateway,*.example.org``. The names in
    ``advertised.listeners`` and ``host.name``, ``localhost`` and IP addresses are always accepted. Pages under other
    names cannot change anything."""

    access_control_skip_options: bool = _setting("access.control.skip.options", "true", _boolean)
    """Let ``OPTIONS`` requests bypass authentication; no effect yet."""

    api_request_timeout_ms: int = _setting("api.request.timeout.ms", "30000", _integer(100))
    """Default deadline of a call; a produced record has been delivered or has finally failed by then. A gRPC deadline
    can only shorten it. It does not apply to streams or to reads of consumer instances
    (``consumer.request.timeout.ms``)."""

    shutdown_timeout_ms: int = _setting("shutdown.timeout.ms", "30000", _integer(1000))
    """Maximum time after SIGTERM or SIGINT to finish requests in progress; then the process is stopped.

    The REST port refuses connections within half a second, and requests queued by then are still answered. If native
    code spins without releasing the interpreter lock, the process cannot handle signals. It then exits by itself with
    status 27, and the stack of each thread on standard error, after using this much processor time (at least half a
    second for each processor). If native code blocks forever while it holds the lock, SIGTERM ends the process only
    with two or more ``workers``; a single one needs SIGKILL.
    """

    api_v2_enable: bool = _setting("api.v2.enable", "true", _boolean)
    """Serve the v2 REST API."""

    api_v3_enable: bool = _setting("api.v3.enable", "true", _boolean)
    """Serve the v3 REST API."""

    api_endpoints_allowlist: list[str] = _setting("api.endpoints.allowlist", "", _words)
    """Comma-separated operations to serve, by the names that ``kafka-facade operations`` prints, or groups such as
    ``api.v3.topics.*``; empty means all."""

    api_endpoints_blocklist: list[str] = _setting("api.endpoints.blocklist", "", _words)
    """Comma-separated operations, or groups of them, not to serve."""

    max_request_body_size: int = _setting("max.request.body.size", "67108864", _integer(1024))
    """Maximum size of a request body, of one record in a streamed body, and of a gRPC message."""

    grpc_max_response_bytes: int = _setting("grpc.max.response.bytes", "4194304", _integer(16_384))
    """Maximum size of a gRPC response, or of a message in a stream. gRPC clients accept 4 MiB by default. A larger
    record fails the call unless the call's ``max_bytes`` allows its size; then it is sent in a message of its own."""

    api_v3_produce_batch_maximum_entries: int = _setting(
        "api.v3.produce.batch.maximum.entries", "10", _integer(1, 10_000)
    )
    """Maximum number of records in one ``records:batch`` request."""

    streaming_connection_max_duration_ms: int = _setting(
        "streaming.connection.max.duration.ms", "86400000", _integer(1000)
    )
    """Maximum duration of a streamed produce request."""

    streaming_max_in_flight_records: int = _setting("streaming.max.in.flight.records", "10000", _integer(1, 1_000_000))
    """Maximum unanswered records of one streamed produce request; above that the gateway stops reading its body."""

    grpc_stream_window_bytes: int = _setting("grpc.stream.window.bytes", "16777216", _integer(65_536))
    """Maximum unanswered bytes of one ProduceStream; above that the gateway stops reading its messages. A larger
    message is read only while no other bytes are unanswered."""

    idle_timeout_ms: int = _setting("idle.timeout.ms", "30000", _integer(1000))
    """Idle timeout of an HTTP connection, also for an incomplete request head."""

    request_body_timeout_ms: int = _setting("request.body.timeout.ms", "60000", _integer(100))
    """Maximum time from the end of an HTTP request's head to the end of its body. In a stream of records the limit
    applies to each record, and ``streaming.connection.max.duration.ms`` to the whole stream."""

    response_write_timeout_ms: int = _setting("response.write.timeout.ms", "60000", _integer(100))
    """Maximum time that a client may stop reading a response. After that the gateway closes the HTTP or websocket
    connection, or ends the gRPC call."""

    compression_enable: bool = _setting("compression.enable", "true", _boolean)
    """Compress REST responses for clients that accept gzip."""

    confluent_resource_name_authority: str = _setting("confluent.resource.name.authority", "", str)
    """Authority in the ``resource_name`` of v3 resources: ``crn://<authority>/kafka=...``."""

    consumer_request_timeout_ms: int = _setting("consumer.request.timeout.ms", "1000", _integer(0))
    """Default for how long a read of a consumer instance waits for records; an instance can override it."""

    consumer_request_max_bytes: int = _setting("consumer.request.max.bytes", "67108864", _integer(0))
    """Maximum bytes of keys and values in one read of a consumer instance."""

    consumer_instance_timeout_ms: int = _setting("consumer.instance.timeout.ms", "300000", _integer(1000))
    """Idle timeout of a consumer instance."""

    consumer_instances_max: int = _setting("consumer.instances.max", "1000", _integer(1))
    """Maximum consumer instances per worker. One process cannot hold more than about 1,000."""

    consumer_prefetch_max_bytes: int = _setting(
        "consumer.prefetch.max.bytes", "536870912", _integer(1024 * 1024, 2**40)
    )
    """Prefetch buffer, shared by all consumers of a worker."""

    kafka_clients_max: int = _setting("kafka.clients.max", "100", _integer(1, 1000))
    """Maximum number of Kafka identities per worker, including the gateway's own, that have open clients. Clients
    without a call or a consumer instance are closed to make room; if all are in use, calls of other identities fail
    with 429."""

    kafka_clients_idle_ms: int = _setting("kafka.clients.idle.ms", "300000", _integer(100))
    """Idle timeout of the Kafka clients of an identity: they are closed after this time without a call or a consumer
    instance."""

    consumer_auto_offset_reset: str = _setting("consumer.auto.offset.reset", "latest", _one_of(*RESETS))
    """Default start position in a partition without a committed offset: ``earliest``, ``latest`` or ``none``; a
    consumer instance can override it."""

    consumer_enable_auto_commit: bool = _setting("consumer.enable.auto.commit", "true", _boolean)
    """Commit offsets automatically by default; a consumer instance can override it."""

    fetch_min_bytes: int = _setting("fetch.min.bytes", "-1", _integer(-1, 10_000_000))
    """Default minimum bytes that a read of a consumer instance waits for; an instance can override it. With -1 a REST
    read waits until its timeout expires or its maximum is reached, and gRPC and GraphQL return available records at
    once."""

    graphql_enable: bool = _setting("graphql.enable", "true", _boolean)
    """Serve GraphQL."""

    graphql_path: str = _setting("graphql.path", "/graphql", _path)
    """Path of the GraphQL endpoint."""

    graphql_graphiql_enable: bool = _setting("graphql.graphiql.enable", "true", _boolean)
    """Serve GraphiQL to browsers at ``graphql.path``."""

    graphql_introspection_enable: bool = _setting("graphql.introspection.enable", "true", _boolean)
    """Allow introspection queries."""

    graphql_max_depth: int = _setting("graphql.max.depth", "15", _integer(1))
    """Maximum depth of a query."""

    graphql_max_aliases: int = _setting("graphql.max.aliases", "30", _integer(0))
    """Maximum number of aliases in a query."""

    graphql_max_tokens: int = _setting("graphql.max.tokens", "2000", _integer(1))
    """Maximum number of tokens in a query."""

    graphql_max_document_size: int = _setting("graphql.max.document.size", "65536", _integer(1024))
    """Maximum size of a GraphQL document, in bytes."""

    graphql_max_request_size: int = _setting("graphql.max.request.size", "4194304", _integer(1024))
    """Maximum size of a GraphQL request: the document and its variables, over HTTP or in a websocket message."""

    graphql_max_cost: int = _setting("graphql.max.cost", "50000", _integer(1))
    """Maximum cost of an operation: about the number of fields in its response plus entries in its variables."""

    graphql_max_objects: int = _setting("graphql.max.objects", "20000", _integer(1))
    """Maximum number of objects in a response; the sizes of nested lists multiply."""

    log_level: str = _setting("log.level", "info", _one_of("debug", "info", "warning", "error"))
    """Level of the log on standard error."""

    client_properties: SecretProperties = field(default_factory=SecretProperties)
    """Settings of all three Kafka clients, by their Java or librdkafka names."""

    producer_properties: SecretProperties = field(default_factory=SecretProperties)
    """Settings of the Kafka producer; they include those of ``client.*`` and override them."""

    consumer_properties: SecretProperties = field(default_factory=SecretProperties)
    """Settings of Kafka consumers; they include those of ``client.*`` and override them."""

    admin_properties: SecretProperties = field(default_factory=SecretProperties)
    """Settings of the Kafka admin client; they include those of ``client.*`` and override them."""

    schema_registry_properties: SecretProperties = field(default_factory=SecretProperties)
    """Settings of the Schema Registry client, such as ``schema.registry.basic.auth.user.info``; they include the
    credentials of the URL, and those shared with Kafka."""

    @classmethod
    def keys(cls) -> dict[str, dataclasses.Field[Any]]:
        """Return the fields for single settings, by key."""
        return {entry.metadata["key"]: entry for entry in dataclasses.fields(cls) if entry.metadata}

    def secrets(self) -> set[str]:
        """Return the secret values, for redaction in texts."""
        groups = (
            self.producer_properties,
            self.consumer_properties,
            self.admin_properties,
            self.schema_registry_properties,
        )
        return set().union(*map(secrets_of, groups))


def load(
    file: Path | None, overrides: Iterable[str], environment: Mapping[str, str] = os.environ
) -> tuple[Settings, list[str]]:
    """Return the settings, and a warning for each key without effect.

    Raises SettingsError for the first bad value, and for an unsupported security setting.
    """
    properties = _with_one_url(_from_file(file) | _from_environment(environment) | _from_options(overrides))
    known = Settings.keys()
    values: dict[str, Any] = {}
    clients: dict[str, dict[str, str]] = {prefix: {} for prefix in _CLIENT_PREFIXES}
    registry: dict[str, str] = {}
    warnings = []
    for key, given in properties.items():
        text = given.strip()
        name = registry_name(key)
        if key in known:
            values[known[key].name] = _parse(key, text, known[key].metadata["parse"])
        elif name is not None:
            with _naming():
                if not take(registry, key, name, text):
                    warnings.append(_no_effect(key))
        elif key.startswith(_CLIENT_PREFIXES):
            prefix, _, name = key.partition(".")
            clients[prefix + "."][name] = text
        elif (reason := refusal(key, text)) is not None:
            raise SettingsError(reason)
        else:
            warnings.append(_no_effect(key))
    for name in _OF_INSTANCES:
        entry = known[f"consumer.{name}"]
        if name in clients["client."]:
            value = _parse(f"client.{name}", clients["client."].pop(name), entry.metadata["parse"])
            values.setdefault(entry.name, value)
    values["client_properties"] = SecretProperties(clients["client."])
    for role in ROLES:
        values[f"{role}_properties"] = SecretProperties(overridden(clients["client."], clients[f"{role}."]))
    urls = values.get("schema_registry_url", [])
    with _naming():
        values["schema_registry_properties"] = registry_properties(urls, registry, clients["client."])
    if urls:
        values["schema_registry_url"] = without_credentials(urls)[0]
    return Settings(**values), warnings


def _with_one_url(properties: dict[str, str]) -> dict[str, str]:
    """Return the properties with the URL of the Schema Registry under one of its two names."""
    url = properties.pop(_URL_ALIAS, None)
    if url is not None and properties.setdefault("schema.registry.url", url) != url:
        raise SettingsError(f"{_URL_ALIAS}: schema.registry.url is the same setting and has a different value")
    return properties


@contextlib.contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except BadSettings as error:
        raise SettingsError(str(error)) from None


def _no_effect(key: str) -> str:
    return f"the setting {key} isn't known here and has no effect"


def _parse(key: str, text: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{key} is {shown(key, text)}; expected {error}") from None


def _from_file(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        with file.open("rb") as stream:
            text = stream.read()
        if b"\0" in text:
            # Probably UTF-16; each name in it would be unknown.
            raise SettingsError(f"{file} isn't a properties file: it holds null bytes; save it as ISO 8859-1 or ASCII")
        return dict(javaproperties.loads(text))
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}") from None
    except (ValueError, javaproperties.InvalidUEscapeError) as error:
        raise SettingsError(f"{file} isn't a properties file: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, value in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            # As in the container image: ___ means a dash, __ an underscore, _ a dot.
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
            key = key.replace("___", "-").replace("__", "\0").replace("_", ".").replace("\0", "_")
            if not key.startswith(_NO_SETTINGS):
                found[key] = value
    return found


def _from_options(overrides: Iterable[str]) -> dict[str, str]:
    found = {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key.strip():
            raise SettingsError(f"-p {shown(key, override)}; expected key=value")
        found[key.strip()] = value
    return found
