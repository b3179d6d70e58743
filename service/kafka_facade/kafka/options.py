"""Options of the Kafka clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kafka_facade.settings import shared
from kafka_facade.settings.declaration import setting
from kafka_facade.settings.parsers import integer, seconds, size


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Kafka clients of a worker."""

    max_identities: int = setting("kafka.clients.max", "100", integer(1, 1000))
    """Maximum number of Kafka identities per worker, including the gateway's own, that have open clients. Clients
    without a call or a consumer instance are closed to make room; if all are in use, calls of other identities fail
    with 429."""

    idle_seconds: float = setting("kafka.clients.idle.ms", "300000", seconds(100))
    """Idle timeout of the Kafka clients of an identity: they are closed after this time without a call or a consumer
    instance."""

    prefetch_bytes: int = setting("consumer.prefetch.max.bytes", "0", size(0))
    """Prefetch buffer, shared by all consumers of a worker. 0 means a quarter of the worker's share of
    ``memory.max.bytes``, at most 512 MiB."""

    max_instances: int = shared.INSTANCES_MAX.field()


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Settings of the Kafka clients of one identity. Properties have the names of the Java client."""

    bootstrap_servers: str
    producer: Mapping[str, str] = field(default_factory=dict, repr=False)
    consumer: Mapping[str, str] = field(default_factory=dict, repr=False)
    admin: Mapping[str, str] = field(default_factory=dict, repr=False)
    request_seconds: float = shared.REQUEST_TIMEOUT.field()
    instance_timeout_ms: int = shared.INSTANCE_TIMEOUT.field()
