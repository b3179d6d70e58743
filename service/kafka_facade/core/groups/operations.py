"""Consumer groups, their members and their lag (reference: "Consumer Group (v3)"; KIP-848)."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_facade.core.call import Call
from kafka_facade.core.errors import (
    ConsumerGroupNotFound,
    FacadeError,
    KafkaAuthorizationFailed,
    NotFound,
    PartitionNotFound,
    TopicNotFound,
)
from kafka_facade.core.groups.assignments import AssignmentDecoder
from kafka_facade.core.groups.lags import lags_of, summary_of
from kafka_facade.core.groups.model import (
    ConsumerAssignment,
    ConsumerAssignments,
    ConsumerGroup,
    ConsumerGroupLagSummary,
    ConsumerLag,
    DescribeGroups,
    GetConsumer,
    GetConsumerAssignment,
    GetConsumerGroup,
    GetConsumerLag,
    GetLagSummary,
    GroupMember,
    ListConsumerAssignments,
    ListConsumerGroups,
    ListConsumerLags,
    ListConsumers,
    MemberRef,
    ReadLags,
    member_of,
)
from kafka_facade.core.groups.port import GroupDescription
from kafka_facade.core.quoting import quote
from kafka_facade.core.registry import also_answers, implements
from kafka_facade.core.time_slices import time_slice
from kafka_facade.core.topics.positions import TopicPartition


class ConsumerGroups:
    """Operations on consumer groups."""

    def __init__(self) -> None:
        self._decoder = AssignmentDecoder()

    def close(self) -> None:
        """Let the threads that decode assignments end."""
        self._decoder.close()

    @implements("api.v3.consumer-groups.list")
    async def list_groups(self, call: Call, request: ListConsumerGroups) -> list[ConsumerGroup]:
        """All consumer groups that may be described, ordered by id."""
        cluster_id = await call.kafka.cluster.check(request.cluster_id, call)
        group_ids = sorted(await call.kafka.groups.list_groups(call.remaining))
        groups = []
        for found in await call.kafka.groups.describe_groups(group_ids, call.remaining):
            if isinstance(found, GroupDescription):
                groups.append(await self._described(cluster_id, found))
            # Skip groups that were deleted since the listing.
            elif not isinstance(found, (ConsumerGroupNotFound, KafkaAuthorizationFailed)):
                raise found
        return groups

    @implements("api.v3.consumer-groups.get")
    async def get_group(self, call: Call, request: GetConsumerGroup) -> ConsumerGroup:
        """One group; ConsumerGroupNotFound."""
        [found] = await self.describe_groups(call, DescribeGroups(request.cluster_id, [request.consumer_group_id]))
        if isinstance(found, FacadeError):
            raise found
        return found

    @also_answers("api.v3.consumer-groups.get", "api.v3.consumers.get", "api.v3.consumer-lags.get")
    async def describe_groups(self, call: Call, request: DescribeGroups) -> Sequence[ConsumerGroup | FacadeError]:
        """Many groups in one go; a group that cannot be described is replaced by its error."""
        own = await call.kafka.cluster.check(request.cluster_id, call)
        found = await call.kafka.groups.describe_groups(request.keys, call.remaining)
        return [await self._described(own, entry) if isinstance(entry, GroupDescription) else entry for entry in found]

    @implements("api.v3.consumers.list")
    async def list_consumers(self, call: Call, request: ListConsumers) -> Sequence[GroupMember]:
        """The members of a group, ordered by id; ConsumerGroupNotFound."""
        group = await self._group(call, request.cluster_id, request.consumer_group_id, "does not exist.")
        return group.consumers

    @implements("api.v3.consumers.get")
    async def get_consumer(self, call: Call, request: GetConsumer) -> GroupMember:
        """One member; ConsumerGroupNotFound, NotFound."""
        return await self._consumer(call, request, NotFound(consumer_id=request.consumer_id))

    @implements("api.v3.consumer-assignments.list")
    async def list_assignments(self, call: Call, request: ListConsumerAssignments) -> Sequence[ConsumerAssignment]:
        """The partitions that a member reads, ordered by topic and partition; ConsumerGroupNotFound, NotFound."""
        message = f"Consumer {quote(request.consumer_id)} does not exist."
        return await self._assignments(call, request, NotFound(message, consumer_id=request.consumer_id))

    @implements("api.v3.consumer-assignments.get")
    async def get_assignment(self, call: Call, request: GetConsumerAssignment) -> ConsumerAssignment:
        """One partition that a member reads; ConsumerGroupNotFound, NotFound."""
        where = MemberRef(request.cluster_id, request.consumer_group_id, request.consumer_id)
        message = f"Consumer {quote(request.consumer_id)} does not exist."
        assigned = await self._assignments(call, where, NotFound(message, consumer_id=request.consumer_id))
        found = assigned.find(request.topic_name, request.partition_id)
        if found is None:
            raise NotFound(topic_name=request.topic_name, partition_id=str(request.partition_id))
        return found

    @implements("api.v3.consumer-lags.list")
    async def list_lags(self, call: Call, request: ListConsumerLags) -> Sequence[ConsumerLag]:
        """The lags of a group, largest first; ConsumerGroupNotFound, NotFound if it has no commit."""
        group = await self._group(call, request.cluster_id, request.consumer_group_id, "could not be found.")
        [found] = await self.read_lags(call, ReadLags(request.cluster_id, [group]))
        if isinstance(found, FacadeError):
            raise found
        if not found:
            raise _no_offsets(request.consumer_group_id)
        return found

    @implements("api.v3.consumer-lags.get")
    async def get_lag(self, call: Call, request: GetConsumerLag) -> ConsumerLag:
        """The lag of a group in one partition; ConsumerGroupNotFound, NotFound if it has no commit there."""
        group = await self._group(call, request.cluster_id, request.consumer_group_id, "could not be found.")
        place = (request.topic_name, request.partition_id)
        [found] = await call.kafka.groups.committed_offsets([group.consumer_group_id], call.remaining)
        if isinstance(found, FacadeError):
            raise found
        if not found:
            raise _no_offsets(group.consumer_group_id)
        if place not in found:
            raise NotFound(topic_name=request.topic_name, partition_id=str(request.partition_id))
        [end] = await call.kafka.groups.end_offsets([TopicPartition(*place)], call.remaining)
        lags = await _lags(group, {place: found[place]}, {place: end})
        if isinstance(lags, FacadeError):
            raise lags
        if not lags:
            raise NotFound(topic_name=request.topic_name, partition_id=str(request.partition_id))
        return lags[0]

    @implements("api.v3.consumer-group-lag-summary.get")
    async def get_lag_summary(self, call: Call, request: GetLagSummary) -> ConsumerGroupLagSummary:
        """The largest and the total lag; ConsumerGroupNotFound, NotFound if the group has no commit."""
        wanted = ListConsumerLags(request.cluster_id, request.consumer_group_id)
        summary = summary_of(await self.list_lags(call, wanted))
        assert summary is not None, "list_lags gives one lag at least"
        return summary

    @also_answers("api.v3.consumer-lags.list", "api.v3.consumer-lags.get", "api.v3.consumer-group-lag-summary.get")
    async def read_lags(self, call: Call, request: ReadLags) -> Sequence[Sequence[ConsumerLag] | FacadeError]:
        """The lags of many groups, with one lookup per partition's end; empty for a group without a commit."""
        await call.kafka.cluster.check(request.cluster_id, call)
        groups = request.keys
        committed = await call.kafka.groups.committed_offsets([g.consumer_group_id for g in groups], call.remaining)
        wanted = list(dict.fromkeys(place for found in committed if isinstance(found, dict) for place in found))
        partitions = [TopicPartition(*place) for place in wanted]
        ends = dict(zip(wanted, await call.kafka.groups.end_offsets(partitions, call.remaining), strict=True))
        return [
            found if isinstance(found, FacadeError) else await _lags(group, found, ends)
            for group, found in zip(groups, committed, strict=True)
        ]

    async def _group(self, call: Call, cluster_id: str | None, group_id: str, otherwise: str) -> ConsumerGroup:
        try:
            return await self.get_group(call, GetConsumerGroup(cluster_id, group_id))
        except ConsumerGroupNotFound as error:
            message = f"Consumer Group {quote(group_id)} {otherwise}"
            raise ConsumerGroupNotFound(message, consumer_group_id=group_id) from error

    async def _assignments(self, call: Call, request: MemberRef, otherwise: NotFound) -> ConsumerAssignments:
        return await (await self._consumer(call, request, otherwise)).assignments()

    async def _consumer(self, call: Call, request: MemberRef, otherwise: NotFound) -> GroupMember:
        group = await self._group(call, request.cluster_id, request.consumer_group_id, "does not exist.")
        found = member_of(group, request.consumer_id)
        if found is None:
            raise otherwise
        return found

    async def _described(self, cluster_id: str, found: GroupDescription) -> ConsumerGroup:
        group_id = found.consumer_group_id
        members = []
        for member in sorted(found.members, key=lambda member: member.consumer_id):
            await time_slice()
            ids = cluster_id, group_id, member.consumer_id
            assignments = self._decoder.of(ids, member.assigned)
            members.append(GroupMember(*ids, member.instance_id, member.client_id, assignments))
        return ConsumerGroup(
            cluster_id,
            group_id,
            found.is_simple,
            found.partition_assignor,
            found.state,
            found.type,
            found.is_mixed,
            found.coordinator_id,
            members,
        )


def _no_offsets(group_id: str) -> NotFound:
    return NotFound("Consumer group offsets could not be found.", consumer_group_id=group_id)


async def _lags(
    group: ConsumerGroup, committed: dict[tuple[str, int], int], ends: dict[tuple[str, int], int | FacadeError]
) -> list[ConsumerLag] | FacadeError:
    known: dict[tuple[str, int], int] = {}
    for place in committed:
        end = ends[place]
        if isinstance(end, int):
            known[place] = end
        # Skip commits in deleted topics, which have no lag.
        elif not isinstance(end, (TopicNotFound, PartitionNotFound)):
            return end
    return await lags_of(group, committed, known)
