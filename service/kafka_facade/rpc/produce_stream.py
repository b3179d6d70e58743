"""RecordService.ProduceStream: reads frames of records and answers them in order, with back-pressure.

One task reads frames, and the RPC handler writes responses. The pump (:mod:`kafka_facade.core.records.pump`) connects
the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from kafka_facade.core.call import Call
from kafka_facade.core.catalogue import Operation
from kafka_facade.core.core import Core
from kafka_facade.core.errors import FacadeError, InvalidRequest, RequestTimeout, ServerError
from kafka_facade.core.records.model import StreamRecords
from kafka_facade.core.records.pump import Batch, RecordPump
from kafka_facade.core.reservation import Reservation, use_reservation
from kafka_facade.rpc.answers import Room
from kafka_facade.rpc.dispatch import CALLER, Context, write_message
from kafka_facade.rpc.errors import logger, reporting
from kafka_facade.rpc.gen.v1 import record_pb2
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.receiving import decoded, forget_frames, received_bytes, require_message
from kafka_facade.rpc.records import STREAM_RESULT_BYTES, read_records, stream_results

# A stream keeps the names of its setup. No topic has a longer one.
_MAX_NAME = 249


@dataclass(slots=True)
class _Frame:
    """What is needed to answer a frame, besides the outcomes of its records."""

    correlation_id: int
    room: Room


def produce_stream(
    core: Core, operation: Operation, options: RpcOptions
) -> Callable[[object, Context], Awaitable[None]]:
    """The handler of RecordService.ProduceStream."""

    async def serve(_: object, context: Context) -> None:
        try:
            async with reporting(context):
                with core.admitted(operation.identifier, CALLER) as call:
                    await _Stream(core, call, context, options).run()
        except grpc.aio.AbortError as error:
            forget_frames(error)

    return serve


class _Stream:
    """One ProduceStream."""

    def __init__(self, core: Core, call: Call, context: Context, options: RpcOptions) -> None:
        self._context = context
        self._options = options
        self._deadlines = core.pipeline.deadlines
        self._pump: RecordPump[_Frame] = RecordPump(core, call, context.peer(), options.stream_max_in_flight_bytes)
        self._reservation = Reservation(core.pipeline.overload.requests, context.peer())
        use_reservation(self._reservation)
        self._setup: record_pb2.ProduceStreamSetup | None = None

    async def run(self) -> None:
        """Serve the stream. Raises the error that ended it, if any."""
        async with self._pump.reading(self._read()):
            while await self._pump.unanswered():
                await self._answer(self._pump.oldest)
                self._pump.release()
            if self._pump.failure is not None:
                raise self._pump.failure

    async def _answer(self, batch: Batch[_Frame]) -> None:
        response = record_pb2.ProduceStreamResponse(correlation_id=batch.tag.correlation_id)
        await stream_results(response, await batch.outcomes(), batch.tag.room)
        await write_message(self._context, response, self._options)

    async def _read(self) -> None:
        failure: FacadeError | None = None
        try:
            while await self._read_frame():
                pass
        except FacadeError as error:
            failure = error
        except asyncio.CancelledError:
            failure = self._pump.stopped_by
            raise
        except Exception:
            logger.exception("reading a stream failed unexpectedly")
            failure = ServerError()
        finally:
            self._reservation.release()
            self._pump.end(failure)

    async def _read_frame(self) -> bool:
        """Read and send a frame; return False at the end. While it waits, no variable refers to an earlier frame."""
        message = await self._next_frame()
        if message is grpc.aio.EOF:
            return False
        match message.WhichOneof("frame"):
            case "records" if self._setup is not None:
                await self._take(self._setup, message.records, received_bytes())
            case "setup" if self._setup is None:
                self._setup = _read_setup(message.setup)
                self._reservation.release()
            case "setup":
                raise InvalidRequest("The stream has been set up already.", field="setup")
            case None if self._setup is not None:
                raise InvalidRequest("A frame must have records.", field="records")
            case _:
                raise InvalidRequest("The first frame of the stream must be its setup.", field="setup")
        return True

    async def _next_frame(self) -> Any:
        if self._pump.stopping:
            raise self._pump.stopped_by
        return await self._pump.receive(self._decoded_frame(), begun=None)

    async def _received(self) -> Any:
        if self._setup is not None:
            return await self._context.read()
        # A stream may pause between its frames, but not before the first one.
        try:
            with self._deadlines.limit(self._options.body_seconds):
                return await self._context.read()
        except TimeoutError:
            raise RequestTimeout from None

    async def _decoded_frame(self) -> Any:
        data = await self._received()
        if data is grpc.aio.EOF:
            return data
        self._pump.arrived()
        limit = self._options.max_request_bytes
        message = await decoded(record_pb2.ProduceStreamRequest, data, limit, self._reservation)
        require_message(message)
        return message

    async def _take(
        self, setup: record_pb2.ProduceStreamSetup, frame: record_pb2.ProduceStreamRecords, size: int
    ) -> None:
        room = Room(self._options.max_response_bytes, len(frame.records), STREAM_RESULT_BYTES)
        with self._reservation.waiting():
            await self._pump.room(size, len(frame.records))
        partition_id = setup.partition_id if setup.HasField("partition_id") else None
        records = await read_records(frame.records, partition_id, size)
        request = StreamRecords(setup.cluster_id or None, setup.topic_name, records, reported=False)
        await self._pump.send(_Frame(frame.correlation_id, room), self._pump.begin(), request)
        # From here on the window bounds it, and the budget of streams.
        self._reservation.release()


def _read_setup(setup: record_pb2.ProduceStreamSetup) -> record_pb2.ProduceStreamSetup:
    """Return a copy: a part of a message keeps the memory of the whole message. Raises InvalidRequest."""
    if not setup.topic_name:
        raise InvalidRequest("topic_name is required.", field="setup.topic_name")
    for name in ("topic_name", "cluster_id"):
        if len(getattr(setup, name)) > _MAX_NAME:
            raise InvalidRequest(f"{name} is longer than {_MAX_NAME} characters.", field=f"setup.{name}")
    copy = record_pb2.ProduceStreamSetup(cluster_id=setup.cluster_id, topic_name=setup.topic_name)
    if setup.HasField("partition_id"):
        copy.partition_id = setup.partition_id
    return copy
