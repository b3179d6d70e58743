"""Requests to group coordinators through librdkafka, for security settings that kafka-python does not support.

For KIP-848 groups it reports neither their specific states nor whether a group is mixed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupState as ClientState
from confluent_kafka import ConsumerGroupTopicPartitions, ConsumerGroupType
from confluent_kafka.admin import AdminClient

from kafka_facade.core.errors import ConsumerGroupNotFound, FacadeError
from kafka_facade.core.groups import model as core_groups
from kafka_facade.core.groups.assigned import AssignedPartitions
from kafka_facade.core.groups.model import ConsumerGroupState
from kafka_facade.core.groups.port import Assigned, GroupDescription, MemberDescription
from kafka_facade.core.time_slices import time_slice
from kafka_facade.kafka.admin.coordinators import Offsets
from kafka_facade.kafka.blocking import Blocking, positive, settled, settled_all
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.text import replacing_invalid_text

_STATES: dict[ClientState, ConsumerGroupState] = {
    ClientState.PREPARING_REBALANCING: ConsumerGroupState.PREPARING_REBALANCE,
    ClientState.COMPLETING_REBALANCING: ConsumerGroupState.COMPLETING_REBALANCE,
    ClientState.STABLE: ConsumerGroupState.STABLE,
    ClientState.DEAD: ConsumerGroupState.DEAD,
    ClientState.EMPTY: ConsumerGroupState.EMPTY,
}
_TYPES: dict[ConsumerGroupType, core_groups.ConsumerGroupType] = {
    ConsumerGroupType.CLASSIC: core_groups.ConsumerGroupType.CLASSIC,
    ConsumerGroupType.CONSUMER: core_groups.ConsumerGroupType.CONSUMER,
}
# If the timeout expires before the coordinator is found, a late response aborts the process (see coordinators), so use
# a timeout (s) far longer than any caller's.
_OPERATION_SECONDS = 3600.0
# The encoded size of a partition of a topic of its own, about.
_BYTES_AN_ENTRY = 16


class ClientGroups:
    """The interface of :class:`Coordinators`, over librdkafka.

    The client is called in threads, because the time that a call blocks grows with the number of groups.
    """

    def __init__(self, client: AdminClient, blocking: Blocking) -> None:
        self._client = client
        self._blocking = blocking

    async def list_groups(self, timeout: float) -> list[str]:
        """The ids of all consumer groups on brokers that answer."""
        found = await settled(self._client.list_consumer_groups(request_timeout=positive(timeout)), timeout)
        if found.errors and not found.valid:
            raise from_exception(found.errors[0])
        return [group.group_id for group in found.valid]

    async def describe(self, group_ids: Sequence[str], timeout: float) -> dict[str, GroupDescription | FacadeError]:
        """Descriptions by group, or errors."""
        futures = await self._blocking.run(
            timeout, self._client.describe_consumer_groups, list(group_ids), request_timeout=_OPERATION_SECONDS
        )
        answers = zip(futures, await settled_all(list(futures.values()), timeout), strict=True)
        found: dict[str, GroupDescription | FacadeError] = {}
        for group_id, answer in answers:
            await time_slice()
            with replacing_invalid_text:
                found[group_id] = _described(group_id, answer)
        return found

    async def committed(self, group_ids: Sequence[str], timeout: float) -> dict[str, Offsets | FacadeError]:
        """Committed offsets by group, or errors."""
        futures = await self._blocking.run(timeout, self._ask_committed, group_ids)
        answers = zip(group_ids, await settled_all(futures, timeout), strict=True)
        found: dict[str, Offsets | FacadeError] = {}
        for group_id, answer in answers:
            await time_slice()
            with replacing_invalid_text:
                found[group_id] = answer if isinstance(answer, FacadeError) else _offsets(answer)
        return found

    def _ask_committed(self, group_ids: Sequence[str]) -> list[Future[Any]]:
        # The client accepts one group per call; the requests still run concurrently.
        return [
            self._client.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group_id)], request_timeout=_OPERATION_SECONDS
            )[group_id]
            for group_id in group_ids
        ]


def _described(group_id: str, answer: Any) -> GroupDescription | FacadeError:
    if isinstance(answer, FacadeError):
        return answer
    if answer.is_simple_consumer_group and answer.state is ClientState.DEAD:
        # Brokers describe unknown groups like this.
        return ConsumerGroupNotFound(consumer_group_id=group_id)
    coordinator = answer.coordinator
    return GroupDescription(
        group_id,
        answer.is_simple_consumer_group,
        answer.partition_assignor,
        _STATES.get(answer.state, ConsumerGroupState.UNKNOWN),
        _TYPES.get(answer.type, core_groups.ConsumerGroupType.UNKNOWN),
        False,
        coordinator.id if coordinator is not None and coordinator.id >= 0 else None,
        [
            MemberDescription(
                member.member_id, member.group_instance_id, member.client_id, _assigned(member.assignment)
            )
            for member in answer.members
        ],
    )


def _assigned(assignment: Any) -> Assigned:
    entries = (assignment.topic_partitions if assignment is not None else None) or ()

    def decode() -> AssignedPartitions:
        return AssignedPartitions((entry.topic.encode(), struct.pack(">i", entry.partition)) for entry in entries)

    return Assigned(_BYTES_AN_ENTRY * len(entries), decode)


def _offsets(answer: Any) -> Offsets:
    return {
        (entry.topic, entry.partition): entry.offset
        for entry in answer.topic_partitions or ()
        if entry.error is None and entry.offset >= 0
    }
