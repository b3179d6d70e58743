"""ProduceStream: frames of records in, answers out in the same order, both at the pace of the slower side.

A reader hands frames to the producer and queues what is pending; the call itself awaits the reports and writes the
answers. A window bounds what lies between the two, so that a peer that stops reading stops being read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from kafka_facade.core.call import Call
from kafka_facade.core.catalogue import Operation
from kafka_facade.core.errors import FacadeError, InvalidRequest, KafkaTimeout, ServerError, Unavailable
from kafka_facade.core.facade import Facade
from kafka_facade.core.records.model import Delivery, PendingRecords, RecordOrder, StreamRecords
from kafka_facade.rpc.answers import Room
from kafka_facade.rpc.dispatch import CALLER, Context, require_message, write_message
from kafka_facade.rpc.errors import logger, reporting
from kafka_facade.rpc.gen.v1 import record_pb2
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.records import STREAM_RESULT_BYTES, Batch, stream_results

# What a record costs in memory besides its bytes, roughly.
_RECORD_BYTES = 512


@dataclass(slots=True)
class _Frame:
    """A frame that has been read: its records are with the producer, or all failed with ``error``."""

    correlation_id: int
    cost: int
    batch: Batch
    pending: PendingRecords | FacadeError
    call: Call
    room: Room


@dataclass(slots=True)
class _End:
    """No more frames come; ``error`` is what ended the stream, None for the caller's half-close."""

    error: FacadeError | None


class _Window:
    """Credit in bytes; one frame is always let in, however large."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._freed = asyncio.Event()

    async def take(self, cost: int) -> None:
        """Wait until there is room."""
        while self._used and self._used + cost > self._limit:
            self._freed.clear()
            await self._freed.wait()
        self._used += cost

    def give(self, cost: int) -> None:
        """Make room."""
        self._used -= cost
        self._freed.set()


def produce_stream(
    facade: Facade, operation: Operation, options: RpcOptions
) -> Callable[[object, Context], Awaitable[None]]:
    """The handler of RecordService.ProduceStream."""

    async def serve(_: object, context: Context) -> None:
        async with reporting(context):
            with facade.admitted(operation.identifier, CALLER) as call:
                await _Stream(facade, call, context, options).run()

    return serve


class _Stream:
    """One ProduceStream."""

    def __init__(self, facade: Facade, call: Call, context: Context, options: RpcOptions) -> None:
        self._facade = facade
        self._call = call
        self._context = context
        self._window = _Window(options.stream_window_bytes)
        self._options = options
        self._order = RecordOrder()
        self._receiving = False
        self._stopping = False
        # The window bounds what is in here.
        self._frames: asyncio.Queue[_Frame | _End] = asyncio.Queue()

    async def run(self) -> None:
        """Serve the stream to its end; raises what ended it."""
        reader = asyncio.create_task(self._read(), name="ProduceStream reader")
        watcher = asyncio.create_task(self._stop_at_shutdown(reader), name="ProduceStream watcher")
        try:
            while True:
                frame = await self._frames.get()
                if isinstance(frame, _End):
                    if frame.error is not None:
                        raise frame.error
                    return
                await write_message(self._context, await self._answer(frame), self._options)
                self._window.give(frame.cost)
        finally:
            watcher.cancel()
            reader.cancel()
            await asyncio.gather(reader, watcher, return_exceptions=True)

    async def _stop_at_shutdown(self, reader: asyncio.Task[None]) -> None:
        await self._facade.pipeline.closing.wait()
        self._stopping = True
        # Elsewhere than at the next frame it goes on: what was read is produced and answered.
        if self._receiving:
            reader.cancel()

    async def _read(self) -> None:
        error: FacadeError | None = None
        try:
            await self._read_frames()
        except FacadeError as failure:
            error = failure
        except asyncio.CancelledError:
            error = Unavailable("The server is shutting down.")
            raise
        except Exception:
            logger.exception("reading a stream failed unexpectedly")
            error = ServerError()
        finally:
            self._frames.put_nowait(_End(error))

    async def _read_frames(self) -> None:
        setup: record_pb2.ProduceStreamSetup | None = None
        while (message := await self._next_frame()) is not grpc.aio.EOF:
            match message.WhichOneof("frame"):
                case "records" if setup is not None:
                    await self._take(setup, message.records, message.ByteSize())
                case "setup" if setup is None:
                    setup = message.setup
                    if not setup.topic_name:
                        raise InvalidRequest("topic_name is required.", field="setup.topic_name")
                case "setup":
                    raise InvalidRequest("The stream has been set up already.", field="setup")
                case None if setup is not None:
                    raise InvalidRequest("A frame must have records.", field="records")
                case _:
                    raise InvalidRequest("The first frame of the stream must be its setup.", field="setup")

    async def _next_frame(self) -> Any:
        if self._stopping:
            raise Unavailable("The server is shutting down.")
        self._receiving = True
        try:
            message = await self._context.read()
            require_message(message)
            return message
        finally:
            self._receiving = False

    async def _take(
        self, setup: record_pb2.ProduceStreamSetup, records: record_pb2.ProduceStreamRecords, size: int
    ) -> None:
        room = Room(self._options.max_response_bytes, len(records.records), STREAM_RESULT_BYTES)
        cost = size + _RECORD_BYTES * (1 + len(records.records))
        await self._window.take(cost)
        batch = await Batch.read(records.records, setup.partition_id if setup.HasField("partition_id") else None)
        request = StreamRecords(setup.cluster_id or None, setup.topic_name, batch.records, order=self._order)
        call = self._facade.pipeline.renewed(self._call)
        pending: PendingRecords | FacadeError
        try:
            pending = await self._facade.perform(call, request)
        except FacadeError as error:
            pending = error
        self._frames.put_nowait(_Frame(records.correlation_id, cost, batch, pending, call, room))

    async def _answer(self, frame: _Frame) -> record_pb2.ProduceStreamResponse:
        outcomes: list[Delivery | FacadeError]
        if isinstance(frame.pending, FacadeError):
            outcomes = [frame.pending for _ in frame.batch.records]
        else:
            try:
                outcomes = await self._facade.pipeline.within(frame.call, frame.pending.outcomes())
            except KafkaTimeout as error:
                outcomes = [error for _ in frame.batch.records]
        response = record_pb2.ProduceStreamResponse(correlation_id=frame.correlation_id)
        return await stream_results(response, await frame.batch.merge(outcomes), frame.room)
