"""Encoding of resources as JSON, with fields in the order of the API and links from the link table."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from kafka_facade.core.acls.model import Acl
from kafka_facade.core.clusters.model import Broker, Cluster
from kafka_facade.core.configs.model import BrokerConfig, ClusterConfig, TopicConfig
from kafka_facade.core.groups.model import (
    ConsumerAssignment,
    ConsumerGroup,
    ConsumerGroupLagSummary,
    ConsumerLag,
    GroupMember,
)
from kafka_facade.core.links import KINDS, Kind
from kafka_facade.core.reassignments.model import PartitionReassignment
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.model import Partition, PartitionOffsets, Replica, Topic

_encoder = msgspec.json.Encoder()
encode: Final = _encoder.encode
_encode_into = _encoder.encode_into

_Item = TypeVar("_Item")

_LINKS = "*"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GZIP_LEVEL = 6
# Yield to the event loop after encoding this many bytes of an array; takes a few tenths of a millisecond.
_PIECE: Final = 32 * 1024
# Number of small items to encode in one call.
_TOGETHER: Final = 8
_COMMA: Final = ord(",")
MIN_COMPRESSED_BYTES: Final = 32
"""Minimum size of a body to compress."""

_CONFIG = ("cluster_id", "name", "value", "is_read_only", "is_sensitive", "source", "synonyms")

# The members after ``metadata``, in order. Links are placed together at _LINKS, or individually by name.
_LAYOUTS: dict[type[Any], tuple[str, ...]] = {
    Cluster: ("cluster_id", _LINKS),
    Broker: ("cluster_id", "broker_id", "host", "port", "rack", _LINKS),
    Topic: (
        "cluster_id",
        "topic_name",
        "is_internal",
        "replication_factor",
        "partitions_count",
        _LINKS,
        "authorized_operations",
    ),
    Partition: ("cluster_id", "topic_name", "partition_id", _LINKS),
    PartitionOffsets: (
        "cluster_id",
        "topic_name",
        "partition_id",
        "earliest_offset",
        "latest_offset",
    ),
    Replica: (
        "cluster_id",
        "topic_name",
        "partition_id",
        "broker_id",
        "is_leader",
        "is_in_sync",
        _LINKS,
    ),
    TopicConfig: (*_CONFIG, "topic_name", "is_default"),
    BrokerConfig: (*_CONFIG, "broker_id", "is_default"),
    ClusterConfig: (*_CONFIG, "config_type", "is_default"),
    ConsumerGroup: (
        "cluster_id",
        "consumer_group_id",
        "is_simple",
        "partition_assignor",
        "state",
        "type",
        "is_mixed_consumer_group",
        _LINKS,
    ),
    GroupMember: ("cluster_id", "consumer_group_id", "consumer_id", "instance_id", "client_id", _LINKS),
    ConsumerAssignment: (
        "cluster_id",
        "consumer_group_id",
        "consumer_id",
        "topic_name",
        "partition_id",
        _LINKS,
    ),
    ConsumerLag: (
        "cluster_id",
        "consumer_group_id",
        "topic_name",
        "partition_id",
        "consumer_id",
        "instance_id",
        "client_id",
        "current_offset",
        "log_end_offset",
        "lag",
    ),
    ConsumerGroupLagSummary: (
        "cluster_id",
        "consumer_group_id",
        "max_lag",
        "total_lag",
        "max_lag_consumer_id",
        "max_lag_consumer",
        "max_lag_client_id",
        "max_lag_instance_id",
        "max_lag_topic_name",
        "max_lag_partition_id",
        "max_lag_partition",
    ),
    Acl: (
        "cluster_id",
        "resource_type",
        "resource_name",
        "pattern_type",
        "principal",
        "host",
        "operation",
        "permission",
    ),
    PartitionReassignment: (
        "cluster_id",
        "topic_name",
        "partition_id",
        "adding_replicas",
        "removing_replicas",
        _LINKS,
    ),
}


def resource_document(resource: object, base: str, authority: str) -> dict[str, Any]:
    """Return a resource as a document with kind, metadata and links; ``base`` is the URL before its path."""
    kind = KINDS[type(resource)]
    related = kind.related_paths(resource)
    metadata = {"self": base + kind.self_path(resource)}
    if kind.crn:
        metadata["resource_name"] = kind.resource_name(resource, authority)
    document: dict[str, Any] = {"kind": kind.name, "metadata": metadata}
    for name in _LAYOUTS[type(resource)]:
        if name is _LINKS:
            for relation, path in related.items():
                document[relation] = {"related": base + path}
        elif name in kind.relations:
            if name in related:
                document[name] = {"related": base + related[name]}
        else:
            document[name] = getattr(resource, name)
    return document


async def encode_array(
    found: Sequence[_Item], document: Callable[[_Item], object], before: bytes = b"", after: bytes = b""
) -> bytearray:
    """Encode documents as a JSON array between ``before`` and ``after``, yielding to the event loop between pieces."""
    array = bytearray(before)
    position, count, pause = 0, 1, 0
    while position < len(found):
        if len(array) >= pause:
            await time_slice()
            pause = len(array) + _PIECE
        start = len(array)
        _encode_into([document(item) for item in found[position : position + count]], array, -1)
        # Each piece is encoded as an array: turn its "[" into a comma, and drop its "]".
        array[start] = _COMMA
        array.pop()
        position += count
        # Encode large items one by one.
        count = _TOGETHER if len(array) - start < _PIECE else 1
    array[len(before) : len(before) + 1] = b"["
    array += b"]" + after
    return array


async def list_body(kind: Kind, found: Sequence[object], self_url: str, base: str, authority: str) -> bytearray:
    """Encode a list of resources of one kind."""
    head = encode({"kind": f"{kind.name}List", "metadata": {"self": self_url, "next": None}})
    before = head[:-1] + b',"data":'
    return await encode_array(found, lambda resource: resource_document(resource, base, authority), before, b"}")


@lru_cache(maxsize=4096)
def timestamp_text(milliseconds: int | None) -> str | None:
    """Format a record's timestamp as RFC 3339 in UTC, with milliseconds unless they are 0."""
    if milliseconds is None:
        return None
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    text = moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"


def timestamp_milliseconds(moment: datetime) -> int:
    """Convert to Unix milliseconds, rounding down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def compress(body: bytes | bytearray) -> bytes:
    """Compress a body with gzip."""
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


def accepts_gzip(accept_encoding: bytes | None) -> bool:
    """Return whether an Accept-Encoding header accepts gzip (RFC 9110, 12.5.3)."""
    if not accept_encoding:
        return False
    wanted = False
    for part in accept_encoding.decode("latin-1").lower().split(","):
        coding, _, parameters = part.partition(";")
        coding = coding.strip()
        if coding in ("gzip", "x-gzip", "*"):
            name, _, value = parameters.replace(" ", "").partition("=")
            refused = name == "q" and value.rstrip("0").rstrip(".") in ("", "0")
            if coding != "*":
                return not refused
            wanted = not refused
    return wanted
