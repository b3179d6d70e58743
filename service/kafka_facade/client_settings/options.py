"""Options of the clients of Kafka and of the Schema Registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kafka_facade.core.secrets import SecretProperties, secrets_of
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import urls, words

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
"""The security protocols of Kafka."""
ROLES = ("producer", "consumer", "admin")
"""The Kafka clients that have settings of their own."""


def _bootstrap(text: str) -> str:
    servers = words(text)
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


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Kafka cluster."""

    bootstrap_servers: str = setting("bootstrap.servers", "localhost:9092", _bootstrap)
    """Initial Kafka brokers: comma-separated ``host:port`` entries."""

    client: SecretProperties = field(default_factory=SecretProperties)
    """Settings of all three Kafka clients, by their Java or librdkafka names."""

    producer: SecretProperties = field(default_factory=SecretProperties)
    """Settings of the Kafka producer; they include those of ``client.*`` and override them."""

    consumer: SecretProperties = field(default_factory=SecretProperties)
    """Settings of Kafka consumers; they include those of ``client.*`` and override them."""

    admin: SecretProperties = field(default_factory=SecretProperties)
    """Settings of the Kafka admin client; they include those of ``client.*`` and override them."""

    def of(self, role: str) -> SecretProperties:
        """Return the settings of a client."""
        properties: SecretProperties = getattr(self, role)
        return properties

    def roles(self) -> Iterator[tuple[str, SecretProperties]]:
        """Yield the name and the settings of each client."""
        return ((role, self.of(role)) for role in ROLES)

    def key(self, role: str, name: str) -> str:
        """Return the key under which a client's setting was given."""
        return f"{'client' if self.client.get(name) == self.of(role).get(name) else role}.{name}"

    def secrets(self) -> set[str]:
        """Return the secret values, for redaction in texts."""
        return set().union(*(secrets_of(properties) for _, properties in self.roles()))


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """Schema Registry."""

    urls: Sequence[str] = setting("schema.registry.url", "", urls)
    """URL of the Schema Registry, or comma-separated URLs of one registry; needed for Avro, JSON Schema and
    Protobuf."""

    properties: SecretProperties = field(default_factory=SecretProperties)
    """Settings of the Schema Registry client, such as ``schema.registry.basic.auth.user.info``; they include the
    credentials of the URL, and those shared with Kafka."""

    @property
    def url(self) -> str:
        """The URLs as one comma-separated text; empty without a registry."""
        return ",".join(self.urls)
