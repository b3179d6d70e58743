"""Which Kafka identity a caller has, and the settings of its clients.

This is the one place that knows which clusters there are: one, which the settings describe.
"""

from __future__ import annotations

from kafka_facade.core.call import Caller, Identify
from kafka_facade.core.kafka_clients import KafkaIdentity
from kafka_facade.kafka.engine import KafkaOptions
from kafka_facade.runtime.settings import Settings

_CLUSTER = "default"

# librdkafka's delivery timeout is this much (ms) shorter than the request timeout, so that its error arrives in time.
_DELIVERY_MARGIN_MS = 1000


def service_identity(settings: Settings) -> KafkaIdentity:
    """Return the gateway's own identity: that of ``producer.*``, ``consumer.*``, ``admin.*`` and ``client.*``."""
    return KafkaIdentity(
        _CLUSTER,
        "the gateway",
        settings.producer_properties,
        settings.consumer_properties,
        settings.admin_properties,
    )


def all_as(identity: KafkaIdentity) -> Identify:
    """Return the rule that every caller acts as ``identity``, whichever cluster it names."""

    def identify(caller: Caller, cluster_id: str | None) -> KafkaIdentity:
        return identity

    return identify


def kafka_options(settings: Settings, identity: KafkaIdentity) -> KafkaOptions:
    """Return the settings of an identity's clients."""
    return KafkaOptions(
        settings.bootstrap_servers,
        identity.producer,
        identity.consumer,
        identity.admin,
        delivery_timeout_ms=max(
            settings.api_request_timeout_ms // 2, settings.api_request_timeout_ms - _DELIVERY_MARGIN_MS
        ),
        instance_timeout_ms=settings.consumer_instance_timeout_ms,
    )
