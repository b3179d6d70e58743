"""How much one request may hold, each limit with its reason; docs/compatibility.md tells callers of them.

Limits of whole bodies and messages are settings (``max.request.body.size``, ``grpc.max.request.bytes``).
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Final

from kafka_facade.core.errors import InvalidKafkaRequest, InvalidRequest

_MIB: Final = 1024 * 1024

CONFIGS: Final = 1_000
"""Configs of one topic, broker or cluster: Kafka knows a few hundred, and each entry is checked on the event loop."""
CONFIG_TOPICS: Final = 1_000
"""Topics whose configs one request alters: all their configs are read before and after."""
ACLS: Final = 1_000
"""ACLs that one request creates: librdkafka converts them on the event loop."""
EXCLUSIONS: Final = 1_000
"""Brokers whose exclusion one request changes: more than a cluster has."""
REMOVALS: Final = 1_000
"""Brokers that one request removes: more than a cluster has."""
REASON: Final = 1_000
"""Characters of the reason of an exclusion: reasons are kept in the memory of each worker."""
CREATED_PARTITIONS: Final = 10_000
"""Partitions that are assigned when a topic is created: Kafka's controller accepts no more at once."""
REPLICAS: Final = 1_000
"""Replicas of one partition: far more than brokers that a cluster has."""
NAMED_TOPICS: Final = 10_000
"""Topics that a consumer instance subscribes to by name: they are compared and sent at each rebalance."""
NAMED_PARTITIONS: Final = 10_000
"""Partitions that a consumer instance is asked to commit, seek or look up: they are checked on the event loop."""
ASSIGNED_PARTITIONS: Final = 2_000
"""Partitions that are assigned to a consumer instance: the time that librdkafka's assign blocks is quadratic."""
MESSAGE_ENTRIES: Final = 10_000
"""Entries of a list in a gRPC message: lists are converted without yielding to the event loop."""
MESSAGE_FIELDS: Final = 2_000_000
"""Fields of a gRPC message, with those of its records: each takes up to 100 bytes of memory, and two on the wire."""
HEADERS: Final = 100_000
"""Headers of one record: librdkafka returns none of a record with more (rd_kafka_msg_headers_parse)."""
PRODUCED_RECORDS: Final = 100_000
"""Records of one v2 produce request: all their results are kept until the last one is known."""

BODY_WEIGHT: Final = 8 * _MIB
"""Weight (bytes, see ``json_weight``) of a body of JSON that is decoded on the event loop, in about 20 ms."""
FRAME_WEIGHT: Final = 16 * _MIB
"""Weight of the JSON in one gRPC record, and of one websocket message of GraphQL."""
RECORDS_WEIGHT: Final = 64 * _MIB
"""Weight of the JSON of a record that is produced, and of the decoded records of one read, in memory at once."""


def check_length(entries: Sized, most: int, field: str) -> None:
    """Raise InvalidRequest if the list in ``field`` is longer than ``most``."""
    if len(entries) > most:
        raise InvalidRequest(f"{field} has more than {most} entries.", field=field)


def check_headers(headers: Sized) -> None:
    """Raise InvalidKafkaRequest if a record has more ``headers`` than the Kafka client can read."""
    if len(headers) > HEADERS:
        raise InvalidKafkaRequest(
            f"A record cannot have more than {HEADERS} headers: the Kafka client would not read them.", field="headers"
        )
