"""A librdkafka consumer whose messages become records, a few at a time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import starmap
from typing import cast

from confluent_kafka import Consumer as ClientConsumer
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message
from confluent_kafka import TopicPartition as ClientPartition

from kafka_facade.core.errors import FacadeError, IllegalConsumerState, TopicNotFound
from kafka_facade.core.records.headers import count_bytes
from kafka_facade.core.records.model import Header, Record
from kafka_facade.core.time_slices import time_slice
from kafka_facade.kafka.consuming.incoming import Headers, Incoming
from kafka_facade.kafka.consuming.pausing_client import AssignedPartition, PausingClient
from kafka_facade.kafka.consuming.serialized_client import BUSY_SECONDS, ClientSetup
from kafka_facade.kafka.errors import facade_error, from_exception
from kafka_facade.kafka.text import replacing_invalid_text

logger = logging.getLogger("kafka_facade.kafka")

# Shared by all records without headers, to save an object for each.
_NO_HEADERS: list[Header] = []
# librdkafka reports group-level errors without a topic.
GROUP = ("", 0)
# Records of more bytes are taken in a thread: the client frees prefetched ones of revoked partitions meanwhile.
_LARGE_BYTES = 64 * 1024


class ReadingClient(PausingClient):
    """Takes messages from the client and keeps the records and failures that they are.

    Taking messages also serves the client's events, such as rebalances.
    """

    def __init__(self, setup: ClientSetup) -> None:
        super().__init__(setup)
        # Records returned while serving events: at most one each time, and none while paused.
        self._pending: deque[Record] = deque()
        # Messages that follow the pending records.
        self._incoming = Incoming()
        self._subscribed = False
        # Partitions that were revoked since messages were last taken.
        self._just_revoked: set[tuple[str, int]] = set()
        # The current failure of a partition, or (under GROUP) of the group.
        self._failures: dict[tuple[str, int], FacadeError] = {}
        # librdkafka fetches committed offsets once. If the coordinator has just moved or is not available yet, that
        # fails, and the client never starts reading until the partitions are assigned again.
        self._gave_up = False
        self._auto_commit = bool(setup.config.get("enable.auto.commit"))
        # Offsets for the automatic commit that could not be stored yet because the client is busy.
        self._to_store: dict[tuple[str, int], int] = {}
        self._topic_missing = False
        self._largest_uncounted = 0
        # Whether the last records were large.
        self._is_large = False

    def _take_largest(self) -> int:
        """Return the most bytes of key and headers of the records since the last call."""
        largest, self._largest_uncounted = self._largest_uncounted, 0
        return largest

    def _drop_prefetched(self, paused: Sequence[ClientPartition] = ()) -> None:
        """Make the client drop prefetched records of paused partitions, which it does when it is asked for the next.

        Pause ``paused`` first. It does so in a thread, because freeing them may take long.
        """

        def pause(client: ClientConsumer) -> None:
            if paused:
                client.pause(list(paused))

        self._note_pause(paused)
        self._begin_and_drop(None, pause)

    def _begin_to_take(self) -> bool:
        """Begin to take a message in a thread, if prefetched ones may be large; return whether the client is busy.

        A message becomes an incoming one. The client must be free.
        """
        if not (self._is_large and self._subscribed) or self._incoming:
            return False
        if all(partition.paused for partition in self._assigned.values()):
            return False
        self._store()
        self._begin_and_drop(None, _do_nothing)
        return True

    def _begin_and_drop(
        self, on_success: Callable[[], None] | None, method: Callable[[ClientConsumer], object]
    ) -> Future[None]:
        """Start a call in a thread, then make the client drop the prefetched records that it has made obsolete.

        The client does so when it is asked for the next record, which becomes an incoming one. Events are served too.
        """
        taken: list[Message] = []
        self._just_revoked.clear()

        def call(client: ClientConsumer) -> None:
            method(client)
            taken.extend(client.consume(1, 0))

        def done() -> None:
            if on_success is not None:
                on_success()
            self._incoming.append(taken)
            self._incoming.keep(lambda place: place not in self._just_revoked)

        return self._begin(done, call)

    def _read_ahead(self, max_records: int) -> None:
        """Serve events, and keep the records that come with them for the next poll."""
        records = self._consume(max_records)[1]
        # Read self._pending only now: a revocation replaces it while events are served.
        self._pending.extend(records)

    async def _convert_incoming(self, within: float = BUSY_SECONDS) -> None:
        """Wait until no thread uses the client and all messages that were taken from it are pending records.

        Raises KafkaTimeout after ``within`` seconds. Do not await anything before using the client.
        """
        deadline = time.monotonic() + within
        await self._until_free(within)
        while self._incoming:
            # Each may have 100,000 headers.
            await time_slice()
            await self._until_free(max(0.0, deadline - time.monotonic()))
            if self._incoming:
                self._read_ahead(1)

    def _consume(self, max_records: int) -> tuple[int, list[Record]]:
        """Return the number of messages, and the records among them whose partitions are still assigned.

        Messages that take long to convert are left for the next call.
        """
        self._just_revoked.clear()
        self._store()
        messages = self._incoming.take(self._owned, max_records)
        if messages:
            self._authentication.answered()
        with replacing_invalid_text:
            records = self._records(messages)
        if self._to_store:
            self._store()
        if self._just_revoked:
            # A partition that is assigned again is read again from the committed offset, in a later call.
            records = [r for r in records if (r.topic_name, r.partition_id) not in self._just_revoked]
            self._incoming.keep(lambda place: place not in self._just_revoked)
        return len(messages), records

    def _saw(self, place: tuple[str, int], partition: AssignedPartition, offset: int) -> None:
        """Store the start offset of a partition for the automatic commit, as the Java client does.

        Otherwise, with ``auto.offset.reset=latest``, the next member would start at the end and miss records that were
        produced before anything was delivered.
        """
        partition.start = offset
        partition.sought = None
        if not self._subscribed:
            self._failures.pop(GROUP, None)
        if self._auto_commit:
            self._to_store[place] = offset

    def store(self, topic: str, partition: int, offset: int) -> None:
        """Store the next offset for the automatic commit."""
        self._to_store[topic, partition] = offset
        if self._free.is_set():
            self._store()

    def _store(self) -> None:
        """Store pending offsets in the client for its automatic commit; drop those that it rejects."""
        to_store, self._to_store = self._to_store, {}
        for (topic, partition), offset in to_store.items():
            try:
                self._client.store_offsets(offsets=[ClientPartition(topic, partition, offset)])
            except Exception as error:
                # The partition was revoked meanwhile, and its new owner commits.
                if not isinstance(from_exception(error), IllegalConsumerState):
                    logger.warning("offset %d of %s-%d is not committed: %s", offset, topic, partition, error)

    def _records(self, messages: Sequence[Message]) -> list[Record]:
        """Return the records. Events update positions, or become the failure of the next poll."""
        records: list[Record] = []
        assigned, incoming = self._assigned, self._incoming
        largest = self._largest_uncounted
        size = 0
        for index, message in enumerate(messages):
            topic, number, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
            place = topic, number
            error = message.error()
            at_end = error is not None and error.code() == ClientError._PARTITION_EOF
            if error is not None and not at_end:
                self._note(error, place)
                continue
            partition = assigned.get(place)
            if partition is not None:
                partition.position = offset if at_end else offset + 1
                if partition.start is None:
                    self._saw(place, partition, offset)
            if at_end:
                continue
            if self._failures:
                self._failures.pop(place, None)
            kind, timestamp = message.timestamp()
            key = message.key()
            uncounted = 0 if key is None else len(key)
            headers, headers_bytes = _NO_HEADERS, 0
            if found := cast(Headers | None, message.headers()):
                incoming.count_headers(len(found))
                headers = list(starmap(Header, found))
                headers_bytes = count_bytes(headers)
                uncounted += headers_bytes
            if uncounted > largest:
                largest = uncounted
            size = max(size, len(message))
            records.append(
                Record(
                    topic,
                    number,
                    offset,
                    timestamp if kind else None,
                    headers,
                    key,
                    message.value(),
                    headers_bytes,
                )
            )
            if headers and incoming.is_late:
                incoming.put_back(messages[index + 1 :])
                break
        self._largest_uncounted = largest
        if records:
            self._is_large = size > _LARGE_BYTES
        return records

    def _note(self, error: ClientError, place: tuple[str, int]) -> None:
        """Keep a failure for the next poll to report, unless it is transient.

        librdkafka retries after transient errors, except when it fetches committed offsets.
        """
        failure = facade_error(error)
        if isinstance(failure, TopicNotFound):
            # A group member waits for the topic to appear; for a reader without a group it is an error.
            self._topic_missing = True
            if self._grouped:
                return
        elif failure.codes.retriable:
            self._gave_up |= place == GROUP
            return
        self._failures.setdefault(place, failure)


def _do_nothing(client: ClientConsumer) -> None:
    pass
