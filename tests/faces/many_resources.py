"""Many topics, ACLs and committed offsets, for large responses."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from kafka_facade_devstack.background import BackgroundStack

PARTITIONS = 75
"""Partitions of the wide topic."""


@dataclass
class Many:
    """Many resources of each kind in the cluster; the minimum length of their lists."""

    prefix: str
    topics: int = 400
    partitions: int = 3
    acls: int = 2000

    @property
    def wide(self) -> str:
        """A topic with many partitions."""
        return f"{self.prefix}-wide"

    @property
    def names(self) -> list[str]:
        """The names of the topics."""
        return [f"{self.prefix}-{number:03}" for number in range(self.topics)]

    @property
    def group(self) -> str:
        """A group that has committed an offset in each partition."""
        return f"{self.prefix}-group"


@asynccontextmanager
async def many_resources(stack: BackgroundStack) -> AsyncIterator[Many]:
    """The resources, for the block."""
    made = Many(f"many-{os.getpid()}")
    await asyncio.to_thread(_create_all, stack, made)
    try:
        yield made
    finally:
        await asyncio.to_thread(_delete_all, stack, made)


def _delete_all(stack: BackgroundStack, many: Many) -> None:
    delete_topics(stack, many.wide, *many.names)
    everything = AclBindingFilter(
        ResourceType.TOPIC,
        many.prefix,
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for deleted in admin.delete_acls([everything]).values():
        deleted.result(20)


def delete_topics(stack: BackgroundStack, *names: str) -> None:
    """Delete topics, and wait until Kafka has done so."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for deleted in admin.delete_topics(list(names)).values():
        deleted.result(30)


def _create_all(stack: BackgroundStack, many: Many) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    topics = [NewTopic(name, num_partitions=many.partitions) for name in many.names]
    created = admin.create_topics([*topics, NewTopic(many.wide, num_partitions=PARTITIONS)])
    acls = [
        AclBinding(
            ResourceType.TOPIC,
            many.prefix,
            ResourcePatternType.LITERAL,
            f"User:{number}",
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )
        for number in range(many.acls)
    ]
    for done in [*created.values(), *admin.create_acls(acls).values()]:
        done.result(30)
    offsets = [TopicPartition(name, number, 0) for name in many.names for number in range(many.partitions)]
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": many.group})
    offsets += [TopicPartition(many.wide, number, 0) for number in range(PARTITIONS)]
    deadline = time.monotonic() + 240
    # A moment after it has created them the broker leads all partitions.
    while True:
        ends = admin.list_offsets(dict.fromkeys(offsets, OffsetSpec.latest())).values()
        try:
            for end in ends:
                end.result(20)
            consumer.commit(offsets=offsets, asynchronous=False)
            break
        except KafkaException:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    consumer.close()
