"""Resends records that Kafka has rejected together with others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import Message

from kafka_facade.core.errors import FacadeError, RetriableKafkaError, TooManyRequests, Unavailable
from kafka_facade.kafka.errors import from_exception
from kafka_facade.kafka.producing.producer_client import ProducerClient, extras
from kafka_facade.kafka.producing.refusals import Refused
from kafka_facade.kafka.producing.submissions import Batch

# Records handed to the client per iteration of the event loop.
_MOST_A_TURN = 2_000
_FULL_QUEUE_SECONDS = 0.002


class Resender:
    """A client with its own settings, created with ``open`` when there is something to resend.

    ``report`` is called with a batch, the index of a record, and its delivery report; ``decide`` with the error of a
    record that the client did not accept.
    """

    def __init__(
        self,
        open: Callable[[], Awaitable[ProducerClient]],
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Batch, int, ClientError | None, Message], None],
        decide: Callable[[Batch, int, FacadeError], None],
    ) -> None:
        self._open = open
        self._loop = loop
        self._report = report
        self._decide = decide
        self.client: ProducerClient | None = None
        self._making: asyncio.Future[ProducerClient] | None = None
        self._waiting: deque[tuple[Batch, deque[Refused]]] = deque()
        self._timer: asyncio.Handle | None = None

    def add(self, batch: Batch, refused: Sequence[Refused]) -> None:
        """Queue these records of a batch, in order, each for its original partition."""
        self._waiting.append((batch, deque(refused)))
        if self.client is not None:
            self._schedule(0)
        else:
            self._begin()

    async def prepare(self) -> None:
        """Create the client, if possible."""
        if self.client is None:
            await asyncio.wait([self._begin()])

    def give_up(self, outcome: FacadeError) -> None:
        """Complete all records that are still queued with this error."""
        while self._waiting:
            batch, refused = self._waiting.popleft()
            for entry in refused:
                self._decide(batch, entry.place, outcome)

    async def close(self) -> None:
        """Destroy the client, in a thread; no record may be in flight."""
        if self._timer is not None:
            self._timer.cancel()
        if self._making is not None:
            await asyncio.wait([self._making])
        if self.client is not None:
            client, self.client, self._making = self.client, None, None
            await client.close()

    def _begin(self) -> asyncio.Future[ProducerClient]:
        if self._making is None:
            self._making = self._loop.create_task(self._make(), name="another producer")
            self._making.add_done_callback(self._made)
        return self._making

    async def _make(self) -> ProducerClient:
        try:
            return await self._open()
        except TooManyRequests:
            raise RetriableKafkaError("The server has no room for another Kafka client.") from None

    def _made(self, making: asyncio.Future[ProducerClient]) -> None:
        if making.cancelled():
            return
        if (error := making.exception()) is not None:
            self._making = None
            self.give_up(from_exception(error))
            return
        self.client = making.result()
        self._hand_over()

    def _schedule(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._hand_over)

    def _hand_over(self) -> None:
        self._timer = None
        left = _MOST_A_TURN
        while self._waiting:
            batch, refused = self._waiting[0]
            while refused:
                if not left:
                    return self._schedule(0)
                if not self._send(batch, refused[0]):
                    return self._schedule(_FULL_QUEUE_SECONDS)
                refused.popleft()
                left -= 1
            self._waiting.popleft()
        return None

    def _send(self, batch: Batch, entry: Refused) -> bool:
        """Hand a record to the client; return False if its queue is full."""
        if self.client is None:
            raise AssertionError("there is no client yet")
        record, queued = batch.records[entry.place], self.client.queued
        if queued.size and queued.size + record.size > queued.most:
            return False
        try:
            if batch.future.cancelled():
                # The caller has disconnected and may retry, so do not send its records now.
                raise Unavailable
            self.client.current.produce(
                batch.topic,
                record.value,
                record.key,
                entry.partition,
                partial(self._report, batch, entry.place),
                **extras(record),
            )
            batch.queued = queued
            queued.size += record.size
            batch.lane.queued_bytes += record.size
        except BufferError:
            return False
        except FacadeError as error:
            self._decide(batch, entry.place, error)
        except Exception as error:
            if self.client.is_doomed_by(error):
                return False
            self._decide(batch, entry.place, from_exception(error))
        return True
