"""Default settings of each of the gateway's Kafka clients."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from kafka_facade.core.records.model import RECORD_OVERHEAD

logger = logging.getLogger("kafka_facade.kafka")

_BASE: Final[dict[str, Any]] = {
    "client.id": "kafka-facade",
    "log_level": 4,
    # Java's default. It bounds how long it takes to notice that credentials are rejected, or accepted again.
    "reconnect.backoff.max.ms": 1000,
}
# By default, metadata requests of producer and admin clients create topics, even long after others have deleted them.
# Here topics are created explicitly (Producer.partition_count).
_NO_CREATION: Final[dict[str, Any]] = {"allow.auto.create.topics": False}
PRODUCER_BYTES: Final = 128 * 1024 * 1024
"""The most memory (bytes) for records that wait in a producer."""
RECORD_BYTES: Final = 1_048_576
"""The size (bytes) of the largest record by default."""
# librdkafka's delivery timeout is this much shorter than the request timeout.
_DELIVERY_MARGIN_SECONDS: Final = 1.0
_KIBIBYTE: Final = 1024
_MOST_QUEUED: Final = 200_000
_LARGEST: Final = "message.max.bytes"
# Java's defaults where librdkafka's differ visibly: partitioning of keys, record size, and compatibility of group
# members.
_PRODUCER_DEFAULTS: Final[dict[str, Any]] = {
    "partitioner": "murmur2_random",
    _LARGEST: RECORD_BYTES,
    "linger.ms": 0,
    # Otherwise, without linger, each record without a key would go to another partition in a request of its own.
    "sticky.partitioning.linger.ms": 10,
    # How long to wait for a topic that metadata does not show; records for a deleted topic fail after this time.
    "topic.metadata.propagation.max.ms": 5_000,
}
# Most requests go to the controller; if it dies, only a metadata refresh reveals the new one. A broker that hangs keeps
# its connections, so others are tried after the socket timeout.
_ADMIN_DEFAULTS: Final[dict[str, Any]] = {"topic.metadata.refresh.interval.ms": 2000, "socket.timeout.ms": 3000}
# By default librdkafka does not detect corrupt records.
_CONSUMER_DEFAULTS: Final[dict[str, Any]] = {
    "check.crcs": True,
    # The client may ask a broker that hangs which one coordinates its group; commits wait until it asks another one.
    "socket.timeout.ms": 10_000,
    "partition.assignment.strategy": "range,roundrobin",
    "fetch.wait.max.ms": 100,
}


def admin_config(bootstrap_servers: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the admin client's settings; ``given``, here and below, are settings with librdkafka's names."""
    return _joined(bootstrap_servers, _ADMIN_DEFAULTS, given) | _NO_CREATION


def protocol_config(bootstrap_servers: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the client for requests that librdkafka does not support."""
    return _joined(bootstrap_servers, {}, given)


def delivery(request_seconds: float) -> dict[str, Any]:
    """Return the settings of the producer that override given ones, so that its errors arrive in time."""
    seconds = max(request_seconds / 2, request_seconds - _DELIVERY_MARGIN_SECONDS)
    return {"message.timeout.ms": round(1000 * seconds)}


def producer_config(bootstrap_servers: str, given: Mapping[str, Any], memory: int = PRODUCER_BYTES) -> dict[str, Any]:
    """Return the producer's settings, for a queue of up to ``memory`` bytes: at least ``queue_bytes``.

    Given limits of the queue can only lower it. Idempotence is on unless other settings rule it out (KIP-679).
    """
    acks = str(given.get("acks", "all")) in ("all", "-1")
    retries = str(given.get("retries", "1")) != "0"
    queue = max(min(memory, PRODUCER_BYTES), queue_bytes(given))
    limits = {
        "queue.buffering.max.kbytes": queue // _KIBIBYTE,
        "queue.buffering.max.messages": min(queue // RECORD_OVERHEAD, _MOST_QUEUED),
    }
    lowered = {name: _lower(given[name], most) for name, most in limits.items() if name in given}
    defaults = _PRODUCER_DEFAULTS | {"enable.idempotence": acks and retries} | limits
    return _joined(bootstrap_servers, defaults, dict(given) | lowered) | _NO_CREATION


def queue_bytes(given: Mapping[str, Any]) -> int:
    """Return the size of a producer's smallest queue, in whole KiB: a smaller one would not take the largest record."""
    largest = str(given.get(_LARGEST, ""))
    return -(-(int(largest) if largest.isdecimal() else RECORD_BYTES) // _KIBIBYTE) * _KIBIBYTE


def _lower(given: Any, most: int) -> Any:
    """Return a given limit, or ``most`` if that is lower; to the client 0 is no limit, and it rejects other text."""
    text = str(given)
    return given if not text.isdecimal() or 0 < int(text) < most else most


def consumer_config(
    bootstrap_servers: str, given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a consumer's settings, with additional defaults."""
    all_defaults = _CONSUMER_DEFAULTS | dict(defaults or {})
    if given.get("group.protocol") == "consumer":
        # With KIP-848 the group coordinator assigns partitions.
        del all_defaults["partition.assignment.strategy"]
    return _joined(bootstrap_servers, all_defaults, given)


def _joined(bootstrap_servers: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {"bootstrap.servers": bootstrap_servers} | _BASE | dict(defaults) | dict(given) | {"logger": logger}
