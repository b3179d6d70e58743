"""Where the logs of partitions begin and end, through librdkafka's admin client.

Where the client doesn't know the leaders of all partitions, it waits for metadata, in the thread that has called it and
in one of its own. If metadata comes at the wrong moment, the former goes on with a lock that the latter has taken away,
which ends the process. So topics are described first: then their leaders are known.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, TopicCollection
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.resources import TopicPartition
from kafka_facade.core.time_slices import time_slice
from kafka_facade.kafka.blocking import Blocking, positive, settled_all, settled_topics

# The client's time for a call of ListOffsets grows with the square of this, and it holds the interpreter's lock.
_PARTITIONS_A_CALL = 500
_TOPICS_A_CALL = 500
# The client remembers the leaders of a topic for longer than this (s): see metadata.max.age.ms.
_KNOWN_SECONDS = 60.0
_MOST_KNOWN = 10_000


class LogOffsets:
    """Asks for offsets of one cluster. The client is called in threads: that takes a while."""

    def __init__(self, client: AdminClient, blocking: Blocking) -> None:
        self._client = client
        self._blocking = blocking
        # Until when the client knows a topic.
        self._known: dict[str, float] = {}

    async def of(
        self,
        partitions: Sequence[TopicPartition],
        spec: OffsetSpec,
        timeout: float,
        isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> list[int | FacadeError]:
        """The offset of each partition, in order; an error stands in its place."""
        deadline = time.monotonic() + timeout
        failed = await self._describe({entry.topic for entry in partitions}, timeout)
        wanted = dict.fromkeys((entry.topic, entry.partition) for entry in partitions if entry.topic not in failed)
        left = max(0.0, deadline - time.monotonic())
        futures = await self._blocking.run(left, _ask, self._client, list(wanted), spec, left, isolation_level)
        topics = [topic for topic, _ in futures]
        answers = dict(zip(futures, await settled_all(list(futures.values()), left, topics), strict=True))
        found: list[int | FacadeError] = []
        for entry in partitions:
            answer = failed.get(entry.topic) or answers[entry.topic, entry.partition]
            found.append(answer if isinstance(answer, FacadeError) else answer.offset)
        return found

    async def _describe(self, topics: set[str], timeout: float) -> dict[str, FacadeError]:
        """Have the client know the leaders of these topics; the errors of those that can't be described."""
        now = time.monotonic()
        unknown = [topic for topic in topics if self._known.get(topic, 0.0) <= now]
        if not unknown:
            return {}
        futures: dict[str, Future[Any]] = {}
        for start in range(0, len(unknown), _TOPICS_A_CALL):
            await time_slice()
            some = TopicCollection(unknown[start : start + _TOPICS_A_CALL])
            futures |= self._client.describe_topics(some, request_timeout=positive(timeout))
        answers = await settled_topics(futures, timeout)
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        failed = {topic: answer for topic, answer in answers.items() if isinstance(answer, FacadeError)}
        self._known |= dict.fromkeys(answers.keys() - failed.keys(), now + _KNOWN_SECONDS)
        return failed


def _ask(
    client: AdminClient,
    wanted: Sequence[tuple[str, int]],
    spec: OffsetSpec,
    timeout: float,
    isolation_level: IsolationLevel,
) -> dict[tuple[str, int], Future[Any]]:
    """Futures of the offsets of these partitions, each named once."""
    found: dict[tuple[str, int], Future[Any]] = {}
    for start in range(0, len(wanted), _PARTITIONS_A_CALL):
        futures = client.list_offsets(
            {ClientPartition(*place): spec for place in wanted[start : start + _PARTITIONS_A_CALL]},
            isolation_level=isolation_level,
            request_timeout=positive(timeout),
        )
        found |= {(partition.topic, partition.partition): future for partition, future in futures.items()}
    return found
