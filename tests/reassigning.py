"""A real reassignment that does not complete: replication is throttled until the end of the test."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic
from kafka.admin import KafkaAdminClient
from kafka.structs import TopicPartition

_SECONDS = 20
_THROTTLED = ("leader.replication.throttled", "follower.replication.throttled")
# A follower's throttle lets a whole fetch (1 MiB) pass before it holds.
_BYTES = 8 * 1024 * 1024
_CHUNK = 512 * 1024


@dataclass(frozen=True)
class Moving:
    """A topic with partition 0 moving from broker 1 to 2 and 3, 1 growing from 2 to 2 and 3, and 2 at rest on 3."""

    topic: str


@contextmanager
def moving(bootstrap_servers: str) -> Iterator[Moving]:
    """Start the reassignment, and cancel it at the end of the block. Blocks."""
    name = f"moving-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    configs = {f"{prefix}.replicas": "*" for prefix in _THROTTLED}
    new = NewTopic(name, num_partitions=3, replica_assignment=[[1], [2], [3]], config=configs)
    admin.create_topics([new])[name].result(_SECONDS)
    _fill(bootstrap_servers, name)
    _throttle(admin, AlterConfigOpType.SET)
    mover = KafkaAdminClient(bootstrap_servers=bootstrap_servers.split(","))
    targets: dict[TopicPartition, list[int] | None] = {
        TopicPartition(name, 0): [2, 3],
        TopicPartition(name, 1): [2, 3],
    }
    try:
        assert set(mover.alter_partition_reassignments(targets).values()) == {None}
        yield Moving(name)
    finally:
        mover.alter_partition_reassignments(dict.fromkeys(targets))
        mover.close()
        _throttle(admin, AlterConfigOpType.DELETE)
        admin.delete_topics([name])[name].result(_SECONDS)


def _fill(bootstrap_servers: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    for partition in (0, 1):
        for _ in range(_BYTES // _CHUNK):
            producer.produce(topic, b"x" * _CHUNK, partition=partition)
    assert producer.flush(_SECONDS) == 0


def _throttle(admin: AdminClient, operation: AlterConfigOpType) -> None:
    for broker in (1, 2, 3):
        entries = [ConfigEntry(f"{prefix}.rate", "1", incremental_operation=operation) for prefix in _THROTTLED]
        resource = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=entries)
        admin.incremental_alter_configs([resource])[resource].result(_SECONDS)
    # Brokers learn of it a moment later.
    time.sleep(0.5)
