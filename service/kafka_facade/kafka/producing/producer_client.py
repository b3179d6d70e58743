"""A producer client that is replaced after a fatal error."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka import Producer as ClientProducer

from kafka_facade.core.errors import FacadeError, InvalidKafkaRequest
from kafka_facade.core.limits import check_headers
from kafka_facade.core.records.port import SerializedRecord
from kafka_facade.kafka import thread_keys
from kafka_facade.kafka.blocking import Blocking
from kafka_facade.kafka.memory_budget import MemoryBudget, MemoryShare
from kafka_facade.kafka.producing.queued_bytes import QueuedBytes, pairs

logger = logging.getLogger("kafka_facade.kafka")

_OPEN_SECONDS = 20.0
# librdkafka's defaults, in bytes.
_BATCH_SIZE = 1_000_000
_MESSAGE_MAX_BYTES = 1_000_000
# Minimum interval (s) between replacements, because the next client may hit the same fatal error.
_RENEWAL_SECONDS = 1.0
_HASHING = frozenset({"murmur2", "murmur2_random"})
_NOW = 0
_CUT_NAME = "The name of a header cannot hold the character U+0000."  # To the client it would end there.
_NO_EPOCH = "A record of 1970-01-01T00:00:00Z can't be produced: to the Kafka client that is no timestamp."
_GIVEN_UP = frozenset({ClientError._FATAL, ClientError._PURGE_QUEUE, ClientError._PURGE_INFLIGHT})


class ProducerClient:
    """The current client, and replaced ones whose delivery reports are still pending.

    Used on one event loop, but created and destroyed in threads, because that is slow. ``share`` is the memory for its
    queue.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        share: MemoryShare,
        connecting: Blocking,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Create the first client. Call this in a thread; further ones are created in threads of ``connecting``."""
        self._config = dict(config)
        self._share = share
        self._connecting = connecting
        self.largest_request: int = min(
            int(config.get("batch.size", _BATCH_SIZE)), int(config.get("message.max.bytes", _MESSAGE_MAX_BYTES))
        )
        """The maximum size (bytes) of a request."""
        self._most_records = int(config["queue.buffering.max.messages"])
        self.hashes: bool = str(config.get("partitioner")) in _HASHING
        """Whether the partition of a key follows from its murmur2 hash."""
        self.queued = QueuedBytes(int(config["queue.buffering.max.kbytes"]) * 1024)
        self.current = _new_client(self._config)
        self._loop = loop
        # The last fatal error, and whether the current client has it.
        self._fatal: ClientError | None = None
        self.doomed = False
        self._renewed_at = -_RENEWAL_SECONDS
        self._replacing: asyncio.Task[None] | None = None
        self._broken: list[ClientProducer] = []
        self._destructions: set[asyncio.Future[None]] = set()

    def room(self, own: int) -> int:
        """Return how many more records it takes of a lane that has ``own`` in it; see ``QueuedBytes.room``."""
        return max((self._most_records - len(self.current) - own) // 2, 0 if own else 1)

    @property
    def busy(self) -> bool:
        """Whether it must be polled although no record is in flight."""
        return self.doomed or bool(self._broken)

    def serve(self, *, renew: bool) -> None:
        """Poll for delivery reports. With ``renew``, replace a client that has a fatal error."""
        self._poll(self.current)
        if self.doomed and renew and self._replacing is None:
            self._replace()
        if self._broken:
            self._bury()

    def is_doomed_by(self, error: Exception) -> bool:
        """Return whether the error is fatal; the client is then replaced."""
        if not isinstance(error, KafkaException):
            return False
        reason: ClientError = error.args[0]
        if reason.fatal():
            self._fatal = reason
        elif reason.code() != ClientError._FATAL:
            return False
        self.doomed = True
        return True

    def cause(self, error: ClientError) -> ClientError:
        """Return why a record failed: the fatal error, if the client dropped the record because of it."""
        return self._fatal if self._fatal is not None and error.code() in _GIVEN_UP else error

    async def close(self) -> None:
        """Destroy all clients, in a thread; no record may be in flight, and the object must not be used any more."""
        if self._replacing is not None:
            await asyncio.wait([self._replacing])
        await asyncio.gather(*self._destructions, return_exceptions=True)
        owned = [self.current, *self._broken]
        self._broken.clear()
        del self.current
        try:
            await self._loop.run_in_executor(None, owned.clear)
        finally:
            self._share.give_back()

    def _poll(self, client: ClientProducer) -> None:
        # Fatal errors are reported by poll.
        try:
            client.poll(0)
        except KafkaException as error:
            if client is self.current and not self.is_doomed_by(error):
                logger.exception("the Kafka producer can't be served")

    def _replace(self) -> None:
        """Begin to replace the client: after a fatal error (not authorized, broken sequence) it is unusable."""
        now = time.monotonic()
        if now - self._renewed_at < _RENEWAL_SECONDS:
            return
        logger.error("the Kafka producer met a fatal error and is replaced: %s", self._fatal)
        self._renewed_at = now
        self.current.purge(blocking=False)
        self._replacing = self._loop.create_task(self._renew(), name="producer replacement")

    async def _renew(self) -> None:
        try:
            fresh = await self._connecting.run(_OPEN_SECONDS, _new_client, self._config)
        except FacadeError as error:
            logger.warning("the Kafka producer can't be replaced yet: %s", error)
            return
        finally:
            self._replacing = None
        self._broken.append(self.current)
        self.current = fresh
        self.doomed = False

    def _bury(self) -> None:
        """Destroy replaced clients that have no pending reports."""
        for index in reversed(range(len(self._broken))):
            self._poll(self._broken[index])
            if not len(self._broken[index]):
                # Destruction is slow, so do it in a thread; the list has the only reference.
                destruction = self._loop.run_in_executor(None, [self._broken.pop(index)].clear)
                self._destructions.add(destruction)
                destruction.add_done_callback(self._destructions.discard)
        if not self._broken and not self.doomed:
            self._fatal = None


class ProducerOpener:
    """Opens the producer clients of one identity in threads, each with a share of the memory for queued records.

    ``configure`` returns a client's settings for so many bytes of queued records, ``least`` or more.
    """

    def __init__(
        self,
        configure: Callable[[int], Mapping[str, Any]],
        least: int,
        memory: MemoryBudget,
        connecting: Blocking,
    ) -> None:
        self._configure = configure
        self._least = least
        self._memory = memory
        self._connecting = connecting

    async def open(self, changed: Mapping[str, Any], part: int = 0) -> ProducerClient:
        """Create a client with these settings besides the usual ones. ``part``: see ``MemoryBudget.take``.

        Raises TooManyRequests if the process has no room for another one, and KafkaTimeout.
        """
        share = self._memory.take(self._least, part)
        try:
            config = {**self._configure(share.size), **changed}
            loop, connecting = asyncio.get_running_loop(), self._connecting
            return await connecting.run(_OPEN_SECONDS, ProducerClient, config, share, connecting, loop)
        except BaseException:
            share.give_back()
            raise


def _new_client(config: dict[str, Any]) -> ClientProducer:
    with thread_keys.taking():
        return ClientProducer(config)


def extras(record: SerializedRecord) -> dict[str, Any]:
    """Return the rare arguments: timestamp and headers. Raises InvalidKafkaRequest if librdkafka would alter them."""
    if record.timestamp == _NOW:
        raise InvalidKafkaRequest(_NO_EPOCH, field="timestamp")
    extras: dict[str, Any] = {} if record.timestamp is None else {"timestamp": record.timestamp}
    if record.headers:
        check_headers(record.headers)
        if "\0" in "".join([header.name for header in record.headers]):
            raise InvalidKafkaRequest(_CUT_NAME, field="headers")
        extras["headers"] = pairs(record.headers) if record.pairs is None else record.pairs
        record.pairs = None
    return extras
