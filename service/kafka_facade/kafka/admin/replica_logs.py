"""The logs of replicas, from the brokers that host them.

Followers answer ListOffsets only with the replica id of a debugging consumer, which librdkafka cannot send.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kafka_facade.core.errors import FacadeError, TopicNotFound
from kafka_facade.core.replica_status.port import ReplicaLog
from kafka_facade.core.time_slices import in_slices, time_slice
from kafka_facade.kafka.admin.leaders import Place
from kafka_facade.kafka.admin.log_offsets import EARLIEST, LATEST, ask_offsets
from kafka_facade.kafka.admin.metadata import metadata_request
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient

# A consumer for debugging, which may read from any replica (org.apache.kafka.common.requests.ListOffsetsRequest).
_DEBUGGING: Final = -2
# The first version with offline replicas.
_METADATA_VERSION: Final = 5
# Brokers that hang must leave time for the answer.
_SHARE: Final = 0.5

_Ends = dict[tuple[int, Place], int | FacadeError]


class ReplicaLogs:
    """The port over one cluster."""

    def __init__(self, metadata: ProtocolClient, offsets: ProtocolClient) -> None:
        self._metadata = metadata
        self._offsets = offsets

    async def replica_logs(
        self, topics: Sequence[str] | None, timeout: float
    ) -> dict[str, list[ReplicaLog] | FacadeError]:
        """See :meth:`ReplicaLogsPort.replica_logs`: metadata, the leaders' ends, then start and end of each replica."""
        deadline = time.monotonic() + timeout
        answer = await self._metadata.ask_any(
            lambda _: metadata_request(topics, min_version=_METADATA_VERSION), timeout
        )
        live = {broker.node_id for broker in answer.brokers}
        found: dict[str, list[ReplicaLog] | FacadeError] = {
            name: TopicNotFound(topic_name=name) for name in topics or ()
        }
        leaders: dict[int, list[Place]] = defaultdict(list)
        hosts: dict[int, list[Place]] = defaultdict(list)
        for topic in answer.topics:
            if topic.error_code:
                found[topic.name] = from_code(topic.error_code, None, topic_name=topic.name)
                continue
            for partition in topic.partitions:
                place = (topic.name, partition.partition_index)
                if partition.leader_id in live:
                    leaders[partition.leader_id].append(place)
                for broker in partition.replica_nodes:
                    if broker in live and broker not in partition.offline_replicas:
                        hosts[broker].append(place)
            await time_slice()
        ends = await self._ask(leaders, LATEST, (deadline - time.monotonic()) * _SHARE)
        left = (deadline - time.monotonic()) * _SHARE
        starts, own_ends = await asyncio.gather(self._ask(hosts, EARLIEST, left), self._ask(hosts, LATEST, left))

        for topic in answer.topics:
            if not topic.error_code:
                replicas = sorted(
                    (partition.partition_index, broker, partition)
                    for partition in topic.partitions
                    for broker in partition.replica_nodes
                )

                def log(replica: tuple[int, int, Any], name: str = topic.name) -> ReplicaLog:
                    index, broker, partition = replica
                    place = (name, index)
                    return ReplicaLog(
                        name,
                        index,
                        broker,
                        is_leader=broker == partition.leader_id,
                        is_in_isr=broker in partition.isr_nodes,
                        is_online=broker in live and broker not in partition.offline_replicas,
                        start=_told(starts, broker, place),
                        end=_told(own_ends, broker, place),
                        leader_end=_told(ends, partition.leader_id, place),
                    )

                found[topic.name] = await in_slices(log, replicas)
        return found

    async def _ask(self, places: Mapping[int, Sequence[Place]], spec: int, timeout: float) -> _Ends:
        """The offsets that each broker tells of its places."""

        async def ask(node: int) -> _Ends:
            answers = await ask_offsets(self._offsets, node, places[node], spec, timeout, replica_id=_DEBUGGING)
            return {(node, place): offset for place, offset in answers.items()}

        told: _Ends = {}
        for answers in await asyncio.gather(*map(ask, places)):
            told |= answers
        return told


def _told(ends: _Ends, broker: int, place: Place) -> int | None:
    offset = ends.get((broker, place))
    return offset if isinstance(offset, int) else None
