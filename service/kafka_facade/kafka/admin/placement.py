"""Where replicas are and how large they are: metadata, and the log directories of brokers (KIP-113, KIP-827).

librdkafka has no request for log directories.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from kafka_facade.core.balancer.port import Disks, PlacedPartition, Placement
from kafka_facade.core.errors import FacadeError
from kafka_facade.core.reassignments.port import Place
from kafka_facade.core.time_slices import time_slice
from kafka_facade.kafka.admin.metadata import metadata_request
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient


class Placements:
    """The port over one cluster."""

    def __init__(self, metadata: ProtocolClient, directories: ProtocolClient) -> None:
        self._metadata = metadata
        self._directories = directories

    async def placement(self, timeout: float) -> Placement:
        """The brokers of all partitions, from one answer."""
        answer = await self._metadata.ask_any(lambda _: metadata_request(None), timeout)
        partitions: dict[Place, PlacedPartition] = {}
        for topic in answer.topics:
            if not topic.error_code:
                for entry in topic.partitions:
                    leader = entry.leader_id if entry.leader_id >= 0 else None
                    place = (topic.name, entry.partition_index)
                    partitions[place] = PlacedPartition(tuple(entry.replica_nodes), frozenset(entry.isr_nodes), leader)
                    await time_slice()
        return Placement({broker.node_id: broker.rack for broker in answer.brokers}, partitions)

    async def disks(self, broker_ids: Iterable[int], timeout: float) -> dict[int, Disks]:
        """Ask each broker; see :meth:`PlacementPort.disks`."""
        asked = list(broker_ids)
        answers = await asyncio.gather(*(self._ask(broker_id, timeout) for broker_id in asked))
        found: dict[int, Disks] = {}
        for broker_id, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Disks):
                found[broker_id] = answer
            elif not answer.codes.retriable:
                raise answer
        return found

    async def _ask(self, broker_id: int, timeout: float) -> Disks | FacadeError:
        try:
            answer = await self._directories.send(
                lambda messages: messages.DescribeLogDirsRequest(topics=None), timeout, node=broker_id
            )
        except FacadeError as error:
            return error
        # Versions below 3 have no error of the whole.
        if code := getattr(answer, "error_code", 0):
            return from_code(code, None)
        directories = [entry for entry in answer.results if not entry.error_code]
        sizes: dict[Place, int] = {}
        for directory in directories:
            for topic in directory.topics:
                for partition in topic.partitions:
                    if not partition.is_future_key:
                        sizes[topic.name, partition.partition_index] = partition.partition_size
                    await time_slice()
        total, usable = (_sum(directories, name) for name in ("total_bytes", "usable_bytes"))
        return Disks(total, usable, sizes)


def _sum(directories: Iterable[Any], name: str) -> int | None:
    """Return the sum over directories; None if one of them is not told, or there is none."""
    values = [getattr(entry, name, None) for entry in directories]
    known = [value for value in values if value is not None and value >= 0]
    return sum(known) if known and len(known) == len(values) else None
