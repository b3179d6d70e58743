"""Resending of rejected records: when they are resent, and by which client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

from confluent_kafka import KafkaError as ClientError

from kafka_facade.core.errors import FacadeError
from kafka_facade.kafka.producing import refusals
from kafka_facade.kafka.producing.clients import Clients
from kafka_facade.kafka.producing.refusals import Refused
from kafka_facade.kafka.producing.submissions import NONE_REFUSED, Batch, Series
from kafka_facade.kafka.producing.topic_limits import UNKNOWN, Limits, TopicLimits, objection

_INNOCENT: Final = ClientError._INVALID_DIFFERENT_RECORD


class RefusedBatches:
    """Resends rejected records in order. Used on one event loop.

    ``conclude`` completes a record that is not resent; ``failure`` translates a client error for a record.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clients: Clients,
        limits: TopicLimits,
        conclude: Callable[[Batch, int, FacadeError], None],
        failure: Callable[[Batch, int, ClientError], FacadeError],
    ) -> None:
        self._loop = loop
        self._clients = clients
        self._limits = limits
        self._conclude = conclude
        self._failure = failure
        self._judging: set[asyncio.Task[None]] = set()
        # Set at shutdown: nothing is resent any more.
        self._ended = False

    def add(self, batch: Batch, entry: Refused) -> None:
        """Keep a record that may have been rejected because of another one until the rest of the batch is complete."""
        if not batch.refused:
            batch.refused = []
            if batch.series is not None:
                batch.series.held = True
        batch.refused.append(entry)
        batch.lane.refused_records += 1

    def hold(self, batch: Batch, limits: Limits) -> None:
        """Treat records that were not handed over as rejected: they are resent once earlier ones are complete."""
        first = batch.hand_over_rest()
        batch.start()
        for place in range(first, len(batch.records)):
            record = batch.records[place]
            partition = batch.partition if record.partition is None else record.partition
            self.add(batch, Refused(place, partition, limits.forbid(record) or _INNOCENT))

    def take(self, batch: Batch) -> None:
        """Continue with a batch whose incomplete records were all rejected."""
        if batch.series is None:
            self._loop.call_soon(self._send_again, batch)
        else:
            batch.set_under_way(False)
            self._loop.call_soon(self.advance, batch.series)

    def advance(self, series: Series) -> None:
        """Resend the first batch of a held series once no client has any record of the series.

        Otherwise a record still in flight could be stored before an earlier one that is resent.
        """
        if not series.held or series.under_way:
            return
        if not series.batches or not (batch := series.batches[0]).in_flight:
            series.release()
            return
        batch.set_under_way(True)
        self._send_again(batch, series.stored_after(batch))

    def end(self) -> None:
        """Stop resending."""
        self._ended = True
        for judging in self._judging:
            judging.cancel()

    def _send_again(self, batch: Batch, taken: Collection[int] = ()) -> None:
        """Hand rejected records to the next client; fail those whose resending would change the order.

        ``taken`` are partitions in which a record of a later batch is stored already.
        """
        wanted = not batch.future.cancelled() and not self._ended
        refused, batch.refused = batch.refused, NONE_REFUSED
        batch.lane.refused_records -= len(refused)
        chosen: list[Refused] = []
        if wanted:
            batch.client, chosen = refusals.plan(batch.client, refused, batch.records, batch.outcomes, taken)
        if chosen:
            self._clients.send_again(batch, chosen)
        sent = {entry.place for entry in chosen}
        doubtful = []
        for entry in refused:
            if entry.place in sent:
                continue
            if refusals.is_doubtful(batch.records[entry.place], entry.code) and not self._ended:
                doubtful.append(entry)
            else:
                self._conclude(batch, entry.place, refusals.innocent(batch.topic))
        if doubtful:
            judging = self._loop.create_task(self._judge(batch, doubtful), name="judging refused records")
            self._judging.add(judging)
            judging.add_done_callback(self._judging.discard)

    async def _judge(self, batch: Batch, refused: Sequence[Refused]) -> None:
        """Complete records that cannot be resent, with errors according to their topic's configs."""
        limits = UNKNOWN
        try:
            limits = await self._limits.of(batch.topic)
        finally:
            for entry in refused:
                code = objection(batch.records[entry.place], entry.code, limits)
                outcome = refusals.innocent(batch.topic)
                if code is not None:
                    outcome = self._failure(batch, entry.place, ClientError(code))
                self._conclude(batch, entry.place, outcome)
