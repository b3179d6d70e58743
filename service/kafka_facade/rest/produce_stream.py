"""A streaming v3 produce request, which receives records and returns answers at the same time.

One task reads documents, and the handler writes answers. The pump (:mod:`kafka_facade.core.records.pump`) connects the
two.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from kafka_facade.core.errors import FacadeError, InvalidPayload, MalformedBody, TooManyRequests, Unavailable
from kafka_facade.core.records.model import StreamRecords
from kafka_facade.core.records.pump import Batch, RecordPump
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.errors import as_facade_error
from kafka_facade.rest.exchange import Exchange
from kafka_facade.rest.json_stream import Document, JsonSplitter
from kafka_facade.rest.record_decoding import Answer, encode_answers, named_cluster
from kafka_facade.rest.record_documents import decode_records
from kafka_facade.web.body import ClientDisconnected

logger = logging.getLogger("kafka_facade.rest")

MAX_BATCH: Final = 500
"""Maximum number of records that are produced and answered together."""
_HEADERS: Final = ((b"vary", b"Accept-Encoding"), (b"content-type", b"application/json"))
_MAX_WRITE: Final = 256 * 1024
# After its maximum duration a stream gets this long (s), plus the timeout of a call, to write its last answers.
_GRACE_SECONDS: Final = 5.0


async def answers_of(batch: Batch[None]) -> list[Answer]:
    """Return one answer per record, in order. Raises Unavailable, for the whole request, if the server closes."""
    if isinstance(batch.error, Unavailable):
        raise batch.error
    return list(await batch.reports())


class RecordStream:
    """One request with many records."""

    def __init__(self, exchange: Exchange, splitter: JsonSplitter, *, complete: bool = False) -> None:
        self._exchange = exchange
        self._splitter = splitter
        self._cluster_id = named_cluster(exchange.parameters)
        self._complete = complete
        options = exchange.options
        self._pump: RecordPump[None] = RecordPump(
            exchange.core,
            exchange.call,
            exchange.reservation.caller,
            options.stream_max_in_flight_bytes,
            options.stream_max_in_flight,
        )
        self._gone = False
        self._record_deadline: float | None = None

    async def run(self, documents: list[Document]) -> None:
        """Serve until the body ends or is invalid, the caller disconnects, or the server closes; answer what was read.

        ``documents`` were read before, and are removed from the list. Raises only errors that are the response to the
        whole request.
        """
        loop = asyncio.get_running_loop()
        rest = self._exchange.renewed_call().remaining + _GRACE_SECONDS
        try:
            async with asyncio.timeout(None) as limit:

                def stop() -> None:
                    self._pump.stop()
                    limit.reschedule(loop.time() + rest)

                timer = loop.call_later(self._exchange.options.stream_max_seconds, stop)
                try:
                    async with self._pump.reading(self._read(documents), stop):
                        await self._write()
                except TooManyRequests:
                    if not self._pump.aborted:
                        raise
                    self._exchange.connection.cut_off(at_once=True)
                    if not self._exchange.connection.started:
                        raise
                finally:
                    timer.cancel()
        except TimeoutError:
            logger.warning("aborted a produce stream: the client did not read its responses")

    async def _receive(self) -> tuple[bytes, bool]:
        """Return the next part of the body and whether more follow.

        Raises MalformedBody if a partial record is not completed in time, and ClientDisconnected.
        """
        try:
            async with asyncio.timeout_at(self._record_deadline):
                return await self._pump.receive(self._exchange.read(), begun=not self._splitter.clean)
        except TimeoutError:
            seconds = self._exchange.options.record_seconds
            raise MalformedBody(f"A record was not complete after {seconds:g} s.") from None

    def _watch_record(self, *, begun: bool) -> None:
        """Set the timer of a partial record: a stream may pause only between records. ``begun`` restarts it."""
        if self._splitter.clean:
            self._record_deadline = None
        elif begun or self._record_deadline is None:
            self._record_deadline = asyncio.get_running_loop().time() + self._exchange.options.record_seconds

    async def _read(self, documents: list[Document]) -> None:
        failure: FacadeError | None = None
        try:
            self._watch_record(begun=True)
            healthy = await self._enqueue(documents)
            more = not self._complete
            while healthy and more and self._splitter.error is None and not self._pump.stopping:
                documents, more = await self._next_documents()
                healthy = await self._enqueue(documents)
            if healthy and not more:
                healthy = await self._enqueue(self._splitter.finish())
            if healthy:
                failure = self._splitter.error
            if more and self._pump.cut_off:
                failure = self._pump.stopped_by
        except ClientDisconnected:
            self._gone = True
        except asyncio.CancelledError:
            # Stopped while waiting for data, so no record that was read is lost.
            if not self._pump.stopping:
                raise
            if self._pump.cut_off:
                failure = self._pump.stopped_by
        except Exception as error:
            failure = as_facade_error(error)
        finally:
            self._pump.end(failure)

    async def _next_documents(self) -> tuple[list[Document], bool]:
        data, more = await self._receive()
        # Many streams may receive at the same time.
        await time_slice()
        documents = self._splitter.feed(data)
        self._watch_record(begun=bool(documents))
        return documents, more

    async def _enqueue(self, documents: list[Document]) -> bool:
        """Produce records; return False after a document that is not JSON, whose error is the last answer.

        Clears the list, because callers keep it while the stream pauses.
        """
        for start in range(0, len(documents), MAX_BATCH):
            if not await self._enqueue_batch(documents[start : start + MAX_BATCH]):
                return False
        documents.clear()
        return True

    async def _enqueue_batch(self, documents: list[Document]) -> bool:
        exchange = self._exchange
        await self._pump.room(sum(map(len, documents)), len(documents))
        # A long body that has already arrived must not block the event loop.
        await time_slice()
        call = self._pump.begin()
        decoded = await decode_records(documents, call.remaining, exchange.core)
        # The cluster of the path is not checked (see named_cluster).
        request = StreamRecords(None, exchange.parameters["topic_name"], decoded.records)
        await self._pump.send(None, call, request)
        return not decoded.broken

    async def _write(self) -> None:
        failure: FacadeError | None
        connection = self._exchange.connection
        try:
            await self._write_answers()
            failure = self._pump.failure
            if failure is None and not connection.started and b"content-type" not in connection.headers:
                raise InvalidPayload
        except Exception as error:
            failure = as_facade_error(error)
            if not connection.started:
                raise failure from None
        cut_off = self._pump.cut_off and failure is self._pump.stopped_by
        if failure is not None:
            if cut_off and not connection.started:
                connection.cut_off()
                raise failure
            await self._send(encode_answers([failure], self._cluster_id))
        if cut_off:
            connection.cut_off()
        else:
            await self._send(b"", more=False)

    async def _write_answers(self) -> None:
        while await self._pump.unanswered():
            await self._write_available()

    async def _write_available(self) -> None:
        """Write the answers of the oldest batch, and of those that are available with it."""
        pump = self._pump
        answers = await answers_of(pump.oldest)
        await time_slice()
        body = encode_answers(answers, self._cluster_id)
        count = 1
        while len(body) < _MAX_WRITE and (batch := pump.decided_behind(count)) is not None:
            body += encode_answers(await answers_of(batch), self._cluster_id)
            count += 1
        await self._send(body)
        pump.release(count)

    async def _send(self, body: bytes, *, more: bool = True) -> None:
        if self._gone:
            return
        connection = self._exchange.connection
        with contextlib.suppress(OSError):
            if not connection.started:
                await connection.start(200, _HEADERS)
            if not more:
                await connection.finish(body)
            elif body:
                await connection.write(body)
