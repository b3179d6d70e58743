"""The interface to a Kafka client that the status of replicas needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from kafka_facade.core.errors import FacadeError


class ReplicaLog(Struct, gc=False):
    """The log of a replica, as its broker describes it; None for what was not told.

    ``leader_end`` is the end of the leader's log, which was asked before the other offsets.
    """

    topic_name: str
    partition_id: int
    broker_id: int
    is_leader: bool
    is_in_isr: bool
    is_online: bool
    start: int | None
    end: int | None
    leader_end: int | None


class ReplicaLogsPort(Protocol):
    """The logs of replicas."""

    async def replica_logs(
        self, topics: Sequence[str] | None, timeout: float
    ) -> dict[str, list[ReplicaLog] | FacadeError]:
        """The logs of these topics, or of all, by topic; each list is ordered by partition and broker.

        A topic that cannot be described is replaced by its error. A broker that does not answer within half of the time
        leaves its offsets None.
        """
