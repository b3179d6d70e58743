"""The status of replicas (reference: "Replica Status")."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache

from kafka_facade.core.call import Call
from kafka_facade.core.errors import FacadeError, InvalidTopicName, PartitionNotFound
from kafka_facade.core.registry import also_answers, implements
from kafka_facade.core.replica_status.model import (
    ListAllReplicaStatuses,
    ListPartitionReplicaStatuses,
    ListTopicReplicaStatuses,
    ReadReplicaStatuses,
    ReplicaStatus,
)
from kafka_facade.core.replica_status.port import ReplicaLog
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.operations import is_legal_topic_name

_UNKNOWN: Final = -1
# Followers whose last time in step with the leader is remembered: about 10 MB.
_REMEMBERED: Final = 50_000
_REPLICAS_A_SLICE: Final = 500


class ReplicaStatuses:
    """Operations on the status of replicas."""

    def __init__(self) -> None:
        self._caught_up: LRUCache[tuple[str, str, int, int], int] = LRUCache(_REMEMBERED)

    @implements("api.v3.topics.replica-statuses.list-all")
    async def list_all(self, call: Call, request: ListAllReplicaStatuses) -> Sequence[ReplicaStatus]:
        """All replicas of all topics, internal ones among them, ordered by topic, partition and broker."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        found = await call.kafka.replica_logs.replica_logs(None, call.remaining)
        statuses: list[ReplicaStatus] = []
        for name in sorted(found):
            logs = found[name]
            # Topics that were deleted meanwhile are left out.
            if not isinstance(logs, FacadeError):
                statuses += await self._statuses(cluster_id, logs)
        return statuses

    @implements("api.v3.topics.replica-statuses.list")
    async def list_of_topic(self, call: Call, request: ListTopicReplicaStatuses) -> Sequence[ReplicaStatus]:
        """All replicas of a topic, ordered by partition and broker; TopicNotFound."""
        return await self._of_topic(call, request.cluster_id, request.topic_name)

    @implements("api.v3.partitions.replica-statuses.list")
    async def list_of_partition(self, call: Call, request: ListPartitionReplicaStatuses) -> Sequence[ReplicaStatus]:
        """The replicas of a partition, ordered by broker; TopicNotFound, PartitionNotFound."""
        statuses = await self._of_topic(call, request.cluster_id, request.topic_name)
        found = [status for status in statuses if status.partition_id == request.partition_id]
        if not found:
            raise PartitionNotFound(topic_name=request.topic_name, partition_id=str(request.partition_id))
        return found

    @also_answers("api.v3.topics.replica-statuses.list", "api.v3.partitions.replica-statuses.list")
    async def read(self, call: Call, request: ReadReplicaStatuses) -> Sequence[Sequence[ReplicaStatus] | FacadeError]:
        """The replicas of many topics, from one round of requests to the brokers."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        legal = list(dict.fromkeys(name for name in request.keys if is_legal_topic_name(name)))
        logs = await call.kafka.replica_logs.replica_logs(legal, call.remaining) if legal else {}
        found: dict[str, Sequence[ReplicaStatus] | FacadeError] = {}
        for name, of_topic in logs.items():
            if isinstance(of_topic, FacadeError):
                found[name] = of_topic
            else:
                found[name] = await self._statuses(cluster_id, of_topic)
        # Names that no topic can have are not sent: not all of them could be.
        return [
            found[name] if name in found else InvalidTopicName(topic_name=name, field="topic_name")
            for name in request.keys
        ]

    async def _of_topic(self, call: Call, cluster_id: str | None, name: str) -> Sequence[ReplicaStatus]:
        [found] = await self.read(call, ReadReplicaStatuses(cluster_id, [name]))
        if isinstance(found, FacadeError):
            raise found
        return found

    async def _statuses(self, cluster_id: str, logs: Sequence[ReplicaLog]) -> list[ReplicaStatus]:
        now = time.time_ns() // 1_000_000
        statuses = []
        for index, log in enumerate(logs):
            if not index % _REPLICAS_A_SLICE:
                await time_slice()
            statuses.append(self._status(cluster_id, log, now))
        return statuses

    def _status(self, cluster_id: str, log: ReplicaLog, now: int) -> ReplicaStatus:
        told = log.end is not None
        caught_up = log.end is not None and (
            log.is_leader or (log.leader_end is not None and log.end >= log.leader_end)
        )
        place = (cluster_id, log.topic_name, log.partition_id, log.broker_id)
        if caught_up:
            self._caught_up[place] = now
        return ReplicaStatus(
            cluster_id,
            log.topic_name,
            log.broker_id,
            log.partition_id,
            is_leader=log.is_leader,
            is_observer=False,
            is_isr_eligible=log.is_online and told,
            is_in_isr=log.is_in_isr,
            is_caught_up=caught_up,
            log_start_offset=_UNKNOWN if log.start is None else log.start,
            log_end_offset=_UNKNOWN if log.end is None else log.end,
            last_caught_up_time_ms=self._caught_up.get(place, _UNKNOWN),
            last_fetch_time_ms=now if log.is_leader and told else _UNKNOWN,
        )
