"""The stream of a v3 produce request: records come in and answers go out at the same time.

One task reads: bytes, documents, records, to the producer, into a queue. Another writes: from the queue, waiting for
each batch's reports, to the caller. The queue bounds the records between the two, so a caller that doesn't read its
answers isn't read from either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from kafka_facade.core.errors import FacadeError, InvalidPayload, MalformedBody
from kafka_facade.core.records.model import RecordOrder
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.errors import as_facade_error
from kafka_facade.rest.exchange import RESPONSE_STARTED, Exchange, Message
from kafka_facade.rest.json_stream import JsonSplitter
from kafka_facade.rest.record_batch import Batch
from kafka_facade.rest.record_decoding import encode_answers, named_cluster

logger = logging.getLogger("kafka_facade.rest")

MAX_BATCH: Final = 500
"""Records that go to the producer, and are answered, together."""
_MAX_WRITE: Final = 256 * 1024
# After the end of its time a stream has this long (s), beyond the time of a call, to deliver its last answers.
_GRACE_SECONDS: Final = 5.0


class _Queue:
    """Batches on their way from the reader to the writer, bounded by their number of records."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: deque[Batch] = deque()
        self._records = 0
        self._closed = False
        self._changed = asyncio.Event()

    async def reserve(self, records: int) -> None:
        """Wait until there is room; one batch always has room in an empty queue."""
        while self._records and self._records + records > self._limit:
            self._changed.clear()
            await self._changed.wait()
        self._records += records

    def put(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    async def first(self) -> Batch | None:
        """The next batch, left in the queue; None once the queue is closed and empty."""
        while not self._batches:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._batches[0]

    def following(self) -> Batch | None:
        """The next batch if it is there and decided."""
        return self._batches[0] if self._batches and self._batches[0].decided else None

    def remove_first(self) -> None:
        """The first batch has been answered: its room is free."""
        self._records -= self._batches.popleft().size
        self._changed.set()


class RecordStream:
    """One request with many records."""

    def __init__(self, exchange: Exchange, splitter: JsonSplitter, *, complete: bool = False) -> None:
        self._exchange = exchange
        self._splitter = splitter
        self._cluster_id = named_cluster(exchange.parameters)
        self._complete = complete
        self._queue = _Queue(exchange.options.stream_max_in_flight)
        self._order = RecordOrder()
        self._failure: FacadeError | None = None
        self._started = False
        self._stopping = False
        self._gone = False
        self._reader: asyncio.Task[None] | None = None
        self._receiving = False
        self._record_deadline: float | None = None

    async def run(self, documents: list[bytes]) -> None:
        """Go on until the body ends, is malformed, the caller is gone or the server closes; then answer the rest.

        ``documents`` are those that were read already. Raises only what is the answer to the whole request.
        """
        loop = asyncio.get_running_loop()
        rest = self._exchange.renewed_call().remaining + _GRACE_SECONDS
        try:
            async with asyncio.timeout(None) as limit:

                def stop() -> None:
                    self._stop()
                    limit.reschedule(loop.time() + rest)

                timer = loop.call_later(self._exchange.options.stream_max_seconds, stop)
                closing = asyncio.create_task(self._at_closing(stop), name="stream at closing")
                self._reader = asyncio.create_task(self._read(documents), name="stream reader")
                try:
                    await self._write()
                finally:
                    timer.cancel()
                    closing.cancel()
                    self._reader.cancel()
                    await asyncio.gather(self._reader, closing, return_exceptions=True)
        except TimeoutError:
            logger.warning("aborted a produce stream: the client did not read its responses")

    async def _at_closing(self, stop: Callable[[], None]) -> None:
        await self._exchange.facade.pipeline.closing.wait()
        stop()

    def _stop(self) -> None:
        """Read no more. What was read is still produced and answered."""
        self._stopping = True
        if self._receiving and self._reader is not None:
            self._reader.cancel()

    async def _receive(self) -> Message:
        """The next part of the body; MalformedBody if a record has begun and isn't complete in time."""
        self._receiving = True
        try:
            if self._record_deadline is None:
                return await self._exchange.receive()
            async with asyncio.timeout_at(self._record_deadline):
                return await self._exchange.receive()
        except TimeoutError:
            seconds = self._exchange.options.record_seconds
            raise MalformedBody(f"A record was not complete after {seconds:g} s.") from None
        finally:
            self._receiving = False

    def _watch_record(self, *, begun: bool) -> None:
        """A stream may pause between records, not within one; ``begun`` if the present one has only just begun."""
        if self._splitter.clean:
            self._record_deadline = None
        elif begun or self._record_deadline is None:
            self._record_deadline = asyncio.get_running_loop().time() + self._exchange.options.record_seconds

    async def _read(self, documents: list[bytes]) -> None:
        try:
            self._watch_record(begun=True)
            healthy = await self._enqueue(documents)
            more = not self._complete
            while healthy and more and self._splitter.error is None and not self._stopping:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._gone = True
                    return
                more = message.get("more_body", False)
                documents = self._splitter.feed(message.get("body", b""))
                self._watch_record(begun=bool(documents))
                healthy = await self._enqueue(documents)
            if healthy and not more:
                healthy = await self._enqueue(self._splitter.finish())
            if healthy:
                self._failure = self._splitter.error
        except asyncio.CancelledError:
            # Stopped while it waited for more, or the stream is over: nothing that was read gets lost.
            if not self._stopping:
                raise
        except Exception as error:
            self._failure = as_facade_error(error)
        finally:
            self._queue.close()

    async def _enqueue(self, documents: list[bytes]) -> bool:
        """Produce records; False once one wasn't JSON, whose error is the last answer."""
        exchange = self._exchange
        for start in range(0, len(documents), MAX_BATCH):
            part = documents[start : start + MAX_BATCH]
            await self._queue.reserve(len(part))
            # A long body that is there already must not keep others from the event loop.
            await time_slice()
            batch = await Batch.decode(part, exchange.renewed_call(), exchange.facade)
            await batch.enqueue(exchange.facade, exchange.parameters["topic_name"], self._order)
            self._queue.put(batch)
            if batch.broken:
                return False
        return True

    async def _write(self) -> None:
        failure: FacadeError | None
        try:
            await self._write_answers()
            failure = self._failure
            if failure is None and not self._started and b"content-type" not in self._exchange.headers:
                raise InvalidPayload
        except Exception as error:
            failure = as_facade_error(error)
            if not self._started:
                raise failure from None
        if failure is not None:
            await self._send(encode_answers([failure], self._cluster_id))
        await self._send(b"", more=False)

    async def _write_answers(self) -> None:
        while (batch := await self._queue.first()) is not None:
            answers = await batch.answers(self._exchange.facade)
            await time_slice()
            body = encode_answers(answers, self._cluster_id)
            self._queue.remove_first()
            while len(body) < _MAX_WRITE and (following := self._queue.following()) is not None:
                body += encode_answers(await following.answers(self._exchange.facade), self._cluster_id)
                self._queue.remove_first()
            await self._send(body)

    async def _send(self, body: bytes, *, more: bool = True) -> None:
        if self._gone:
            return
        with contextlib.suppress(OSError):
            if not self._started:
                self._started = True
                self._exchange.scope[RESPONSE_STARTED] = True
                await self._exchange.send(
                    {
                        "type": "http.response.start",
                        "status": 200,
                        "headers": [(b"vary", b"Accept-Encoding"), (b"content-type", b"application/json")],
                    }
                )
            if body or not more:
                await self._exchange.send({"type": "http.response.body", "body": body, "more_body": more})
