"""Consumer groups: descriptions and committed offsets from coordinators, end offsets from partition leaders."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_facade.core.errors import ConsumerGroupNotFound, FacadeError, InvalidKafkaRequest
from kafka_facade.core.groups.port import GroupDescription
from kafka_facade.core.kafka_text import is_possible
from kafka_facade.core.topics.positions import TopicPartition
from kafka_facade.kafka.admin.coordinators import Coordinators
from kafka_facade.kafka.admin.librdkafka_groups import ClientGroups
from kafka_facade.kafka.admin.log_offsets import LATEST, ClientLogOffsets, LogOffsets


class Groups:
    """The group port over one cluster."""

    def __init__(self, coordinators: Coordinators | ClientGroups, log_offsets: LogOffsets | ClientLogOffsets) -> None:
        self._coordinators = coordinators
        self._log_offsets = log_offsets

    async def list_groups(self, timeout: float) -> list[str]:
        """The ids of all consumer groups on brokers that answer."""
        return await self._coordinators.list_groups(timeout)

    async def describe_groups(self, group_ids: Sequence[str], timeout: float) -> list[GroupDescription | FacadeError]:
        """Describe groups, in order; one that cannot be described is replaced by its error."""
        wanted = [group_id for group_id in dict.fromkeys(group_ids) if group_id and is_possible(group_id)]
        answers = await self._coordinators.describe(wanted, timeout) if wanted else {}
        return [_known(group_id, answers.get(group_id)) for group_id in group_ids]

    async def committed_offsets(
        self, group_ids: Sequence[str], timeout: float
    ) -> list[dict[tuple[str, int], int] | FacadeError]:
        """For each group its committed offsets (the next to read), by topic and partition."""
        answers = await self._coordinators.committed(group_ids, timeout)
        return [answers[group_id] for group_id in group_ids]

    async def end_offsets(self, partitions: Sequence[TopicPartition], timeout: float) -> list[int | FacadeError]:
        """The last stable offset of each partition, in order, from one round of requests."""
        places = [(entry.topic, entry.partition) for entry in partitions]
        [found] = await self._log_offsets.of(places, (LATEST,), timeout, stable=True)
        return [found[place] for place in places]


def _known(group_id: str, answer: GroupDescription | FacadeError | None) -> GroupDescription | FacadeError:
    # librdkafka reports a group of another kind (Connect) as an invalid argument.
    if answer is None or isinstance(answer, (ConsumerGroupNotFound, InvalidKafkaRequest)):
        return ConsumerGroupNotFound(consumer_group_id=group_id)
    return answer
