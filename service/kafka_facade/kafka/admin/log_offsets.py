"""Where the logs of partitions begin and end, as the brokers say that lead them.

They are asked through kafka-python. ListOffsets of librdkafka 2.16 can end the process: the calling thread and one of
the client's work on the same operation when metadata tells who leads (``query_leaders_async_worker``).
"""

from __future__ import annotations

import asyncio
from collections import ChainMap, defaultdict
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import IsolationLevel
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from kafka_facade.core.errors import (
    FacadeError,
    LeaderNotAvailable,
    PartitionNotFound,
)
from kafka_facade.kafka.admin.leaders import Place
from kafka_facade.kafka.blocking import Blocking, positive, settled_all
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient
from kafka_facade.kafka.protocol.rounds import Find, ask_brokers, is_passing

EARLIEST: Final = -2
LATEST: Final = -1

Answers = dict[Place, int | FacadeError]
# By spec.
_Told = tuple[int | FacadeError, ...]

# How many partitions are in a request.
_PARTITIONS_A_REQUEST: Final = 1_000
# librdkafka's time for a call grows with the square of this, and it holds the interpreter's lock.
_PARTITIONS_A_CALL: Final = 500
# How long (s) partitions that have no leader, or a new one, are asked for again.
_ELECTION_SECONDS: Final = 2.0


class LogOffsets:
    """Asks for offsets, in one request for all the partitions that a broker leads."""

    def __init__(self, client: ProtocolClient, leaders: Find[Place]) -> None:
        self._client = client
        self._leaders = leaders

    async def of(
        self, places: Sequence[Place], specs: Sequence[int], timeout: float, *, stable: bool = False
    ) -> list[Answers]:
        """For each spec, EARLIEST or LATEST, the offset of each partition, or why there is none.

        With ``stable``, LATEST is the last stable offset.
        """

        async def ask(node: int, led: list[Place], left: float) -> dict[Place, _Told | FacadeError]:
            starts = range(0, len(led), _PARTITIONS_A_REQUEST)
            parts = [led[start : start + _PARTITIONS_A_REQUEST] for start in starts]
            asked = (self._ask(node, part, spec, stable, left) for spec in specs for part in parts)
            told = await asyncio.gather(*asked)
            by_spec = [dict(ChainMap(*told[at * len(parts) :][: len(parts)])) for at in range(len(specs))]
            return {place: tuple(answers[place] for answers in by_spec) for place in led}

        found = await ask_brokers(places, timeout, self._leaders, ask, passing=_is_passing, patience=_ELECTION_SECONDS)
        return [
            {place: told if isinstance(told, FacadeError) else told[at] for place, told in found.items()}
            for at in range(len(specs))
        ]

    async def _ask(self, node: int, places: Sequence[Place], spec: int, stable: bool, timeout: float) -> Answers:
        level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED

        def build(_admin: Any) -> Any:
            from kafka.protocol.consumer import ListOffsetsRequest

            topic = ListOffsetsRequest.ListOffsetsTopic
            partition = topic.ListOffsetsPartition
            by_topic: dict[str, list[Any]] = defaultdict(list)
            for name, index in places:
                by_topic[name].append(partition(partition_index=index, timestamp=spec))
            topics = [topic(name=name, partitions=partitions) for name, partitions in by_topic.items()]
            return ListOffsetsRequest(replica_id=-1, isolation_level=level.value, topics=topics, min_version=2)

        try:
            answer = await self._client.send(build, timeout, node=node)
        except FacadeError as error:
            return dict.fromkeys(places, error)
        return await asyncio.to_thread(_read_offsets, answer, places)


class ClientLogOffsets:
    """The same through librdkafka, for security settings that kafka-python doesn't have."""

    def __init__(self, client: AdminClient, blocking: Blocking) -> None:
        self._client = client
        self._blocking = blocking

    async def of(
        self, places: Sequence[Place], specs: Sequence[int], timeout: float, *, stable: bool = False
    ) -> list[Answers]:
        """See :meth:`LogOffsets.of`."""
        wanted = list(dict.fromkeys(places))
        futures = await self._blocking.run(timeout, self._begin, wanted, specs, timeout, stable)
        answers = await settled_all(futures, timeout, [topic for topic, _ in wanted] * len(specs))
        offsets = [answer if isinstance(answer, FacadeError) else answer.offset for answer in answers]
        count = len(wanted)
        return [dict(zip(wanted, offsets[at * count :], strict=False)) for at in range(len(specs))]

    def _begin(self, places: list[Place], specs: Sequence[int], timeout: float, stable: bool) -> list[Any]:
        """The futures of all offsets, spec by spec. Blocks."""
        level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
        for topic in {topic for topic, _ in places}:
            # With the leaders known there is nothing for the client's other thread to do.
            self._client.list_topics(topic, timeout=positive(timeout))
        found: list[Any] = []
        for spec in specs:
            asked = OffsetSpec.earliest() if spec == EARLIEST else OffsetSpec.latest()
            for start in range(0, len(places), _PARTITIONS_A_CALL):
                some = [ClientPartition(*place) for place in places[start : start + _PARTITIONS_A_CALL]]
                futures = self._client.list_offsets(
                    dict.fromkeys(some, asked), isolation_level=level, request_timeout=positive(timeout)
                )
                found += [futures[partition] for partition in some]
        return found


def _read_offsets(answer: Any, places: Sequence[Place]) -> Answers:
    told: Answers = {
        (topic.name, entry.partition_index): _outcome(entry, topic.name)
        for topic in answer.topics
        for entry in topic.partitions
    }
    return {place: told.get(place, PartitionNotFound(topic_name=place[0])) for place in places}


def _outcome(entry: Any, topic: str) -> int | FacadeError:
    if entry.error_code == ClientError.UNKNOWN_TOPIC_OR_PART:
        # Metadata has just named this broker, which knows of that a moment later.
        return LeaderNotAvailable(topic_name=topic)
    return from_code(entry.error_code, None, topic_name=topic) if entry.error_code else int(entry.offset)


def _is_passing(answer: _Told | FacadeError) -> bool:
    return any(map(is_passing, answer)) if isinstance(answer, tuple) else is_passing(answer)
