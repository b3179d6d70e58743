"""Where the logs of partitions begin and end, as the brokers say that lead them.

They are asked through kafka-python. ListOffsets of librdkafka 2.16 can end the process: the calling thread and one of
the client's work on the same operation when metadata tells who leads (``query_leaders_async_worker``).
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from confluent_kafka import IsolationLevel
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from kafka_facade.core.errors import (
    FacadeError,
    KafkaTimeout,
    LeaderNotAvailable,
    PartitionNotFound,
    RetriableKafkaError,
)
from kafka_facade.core.topics.model import TopicDescription
from kafka_facade.kafka.blocking import Blocking, positive, settled_all
from kafka_facade.kafka.errors import from_code
from kafka_facade.kafka.protocol.client import ProtocolClient

EARLIEST: Final = -2
LATEST: Final = -1

Place = tuple[str, int]
Answers = dict[Place, int | FacadeError]
Describe = Callable[[Sequence[str], float], Awaitable[Sequence[TopicDescription | FacadeError]]]

# How many partitions are in a request.
_PARTITIONS_A_REQUEST: Final = 1_000
# librdkafka's time for a call grows with the square of this, and it holds the interpreter's lock.
_PARTITIONS_A_CALL: Final = 500
# How long (s) partitions that have no leader, or a new one, are asked for again, and how often.
_ELECTION_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.1


class LogOffsets:
    """Asks for offsets, in one request for all the partitions that a broker leads."""

    def __init__(self, client: ProtocolClient, describe: Describe) -> None:
        self._client = client
        self._describe = describe

    async def of(
        self, places: Sequence[Place], specs: Sequence[int], timeout: float, *, stable: bool = False
    ) -> list[Answers]:
        """For each spec, EARLIEST or LATEST, the offset of each partition, or why there is none.

        With ``stable``, LATEST is the last stable offset.
        """
        deadline = time.monotonic() + timeout
        patience: float | None = None
        found: list[Answers] = [{} for _ in specs]
        wanted = list(dict.fromkeys(places))
        while wanted:
            leaders = await self._leaders(wanted, deadline - time.monotonic())
            by_node: dict[int, list[Place]] = defaultdict(list)
            for place, leader in leaders.items():
                if isinstance(leader, FacadeError):
                    for answers in found:
                        answers[place] = leader
                else:
                    by_node[leader].append(place)
            used = self._client.connections
            left = deadline - time.monotonic()
            requests = [
                (answers, self._ask(node, led[start : start + _PARTITIONS_A_REQUEST], spec, stable, left))
                for node, led in by_node.items()
                for start in range(0, len(led), _PARTITIONS_A_REQUEST)
                for answers, spec in zip(found, specs, strict=True)
            ]
            told = await asyncio.gather(*(asked for _, asked in requests))
            for (answers, _), some in zip(requests, told, strict=True):
                answers |= some
            if any(_has_failed(answer) for some in told for answer in some.values()):
                # A connection may be one that stays broken, or the broker too new for them.
                self._client.renew(used)
            # From the first answer on: a broker that hangs takes long to give none.
            if patience is None:
                patience = min(deadline, time.monotonic() + _ELECTION_SECONDS)
            wanted = [place for place in wanted if any(_is_passing(answers[place]) for answers in found)]
            if time.monotonic() + _PAUSE_SECONDS >= patience:
                break
            if wanted:
                await asyncio.sleep(_PAUSE_SECONDS)
        return found

    async def _leaders(self, places: Sequence[Place], timeout: float) -> dict[Place, int | FacadeError]:
        """The broker that leads each partition."""
        names = list(dict.fromkeys(topic for topic, _ in places))
        described = dict(zip(names, await self._describe(names, timeout), strict=True))
        leaders = {
            (name, partition.partition_id): partition.leader_id
            for name, topic in described.items()
            if not isinstance(topic, FacadeError)
            for partition in topic.partitions
        }
        found: dict[Place, int | FacadeError] = {}
        for place in places:
            topic = described[place[0]]
            if isinstance(topic, FacadeError):
                found[place] = topic
            elif place not in leaders:
                found[place] = PartitionNotFound(topic_name=place[0])
            else:
                leader = leaders[place]
                found[place] = LeaderNotAvailable(topic_name=place[0]) if leader is None else leader
        return found

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
            answer = await self._client.send(build, timeout, again=False, node=node, keep=True)
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


def _has_failed(answer: int | FacadeError) -> bool:
    """Whether it is the connection that gave no answer. One that takes too long is closed by itself."""
    return isinstance(answer, RetriableKafkaError) and not isinstance(answer, KafkaTimeout)


def _is_passing(answer: int | FacadeError) -> bool:
    """Whether it may be another one soon: the partition has no leader, or a new one, or that hasn't answered."""
    return isinstance(answer, FacadeError) and (answer.codes.retriable or isinstance(answer, LeaderNotAvailable))
