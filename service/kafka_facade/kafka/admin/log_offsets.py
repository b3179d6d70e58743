"""Earliest and latest offsets of partitions and their largest timestamps, from their leaders.

Uses kafka-python, because ListOffsets of librdkafka 2.16 can crash the process: the calling thread and a client thread
race on the same operation when metadata arrives (``query_leaders_async_worker``).
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
MAX_TIMESTAMP: Final = -3
"""The largest timestamp (KIP-734)."""
_MAX_TIMESTAMP_VERSION: Final = 7
_CONSUMER: Final = -1

Answers = dict[Place, int | FacadeError]
# One offset or error per spec.
_Told = tuple[int | FacadeError, ...]

# Maximum number of partitions per request.
_PARTITIONS_A_REQUEST: Final = 1_000
# Maximum number of partitions per librdkafka call, whose time is quadratic while it holds the interpreter lock.
_PARTITIONS_A_CALL: Final = 500
# How long (s) to retry partitions without a leader or with a new one.
_ELECTION_SECONDS: Final = 2.0
_SPECS: Final[dict[int, Any]] = {
    EARLIEST: OffsetSpec.earliest,
    LATEST: OffsetSpec.latest,
    MAX_TIMESTAMP: OffsetSpec.max_timestamp,
}


class LogOffsets:
    """Queries offsets, with one request per broker for all partitions that it leads."""

    def __init__(self, client: ProtocolClient, leaders: Find[Place]) -> None:
        self._client = client
        self._leaders = leaders

    async def of(
        self, places: Sequence[Place], specs: Sequence[int], timeout: float, *, stable: bool = False
    ) -> list[Answers]:
        """For each spec the offset of each partition, or its error; for MAX_TIMESTAMP the timestamp in Unix ms.

        With ``stable``, LATEST is the last stable offset.
        """

        async def ask(node: int, led: list[Place], left: float) -> dict[Place, _Told | FacadeError]:
            asked = (ask_offsets(self._client, node, led, spec, left, stable=stable) for spec in specs)
            by_spec = await asyncio.gather(*asked)
            return {place: tuple(answers[place] for answers in by_spec) for place in led}

        found = await ask_brokers(places, timeout, self._leaders, ask, passing=_is_passing, patience=_ELECTION_SECONDS)
        return [
            {place: told if isinstance(told, FacadeError) else told[at] for place, told in found.items()}
            for at in range(len(specs))
        ]


async def ask_offsets(
    client: ProtocolClient,
    node: int,
    places: Sequence[Place],
    spec: int,
    timeout: float,
    *,
    stable: bool = False,
    replica_id: int = _CONSUMER,
) -> Answers:
    """Ask a broker for one offset of each partition, as :meth:`LogOffsets.of` does.

    Only leaders answer a consumer; followers answer a replica.
    """
    starts = range(0, len(places), _PARTITIONS_A_REQUEST)
    parts = [places[start : start + _PARTITIONS_A_REQUEST] for start in starts]
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED

    async def ask(part: Sequence[Place]) -> Answers:
        def build(_admin: Any) -> Any:
            from kafka.protocol.consumer import ListOffsetsRequest

            topic = ListOffsetsRequest.ListOffsetsTopic
            partition = topic.ListOffsetsPartition
            by_topic: dict[str, list[Any]] = defaultdict(list)
            for name, index in part:
                by_topic[name].append(partition(partition_index=index, timestamp=spec))
            topics = [topic(name=name, partitions=partitions) for name, partitions in by_topic.items()]
            version = _MAX_TIMESTAMP_VERSION if spec == MAX_TIMESTAMP else 2
            return ListOffsetsRequest(
                replica_id=replica_id, isolation_level=level.value, topics=topics, min_version=version
            )

        try:
            answer = await client.send(build, timeout, node=node)
        except FacadeError as error:
            return dict.fromkeys(part, error)
        return await asyncio.to_thread(_read_offsets, answer, part, spec)

    return dict(ChainMap(*await asyncio.gather(*map(ask, parts))))


class ClientLogOffsets:
    """The same through librdkafka, for security settings that kafka-python does not support."""

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
        count = len(wanted)
        return [
            {
                place: answer if isinstance(answer, FacadeError) else int(_told(answer, spec))
                for place, answer in zip(wanted, answers[at * count :], strict=False)
            }
            for at, spec in enumerate(specs)
        ]

    def _begin(self, places: list[Place], specs: Sequence[int], timeout: float, stable: bool) -> list[Any]:
        """Start the requests and return their futures, spec by spec. Blocks."""
        level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
        for topic in {topic for topic, _ in places}:
            # Fetch the leaders first, so that the racing client thread has nothing to do.
            self._client.list_topics(topic, timeout=positive(timeout))
        found: list[Any] = []
        for spec in specs:
            asked = _SPECS[spec]()
            for start in range(0, len(places), _PARTITIONS_A_CALL):
                some = [ClientPartition(*place) for place in places[start : start + _PARTITIONS_A_CALL]]
                futures = self._client.list_offsets(
                    dict.fromkeys(some, asked), isolation_level=level, request_timeout=positive(timeout)
                )
                found += [futures[partition] for partition in some]
        return found


def _read_offsets(answer: Any, places: Sequence[Place], spec: int) -> Answers:
    told: Answers = {
        (topic.name, entry.partition_index): _outcome(entry, topic.name, spec)
        for topic in answer.topics
        for entry in topic.partitions
    }
    return {place: told.get(place, PartitionNotFound(topic_name=place[0])) for place in places}


def _outcome(entry: Any, topic: str, spec: int) -> int | FacadeError:
    if entry.error_code == ClientError.UNKNOWN_TOPIC_OR_PART:
        # The metadata names this broker as leader, but the broker does not know it yet.
        return LeaderNotAvailable(topic_name=topic)
    if entry.error_code:
        return from_code(entry.error_code, None, topic_name=topic)
    return int(_told(entry, spec))


def _told(entry: Any, spec: int) -> Any:
    return entry.timestamp if spec == MAX_TIMESTAMP else entry.offset


def _is_passing(answer: _Told | FacadeError) -> bool:
    return any(map(is_passing, answer)) if isinstance(answer, tuple) else is_passing(answer)
