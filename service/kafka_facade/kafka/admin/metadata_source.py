"""Descriptions of the cluster and of topics through both clients.

librdkafka describes topics with half the CPU time. But it keeps asking a broker that hangs until its socket timeout has
expired; meanwhile the protocol client is asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from kafka_facade.core.clusters.model import Broker, Cluster
from kafka_facade.core.errors import FacadeError, KafkaTimeout
from kafka_facade.core.topics.model import TopicDescription
from kafka_facade.kafka.admin.librdkafka_metadata import ClientMetadata
from kafka_facade.kafka.admin.metadata import Metadata

_T = TypeVar("_T")

logger = logging.getLogger("kafka_facade.kafka")

# How long (s) to wait for librdkafka, and how long not to ask it again after it has been silent.
_ANSWER_SECONDS: Final = 0.5
_SILENCE_SECONDS: Final = 10.0


class Fallback:
    """Decides when another client is asked instead of a client of librdkafka that does not answer."""

    def __init__(self) -> None:
        self._silent_until = float("-inf")

    async def ask(
        self, timeout: float, quick: Callable[[float], Awaitable[_T]], steady: Callable[[float], Awaitable[_T]]
    ) -> _T:
        """Return what ``quick`` answers, which uses librdkafka, or else ``steady``; each is called with a timeout."""
        began = time.monotonic()
        if began >= self._silent_until:
            try:
                async with asyncio.timeout(min(timeout, _ANSWER_SECONDS)):
                    return await quick(_ANSWER_SECONDS)
            except (TimeoutError, KafkaTimeout):
                logger.warning("librdkafka doesn't answer: other brokers are asked for metadata")
                self._silent_until = time.monotonic() + _SILENCE_SECONDS
        return await steady(timeout - (time.monotonic() - began))


class MetadataSource:
    """The interface of :class:`Metadata`, over both clients."""

    def __init__(self, quick: ClientMetadata, steady: Metadata) -> None:
        self._quick = quick
        self._steady = steady
        self._fallback = Fallback()

    async def describe_cluster(self, timeout: float) -> tuple[Cluster, list[Broker]]:
        """The cluster and its live brokers, ordered by id.

        Always asks the protocol client, so that the regular checks of readiness tell it of all brokers.
        """
        return await self._steady.describe_cluster(timeout)

    async def list_topics(self, timeout: float) -> list[TopicDescription]:
        """All topics with their partitions, ordered by name."""
        return await self._fallback.ask(timeout, self._quick.list_topics, self._steady.list_topics)

    async def describe_topics(
        self, names: Sequence[str], timeout: float, *, authorized_operations: bool = False
    ) -> list[TopicDescription | FacadeError]:
        """Describe topics, in order; one that cannot be described is replaced by its error."""

        async def quick(left: float) -> list[TopicDescription | FacadeError]:
            found = await self._quick.describe_topics(names, left, authorized_operations=authorized_operations)
            if any(isinstance(entry, KafkaTimeout) for entry in found):
                raise KafkaTimeout
            return found

        def steady(left: float) -> Awaitable[list[TopicDescription | FacadeError]]:
            return self._steady.describe_topics(names, left, authorized_operations=authorized_operations)

        return await self._fallback.ask(timeout, quick, steady)
