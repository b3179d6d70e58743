"""Requests to group coordinators, through kafka-python.

librdkafka is avoided: if its operation times out and the coordinator is found afterwards, a failed assertion aborts the
process (``rd_kafka_enq_once_del_source_return``, librdkafka 2.16).
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import ConsumerGroupNotFound, FacadeError, UnsupportedVersion
from kafka_facade.core.groups.model import ConsumerGroupState, ConsumerGroupType
from kafka_facade.core.groups.port import GroupDescription, MemberDescription
from kafka_facade.core.topics.positions import CommittedOffset, TopicPartition
from kafka_facade.kafka.admin.assignments import assigned_topics, encoded
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade.kafka.protocol.rounds import ask_brokers

_T = TypeVar("_T")

Offsets = dict[tuple[str, int], int]
"""Committed offsets (the next to read) by topic and partition."""

_STATES = {state.name.replace("_", ""): state for state in ConsumerGroupState}
# Errors for groups that do not use the KIP-848 protocol, and from brokers that do not support it.
_NOT_NEWER = frozenset({ClientError.GROUP_ID_NOT_FOUND, ClientError.UNSUPPORTED_VERSION})
# The protocol type of consumer groups; it is empty for groups that only have commits.
_CONSUMER = "consumer"
_UPGRADED = 1


class Coordinators:
    """Queries coordinators, with one request per coordinator for all of its groups."""

    def __init__(self, client: ProtocolClient) -> None:
        self._client = client

    async def list_groups(self, timeout: float) -> list[str]:
        """The ids of all consumer groups on brokers that answer. Raises a broker's error if none answers."""
        deadline = time.monotonic() + timeout
        brokers = await self._client.brokers(timeout)
        asked = (self._list(node, deadline - time.monotonic()) for node in brokers)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        listed = [answer for answer in answers if not isinstance(answer, BaseException)]
        for answer in answers:
            if isinstance(answer, BaseException) and not (listed and isinstance(answer, FacadeError)):
                raise answer
        return [group_id for of_one in listed for group_id in of_one]

    async def describe(self, group_ids: Sequence[str], timeout: float) -> dict[str, GroupDescription | FacadeError]:
        """Descriptions by group, or errors."""
        return await ask_brokers(group_ids, timeout, self._find, self._describe)

    async def committed(self, group_ids: Sequence[str], timeout: float) -> dict[str, Offsets | FacadeError]:
        """Committed offsets by group, or errors."""
        return await ask_brokers(group_ids, timeout, self._find, self._committed)

    async def committed_of(
        self, group_id: str, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[CommittedOffset]:
        """A group's committed offsets of partitions, in order; partitions without one are omitted."""

        async def ask(node: int, group_ids: list[str], left: float) -> dict[str, list[CommittedOffset] | FacadeError]:
            return await self._committed_of(node, group_id, partitions, left)

        answer = (await ask_brokers([group_id], timeout, self._find, ask))[group_id]
        if isinstance(answer, FacadeError):
            raise answer
        return answer

    async def _list(self, node: int, timeout: float) -> list[str]:
        """The groups that a broker coordinates."""

        def build(admin: Any) -> Any:
            return admin.ListGroupsRequest(states_filter=[], types_filter=[])

        answer = await self._client.send(build, timeout, node=node)
        if answer.error_code:
            raise from_code(answer.error_code, None)
        # Skip other kinds of groups (Connect, share groups).
        return [group.group_id for group in answer.groups if group.protocol_type in ("", _CONSUMER)]

    async def _committed_of(
        self, node: int, group_id: str, partitions: Sequence[TopicPartition], timeout: float
    ) -> dict[str, list[CommittedOffset] | FacadeError]:
        by_topic: dict[str, list[int]] = defaultdict(list)
        for entry in dict.fromkeys((entry.topic, entry.partition) for entry in partitions):
            by_topic[entry[0]].append(entry[1])

        def build(_admin: Any) -> Any:
            from kafka.protocol.consumer import OffsetFetchRequest

            group = OffsetFetchRequest.OffsetFetchRequestGroup
            topic = group.OffsetFetchRequestTopics
            topics = [topic(name=name, partition_indexes=indexes) for name, indexes in by_topic.items()]
            # From version 10 on topics have no names there.
            return OffsetFetchRequest(
                groups=[group(group_id=group_id, topics=topics)], require_stable=True, min_version=8, max_version=9
            )

        answer = await self._client.send(build, timeout, node=node)
        return _all_of(answer.groups, lambda group: _committed_in_order(group, partitions))

    async def _find(self, group_ids: list[str], timeout: float) -> dict[str, int | FacadeError]:
        """The broker that coordinates each group."""

        def build(_admin: Any) -> Any:
            from kafka.protocol.metadata import CoordinatorType, FindCoordinatorRequest

            kind = CoordinatorType.GROUP.value
            return FindCoordinatorRequest(key_type=kind, coordinator_keys=group_ids, min_version=4)

        answer = await self._client.send(build, timeout)
        return {
            entry.key: from_code(entry.error_code, entry.error_message) if entry.error_code else entry.node_id
            for entry in answer.coordinators
        }

    async def _describe(
        self, node: int, group_ids: list[str], timeout: float
    ) -> dict[str, GroupDescription | FacadeError]:
        deadline = time.monotonic() + timeout
        found = await self._describe_newer(node, group_ids, timeout)
        rest = [group_id for group_id in group_ids if group_id not in found]
        if rest:
            found |= await self._describe_classic(node, rest, deadline - time.monotonic())
        return found

    async def _describe_newer(
        self, node: int, group_ids: list[str], timeout: float
    ) -> dict[str, GroupDescription | FacadeError]:
        """Describe those groups that use the KIP-848 protocol."""

        def build(_admin: Any) -> Any:
            from kafka_facade.kafka.protocol.messages import ConsumerGroupDescribeRequest

            return ConsumerGroupDescribeRequest(group_ids=group_ids, include_authorized_operations=False)

        try:
            answer = await self._client.send(build, timeout, node=node)
        except UnsupportedVersion:
            return {}
        groups = [group for group in answer.groups if group.error_code not in _NOT_NEWER]
        return await asyncio.to_thread(_all_of, groups, lambda group: _newer(group, node))

    async def _describe_classic(
        self, node: int, group_ids: list[str], timeout: float
    ) -> dict[str, GroupDescription | FacadeError]:
        def build(admin: Any) -> Any:
            return admin.DescribeGroupsRequest(groups=group_ids, include_authorized_operations=False)

        answer = await self._client.send(build, timeout, node=node)
        return await asyncio.to_thread(_all_of, answer.groups, lambda group: _classic(group, node))

    async def _committed(self, node: int, group_ids: list[str], timeout: float) -> dict[str, Offsets | FacadeError]:
        def build(_admin: Any) -> Any:
            from kafka.protocol.consumer import OffsetFetchRequest

            one = OffsetFetchRequest.OffsetFetchRequestGroup
            # From version 10 on topics have no names there.
            return OffsetFetchRequest(
                groups=[one(group_id=group_id, topics=None) for group_id in group_ids], min_version=8, max_version=9
            )

        answer = await self._client.send(build, timeout, node=node)
        return await asyncio.to_thread(_all_of, answer.groups, _offsets)


def _all_of(groups: Sequence[Any], read: Callable[[Any], _T | FacadeError]) -> dict[str, _T | FacadeError]:
    return {
        group.group_id: from_code(group.error_code, getattr(group, "error_message", None))
        if group.error_code
        else read(group)
        for group in groups
    }


def _state(name: str) -> ConsumerGroupState:
    return _STATES.get(name.upper(), ConsumerGroupState.UNKNOWN)


def _newer(group: Any, node: int) -> GroupDescription:
    members = [
        MemberDescription(
            member.member_id,
            member.instance_id,
            member.client_id,
            assigned_topics(member.assignment.topic_partitions),
        )
        for member in group.members
    ]
    # At least one member does not use the new protocol.
    mixed = any(member.member_type != _UPGRADED for member in group.members)
    state, kind = _state(group.group_state), ConsumerGroupType.CONSUMER
    return GroupDescription(group.group_id, False, group.assignor_name, state, kind, mixed, node, members)


def _classic(group: Any, node: int) -> GroupDescription | FacadeError:
    state, simple = _state(group.group_state), not group.protocol_type
    # Before KIP-1043, brokers describe an unknown group as simple and dead. Groups with another protocol type are of
    # another kind (Connect).
    if not (simple or group.protocol_type == _CONSUMER) or (simple and state is ConsumerGroupState.DEAD):
        return ConsumerGroupNotFound(consumer_group_id=group.group_id)
    members = [
        MemberDescription(
            member.member_id, member.group_instance_id, member.client_id, encoded(member.member_assignment)
        )
        for member in group.members
    ]
    kind = ConsumerGroupType.CLASSIC
    return GroupDescription(group.group_id, simple, group.protocol_data, state, kind, False, node, members)


def _offsets(group: Any) -> Offsets:
    return {
        (topic.name, entry.partition_index): entry.committed_offset
        for topic in group.topics
        for entry in topic.partitions
        if not entry.error_code and entry.committed_offset >= 0
    }


def _committed_in_order(group: Any, partitions: Sequence[TopicPartition]) -> list[CommittedOffset] | FacadeError:
    found: dict[tuple[str, int], CommittedOffset] = {}
    for topic in group.topics:
        for entry in topic.partitions:
            if entry.error_code:
                return from_code(entry.error_code, None)
            if entry.committed_offset >= 0:
                # librdkafka appends a NUL to metadata that it commits.
                metadata = (entry.metadata or "").removesuffix("\0")
                place = (topic.name, entry.partition_index)
                found[place] = CommittedOffset(*place, entry.committed_offset, metadata)
    return [found[place] for entry in partitions if (place := (entry.topic, entry.partition)) in found]
