"""Reassignments of partitions, for which librdkafka has no request (KIP-455)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.reassignments.port import MovingPartition, Place
from kafka_facade.core.time_slices import in_slices, sorted_in_slices
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient

# org.apache.kafka.common.protocol.Errors
_ELECTION_NOT_NEEDED: Final = 84
# org.apache.kafka.common.ElectionType
_PREFERRED: Final = 0
# The first version with which a request cannot change the number of replicas by mistake (KIP-860).
_KEEPS_REPLICAS_VERSION: Final = 1


class Reassignments:
    """The reassignment port over one cluster."""

    def __init__(self, client: ProtocolClient) -> None:
        self._client = client

    async def list_reassignments(self, timeout: float) -> list[MovingPartition]:
        """All that go on, ordered by topic and partition."""
        limit = max(1, int(timeout * 1000))
        answer = await self._client.send(
            lambda messages: messages.ListPartitionReassignmentsRequest(timeout_ms=limit, topics=None), timeout
        )
        if answer.error_code:
            raise from_code(answer.error_code, answer.error_message)

        def read(entry: tuple[str, Any]) -> MovingPartition:
            topic, partition = entry
            adding, removing = list(partition.adding_replicas), list(partition.removing_replicas)
            return MovingPartition(topic, partition.partition_index, adding, removing)

        moving = ((topic.name, partition) for topic in answer.topics for partition in topic.partitions)
        found = await in_slices(read, moving)
        return await sorted_in_slices(found, lambda entry: (entry.topic, entry.partition))

    async def reassign(self, targets: Mapping[Place, Sequence[int] | None], timeout: float) -> dict[Place, FacadeError]:
        """See :meth:`ReassignmentPort.reassign`."""
        limit = max(1, int(timeout * 1000))

        def build(messages: Any) -> Any:
            request = messages.AlterPartitionReassignmentsRequest
            topic, partition = request.ReassignableTopic, request.ReassignableTopic.ReassignablePartition

            def entry(name: str, number: int) -> Any:
                brokers = targets[name, number]
                return partition(partition_index=number, replicas=None if brokers is None else list(brokers))

            topics = [
                topic(name=name, partitions=[entry(name, number) for number in own])
                for name, own in _by_topic(targets).items()
            ]
            return request(
                timeout_ms=limit,
                allow_replication_factor_change=False,
                topics=topics,
                min_version=_KEEPS_REPLICAS_VERSION,
            )

        answer = await self._client.send(build, timeout)
        if answer.error_code:
            raise from_code(answer.error_code, answer.error_message)
        results = (
            ((topic.name, partition.partition_index), partition.error_code, partition.error_message)
            for topic in answer.responses
            for partition in topic.partitions
        )
        return _failures(results)

    async def elect_preferred(self, places: Sequence[Place], timeout: float) -> dict[Place, FacadeError]:
        """See :meth:`ReassignmentPort.elect_preferred`."""
        limit = max(1, int(timeout * 1000))

        def build(messages: Any) -> Any:
            request = messages.ElectLeadersRequest
            topics = [
                request.TopicPartitions(topic=name, partitions=list(own)) for name, own in _by_topic(places).items()
            ]
            return request(election_type=_PREFERRED, topic_partitions=topics, timeout_ms=limit, min_version=1)

        answer = await self._client.send(build, timeout)
        if answer.error_code:
            raise from_code(answer.error_code, None)
        results = (
            ((topic.topic, partition.partition_id), partition.error_code, partition.error_message)
            for topic in answer.replica_election_results
            for partition in topic.partition_result
        )
        return _failures(results, _ELECTION_NOT_NEEDED)


def _by_topic(places: Iterable[Place]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for topic, partition in places:
        found[topic].append(partition)
    return found


def _failures(results: Iterable[tuple[Place, int, str | None]], harmless: int = 0) -> dict[Place, FacadeError]:
    return {place: from_code(code, message) for place, code, message in results if code and code != harmless}
