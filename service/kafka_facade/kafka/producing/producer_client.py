"""A producer client that another one replaces after a fatal error."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka import Producer as ClientProducer

from kafka_facade.core.errors import InvalidKafkaRequest
from kafka_facade.core.records.port import SerializedRecord

logger = logging.getLogger("kafka_facade.kafka")

# A client that has met a fatal error is replaced, but not more often than this (s): the next one may meet it too.
_RENEWAL_SECONDS = 1.0
_NOW = 0
_CUT_NAME = "The name of a header cannot hold the character U+0000."  # To the client it would end there.
_NO_EPOCH = "A record of 1970-01-01T00:00:00Z can't be produced: to the Kafka client that is no timestamp."
_GIVEN_UP = frozenset({ClientError._FATAL, ClientError._PURGE_QUEUE, ClientError._PURGE_INFLIGHT})


class ProducerClient:
    """The present client, and those that it has replaced while reports of theirs are still to come.

    Used on one event loop. To make one takes a while: past the start-up of the process that is done in a thread.
    """

    def __init__(self, config: Mapping[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self._config = dict(config)
        self.current = ClientProducer(self._config)
        self._loop = loop
        # The last fatal error, and whether it is the present client that has met it.
        self._fatal: ClientError | None = None
        self.doomed = False
        self._renewed_at = -_RENEWAL_SECONDS
        self._broken: list[ClientProducer] = []
        self._destructions: set[asyncio.Future[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether it has to be served although no record is in flight."""
        return self.doomed or bool(self._broken)

    def serve(self, *, renew: bool) -> None:
        """Call back for the reports that have arrived. With ``renew`` a client with a fatal error is replaced."""
        self._poll(self.current)
        if self.doomed and renew:
            self._replace()
        if self._broken:
            self._bury()

    def is_doomed_by(self, error: Exception) -> bool:
        """Whether the error is fatal to the client, which another one takes over from then."""
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
        """The reason why a record failed: the fatal error, where that made the client give up the record."""
        return self._fatal if self._fatal is not None and error.code() in _GIVEN_UP else error

    async def close(self) -> None:
        """Wait until the clients that were replaced are destroyed."""
        await asyncio.gather(*self._destructions, return_exceptions=True)

    def _poll(self, client: ClientProducer) -> None:
        # It is here that a client tells of a fatal error.
        try:
            client.poll(0)
        except KafkaException as error:
            if client is self.current and not self.is_doomed_by(error):
                logger.exception("the Kafka producer can't be served")

    def _replace(self) -> None:
        """A fatal error (no right to write, a broken sequence) is for good to a client: go on with a new one."""
        now = time.monotonic()
        if now - self._renewed_at < _RENEWAL_SECONDS:
            return
        logger.error("the Kafka producer met a fatal error and is replaced: %s", self._fatal)
        self._renewed_at = now
        self.current.purge(blocking=False)
        self._broken.append(self.current)
        self.current = ClientProducer(self._config)
        self.doomed = False

    def _bury(self) -> None:
        """Let go of clients that were replaced, once the last of their reports is in."""
        for index in reversed(range(len(self._broken))):
            self._poll(self._broken[index])
            if not len(self._broken[index]):
                # To destroy a client takes a while; the list is its only owner.
                destruction = self._loop.run_in_executor(None, [self._broken.pop(index)].clear)
                self._destructions.add(destruction)
                destruction.add_done_callback(self._destructions.discard)
        if not self._broken and not self.doomed:
            self._fatal = None


def extras(record: SerializedRecord) -> dict[str, Any]:
    """What few records have: a timestamp, headers. InvalidKafkaRequest for what the client wouldn't take as it is."""
    if record.timestamp == _NOW:
        raise InvalidKafkaRequest(_NO_EPOCH, field="timestamp")
    extras: dict[str, Any] = {} if record.timestamp is None else {"timestamp": record.timestamp}
    if record.headers:
        if any("\0" in header.name for header in record.headers):
            raise InvalidKafkaRequest(_CUT_NAME, field="headers")
        extras["headers"] = [(header.name, header.value) for header in record.headers]
    return extras
