"""What each of the gateway's Kafka clients is configured with, beside what the settings say."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

logger = logging.getLogger("kafka_facade.kafka")

_BASE: Final[dict[str, Any]] = {
    "client.id": "kafka-facade",
    "log_level": 4,
    # Java's default. It bounds how long refused credentials go unnoticed, and how long mended ones do.
    "reconnect.backoff.max.ms": 1000,
}
# By default a producer or admin client that asks for the metadata of a topic has brokers create it, even long after
# others have deleted it. Topics are created on purpose here (Producer.partition_count).
_NO_CREATION: Final[dict[str, Any]] = {"allow.auto.create.topics": False}
# Java's defaults where librdkafka's differ and callers could tell: which partition a key goes to, how large a record
# may be, which formats of a group's members get along.
_PRODUCER_DEFAULTS: Final[dict[str, Any]] = {
    "partitioner": "murmur2_random",
    "message.max.bytes": 1_048_576,
    "linger.ms": 0,
    # Without it, and with no linger, each record without a key would go to another partition, in a request of its own.
    "sticky.partitioning.linger.ms": 10,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    # How long a topic that metadata doesn't show is waited for; records for a deleted one wait as long.
    "topic.metadata.propagation.max.ms": 5_000,
}
# Most requests go to the broker that metadata calls the controller; when it dies, only newer metadata names another.
# A broker that hangs keeps its connections: others are asked once it has left a request without an answer for so long.
_ADMIN_DEFAULTS: Final[dict[str, Any]] = {"topic.metadata.refresh.interval.ms": 2000, "socket.timeout.ms": 3000}
# By default librdkafka pauses for a second once its queue is full, and hands over records that were damaged on a disk.
_CONSUMER_DEFAULTS: Final[dict[str, Any]] = {
    "check.crcs": True,
    "partition.assignment.strategy": "range,roundrobin",
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
}


def admin_config(bootstrap_servers: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The admin client's; ``given`` are settings under librdkafka's names, here and below."""
    return _joined(bootstrap_servers, _ADMIN_DEFAULTS, given) | _NO_CREATION


def protocol_config(bootstrap_servers: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """That of the client for requests which librdkafka doesn't have."""
    return _joined(bootstrap_servers, {}, given)


def producer_config(bootstrap_servers: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The producer's. Retries neither reorder nor repeat records, unless settings rule that out (KIP-679)."""
    acks = str(given.get("acks", "all")) in ("all", "-1")
    retries = str(given.get("retries", "1")) != "0"
    defaults = _PRODUCER_DEFAULTS | {"enable.idempotence": acks and retries}
    return _joined(bootstrap_servers, defaults, given) | _NO_CREATION


def consumer_config(
    bootstrap_servers: str, given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A consumer's, with more defaults."""
    all_defaults = _CONSUMER_DEFAULTS | dict(defaults or {})
    if given.get("group.protocol") == "consumer":
        # The group's coordinator assigns then (KIP-848).
        del all_defaults["partition.assignment.strategy"]
    return _joined(bootstrap_servers, all_defaults, given)


def _joined(bootstrap_servers: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {"bootstrap.servers": bootstrap_servers} | _BASE | dict(defaults) | dict(given) | {"logger": logger}
