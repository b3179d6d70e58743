"""Consumer groups through librdkafka's admin client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from confluent_kafka import ConsumerGroupState as ClientState
from confluent_kafka import ConsumerGroupTopicPartitions, ConsumerGroupType, IsolationLevel
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from kafka_facade.core import resources
from kafka_facade.core.errors import ConsumerGroupNotFound, FacadeError, InvalidKafkaRequest, UnknownConsumerGroup
from kafka_facade.core.ports import GroupDescription, MemberDescription
from kafka_facade.core.resources import ConsumerGroupState, TopicPartition
from kafka_facade.kafka.blocking import Blocking, positive, settled, settled_all
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.group_details import GroupDetails, GroupDetailsClient

# The client knows the states of the classic protocol only: for the others see group_details.
_STATES: dict[ClientState, ConsumerGroupState] = {
    ClientState.PREPARING_REBALANCING: ConsumerGroupState.PREPARING_REBALANCE,
    ClientState.COMPLETING_REBALANCING: ConsumerGroupState.COMPLETING_REBALANCE,
    ClientState.STABLE: ConsumerGroupState.STABLE,
    ClientState.DEAD: ConsumerGroupState.DEAD,
    ClientState.EMPTY: ConsumerGroupState.EMPTY,
}
_TYPES: dict[ConsumerGroupType, resources.ConsumerGroupType] = {
    ConsumerGroupType.CLASSIC: resources.ConsumerGroupType.CLASSIC,
    ConsumerGroupType.CONSUMER: resources.ConsumerGroupType.CONSUMER,
}
# Kafka keeps group ids in strings with a 16-bit length.
_MAX_ID_BYTES = 2**15 - 1
# The client's time for a call of ListOffsets grows with the square of this, and it holds the interpreter's lock.
_PARTITIONS_A_CALL = 500


class Groups:
    """The group port over one cluster.

    The client is called in threads: what it does before it returns grows with what is asked for.
    """

    def __init__(self, client: AdminClient, blocking: Blocking, details: GroupDetailsClient) -> None:
        self._client = client
        self._blocking = blocking
        self._details = details

    async def list_groups(self, timeout: float) -> list[str]:
        """The ids of all consumer groups, as far as brokers answer."""
        found = await settled(self._client.list_consumer_groups(request_timeout=positive(timeout)), timeout)
        if found.errors and not found.valid:
            raise from_exception(found.errors[0])
        return [group.group_id for group in found.valid]

    async def describe_groups(self, group_ids: Sequence[str], timeout: float) -> list[GroupDescription | FacadeError]:
        """These groups, in order; one that can't be described is its error."""
        wanted = [group_id for group_id in dict.fromkeys(group_ids) if _is_possible(group_id)]
        answers: dict[str, Any] = {}
        if wanted:
            futures = await self._blocking.run(
                timeout, self._client.describe_consumer_groups, wanted, request_timeout=positive(timeout)
            )
            answers = dict(zip(futures, await settled_all(list(futures.values()), timeout), strict=True))
        found = [_described(group_id, answers.get(group_id)) for group_id in group_ids]
        described = [entry for entry in found if isinstance(entry, GroupDescription)]
        details = await self._details.details(described, timeout)
        return [_completed(entry, details) if isinstance(entry, GroupDescription) else entry for entry in found]

    async def committed_offsets(
        self, group_ids: Sequence[str], timeout: float
    ) -> list[dict[tuple[str, int], int] | FacadeError]:
        """For each group the next-to-read offsets that it has committed, by topic and partition."""
        futures = await self._blocking.run(timeout, self._ask_committed, group_ids, timeout)
        answers = await settled_all(futures, timeout)
        return [answer if isinstance(answer, FacadeError) else _offsets(answer) for answer in answers]

    async def end_offsets(self, partitions: Sequence[TopicPartition], timeout: float) -> list[int | FacadeError]:
        """The last stable offset of each partition, in order, from one round of requests."""
        wanted = list(dict.fromkeys((entry.topic, entry.partition) for entry in partitions))
        futures = await self._blocking.run(timeout, self._ask_ends, wanted, timeout)
        answers = dict(zip(futures, await settled_all(list(futures.values()), timeout), strict=True))
        found = [answers[entry.topic, entry.partition] for entry in partitions]
        return [answer if isinstance(answer, FacadeError) else answer.offset for answer in found]

    def _ask_committed(self, group_ids: Sequence[str], timeout: float) -> list[Future[Any]]:
        # The client takes one group a call; the requests go out together all the same.
        return [
            self._client.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group_id)], request_timeout=positive(timeout)
            )[group_id]
            for group_id in group_ids
        ]

    def _ask_ends(self, wanted: Sequence[tuple[str, int]], timeout: float) -> dict[tuple[str, int], Future[Any]]:
        found: dict[tuple[str, int], Future[Any]] = {}
        for start in range(0, len(wanted), _PARTITIONS_A_CALL):
            chunk = wanted[start : start + _PARTITIONS_A_CALL]
            futures = self._client.list_offsets(
                {ClientPartition(*place): OffsetSpec.latest() for place in chunk},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=positive(timeout),
            )
            found |= {(partition.topic, partition.partition): future for partition, future in futures.items()}
        return found


def _is_possible(group_id: str) -> bool:
    """Whether a group can have this id; the client can't send others."""
    try:
        return "\0" not in group_id and 0 < len(group_id.encode()) <= _MAX_ID_BYTES
    except UnicodeEncodeError:
        return False


def _described(group_id: str, answer: Any) -> GroupDescription | FacadeError:
    # Of a group of another kind (Connect) the client says that it is an invalid argument.
    if answer is None or isinstance(answer, (ConsumerGroupNotFound, InvalidKafkaRequest)):
        return UnknownConsumerGroup(consumer_group_id=group_id)
    if isinstance(answer, FacadeError):
        return answer
    if answer.is_simple_consumer_group and answer.state is ClientState.DEAD:
        # This is how brokers describe groups that they don't know.
        return UnknownConsumerGroup(consumer_group_id=group_id)
    coordinator = answer.coordinator
    return GroupDescription(
        group_id,
        answer.is_simple_consumer_group,
        answer.partition_assignor,
        _STATES.get(answer.state, ConsumerGroupState.UNKNOWN),
        _TYPES.get(answer.type, resources.ConsumerGroupType.UNKNOWN),
        False,
        coordinator.id if coordinator is not None and coordinator.id >= 0 else None,
        [
            MemberDescription(
                member.member_id, member.group_instance_id, member.client_id, _partitions(member.assignment)
            )
            for member in answer.members
        ],
    )


def _completed(group: GroupDescription, details: Mapping[str, GroupDetails]) -> GroupDescription:
    found = details.get(group.consumer_group_id)
    if found is None:
        return group
    state = found.state if group.state is ConsumerGroupState.UNKNOWN else group.state
    return replace(group, state=state, is_mixed=found.is_mixed)


def _partitions(assignment: Any) -> list[TopicPartition]:
    entries = assignment.topic_partitions if assignment is not None else None
    return [TopicPartition(entry.topic, entry.partition) for entry in entries or ()]


def _offsets(answer: Any) -> dict[tuple[str, int], int]:
    return {
        (entry.topic, entry.partition): entry.offset
        for entry in answer.topic_partitions or ()
        if entry.error is None and entry.offset >= 0
    }
