"""Which Kafka identity a caller has, and the settings of its clients.

This is the one place that knows which clusters there are: one, which the settings describe.
"""

from __future__ import annotations

from kafka_facade.core.call import Caller, Identify
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.kafka.options import KafkaOptions
from kafka_facade.runtime.settings import Settings

_CLUSTER = "default"


def service_identity(settings: Settings) -> KafkaIdentity:
    """Return the gateway's own identity: that of ``producer.*``, ``consumer.*``, ``admin.*`` and ``client.*``."""
    cluster = settings.cluster
    return KafkaIdentity(_CLUSTER, "the gateway", cluster.producer, cluster.consumer, cluster.admin)


def all_as(identity: KafkaIdentity) -> Identify:
    """Return the rule that every caller acts as ``identity``, whichever cluster it names."""

    def identify(caller: Caller, cluster_id: str | None) -> KafkaIdentity:
        return identity

    return identify


def kafka_options(settings: Settings, identity: KafkaIdentity) -> KafkaOptions:
    """Return the settings of an identity's clients."""
    return KafkaOptions(
        settings.cluster.bootstrap_servers,
        identity.producer,
        identity.consumer,
        identity.admin,
        settings.core.request_seconds,
        settings.consumers.instance_timeout_ms,
    )
