"""A librdkafka consumer that asks for offsets, and commits them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import FacadeError, IllegalConsumerState, PartitionNotFound, TopicNotFound
from kafka_facade.core.topics.positions import CommittedOffset, TopicPartition
from kafka_facade.kafka.admin.coordinators import Coordinators
from kafka_facade.kafka.blocking import positive
from kafka_facade.kafka.consuming.eventful_client import JOIN_SECONDS, JOINING_SECONDS, EventfulClient
from kafka_facade.kafka.consuming.reading_client import GROUP
from kafka_facade.kafka.consuming.serialized_client import ClientSetup
from kafka_facade.kafka.errors import facade_error

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Length (s) of the first part of a call that is made in parts.
_FIRST_PART_SECONDS = 1.0


class OffsetsClient(EventfulClient):
    """Asks the brokers about offsets, in threads."""

    def __init__(self, setup: ClientSetup, coordinators: Coordinators | None) -> None:
        super().__init__(setup)
        self._coordinators = coordinators

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp: int, timeout: float) -> list[int]:
        """For each partition the first offset at or after the timestamp (ms); -1 if there is none."""
        wanted = [ClientPartition(entry.topic, entry.partition, timestamp) for entry in partitions]
        found = await self._in_parts(timeout, ClientConsumer.offsets_for_times, wanted)
        for entry in found:
            if entry.error is not None:
                raise facade_error(entry.error)
        return [entry.offset for entry in found]

    async def commit(
        self, offsets: Mapping[tuple[str, int], int], timeout: float, metadata: Mapping[tuple[str, int], str]
    ) -> None:
        """Commit next-to-read offsets with their metadata, and return once the group coordinator has them."""
        # librdkafka appends a NUL to metadata, even if it is empty.
        wanted = [
            ClientPartition(*place, offset, said) if (said := metadata.get(place)) else ClientPartition(*place, offset)
            for place, offset in offsets.items()
        ]
        try:
            found = await self._ask(timeout, ClientConsumer.commit, offsets=wanted, asynchronous=False)
        except TopicNotFound:
            # Kafka has one error code for unknown topics and partitions; here a partition was named.
            raise PartitionNotFound from None
        for entry in found or ():
            if entry.error is not None:
                failure = facade_error(entry.error)
                where = {"topic": entry.topic, "partition": str(entry.partition)}
                raise PartitionNotFound(**where) if isinstance(failure, TopicNotFound) else failure

    async def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[CommittedOffset]:
        """The group's committed offsets; partitions without one are omitted.

        Uses kafka-python if it can connect; otherwise librdkafka, and then metadata is empty.
        """
        if self._closed:
            raise IllegalConsumerState
        if self._coordinators is not None:
            # librdkafka's client reports it if Kafka rejects the credentials.
            self._serve_from_now_on()
            with self._authentication.waiting():
                return await self._coordinators.committed_of(self._config["group.id"], partitions, timeout)
        wanted = [ClientPartition(entry.topic, entry.partition) for entry in partitions]
        found = await self._ask(timeout, ClientConsumer.committed, wanted, timeout=positive(timeout))
        for entry in found:
            if entry.error is not None:
                raise facade_error(entry.error)
        # Ignore the metadata: confluent-kafka reads past its end in memory.
        return [CommittedOffset(entry.topic, entry.partition, entry.offset, "") for entry in found if entry.offset >= 0]

    @property
    def _is_joining(self) -> bool:
        return self._subscribed and not (self._assigned or self._failures)

    async def _ask(
        self, within: float, call: Callable[Concatenate[ClientConsumer, _P], _T], *args: _P.args, **named: _P.kwargs
    ) -> _T:
        """Make a call to the group coordinator, unless the group is known to reject this member."""
        await self.open()
        known = time.monotonic() + min(within, JOINING_SECONDS)
        while self._is_joining and time.monotonic() < known:  # noqa: ASYNC110  the client has to be asked
            await asyncio.sleep(JOIN_SECONDS)
        if GROUP in self._failures:
            raise self._failures[GROUP]
        return await self._in_thread(within, call, *args, **named)

    async def _in_parts(self, within: float, call: Any, *args: Any) -> Any:
        """Make a repeatable call with increasing timeouts.

        librdkafka reports rejected credentials only between calls; a report then ends the call.
        """
        await self.open()
        deadline = time.monotonic() + within
        part = _FIRST_PART_SECONDS
        while True:
            began = time.monotonic()
            seconds = min(part, deadline - began)
            try:
                return await self._in_thread(seconds, call, *args, timeout=positive(seconds))
            except FacadeError as error:
                ended = time.monotonic()
                if not error.codes.retriable or seconds < part or ended - began < part / 2:
                    raise
            await self._until_free(max(0.0, deadline - ended))
            self._read_ahead(1)
            # Its callback is scheduled for the next iteration of the loop.
            await asyncio.sleep(0)
            self._authentication.check()
            part *= 2
