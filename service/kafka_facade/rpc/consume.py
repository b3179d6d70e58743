"""RecordService.Consume: streams the records of a topic, with back-pressure from the client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from kafka_facade.core.catalogue import Operation
from kafka_facade.core.core import Core
from kafka_facade.core.errors import FacadeError, InvalidRequest, PayloadTooLarge
from kafka_facade.core.limits import MESSAGE_ENTRIES
from kafka_facade.core.records.model import ConsumeRecords, FetchedRecord, Format, ReadFormats, Record
from kafka_facade.core.records.sizes import fetched_size, record_size, require_taken
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rpc.convert import to_milliseconds
from kafka_facade.rpc.cut_off import taking
from kafka_facade.rpc.dispatch import Context, caller_of, write_message
from kafka_facade.rpc.errors import reporting
from kafka_facade.rpc.gen.v1 import record_pb2
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.reads import read_formats, write_decoded
from kafka_facade.rpc.receiving import require_message
from kafka_facade.rpc.records import write_records

_MAX_RECORDS = 500


def consume(
    core: Core, operation: Operation, options: RpcOptions
) -> Callable[[record_pb2.ConsumeRequest, Context], Awaitable[None]]:
    """The handler of RecordService.Consume."""

    async def serve(message: record_pb2.ConsumeRequest, context: Context) -> None:
        async with reporting(context, message), taking(context):
            # gRPC enforces the caller's deadline for the whole stream; the call's deadline bounds only the start.
            with core.admitted(operation.identifier, caller_of(context)) as call:
                require_message(message)
                if message.max_records < 0:
                    raise InvalidRequest("max_records must not be negative.", field="max_records")
                if message.max_bytes < 0:
                    raise InvalidRequest("max_bytes must not be negative.", field="max_bytes")
                max_records = message.max_records or _MAX_RECORDS
                max_bytes = min(message.max_bytes or options.max_response_bytes, options.max_response_bytes)
                largest = max(message.max_bytes, options.max_response_bytes)
                formats = _read_formats(message)
                request = _read_request(message)
                request.max_records = min(max_records, _MAX_RECORDS)
                request.max_bytes = min(max_bytes, request.max_bytes)

                async def write(records: Sequence[Record]) -> None:
                    if formats is None:
                        if len(records) == 1:
                            require_taken(records[0], record_size(records[0]), largest)
                        await time_slice()
                        await write_message(context, await write_records(records), options)
                        return
                    async for some in _decoded(core, formats, records, max_records, max_bytes, largest):
                        await time_slice()
                        await write_message(context, await write_decoded(some), options)

                async with aclosing(core.stream(call, request)) as batches:
                    async for records in batches:
                        await write(records)
                        # The next ones may take hours to arrive.
                        del records

    return serve


def _read_request(message: record_pb2.ConsumeRequest) -> ConsumeRecords:
    if not message.topic_name:
        raise InvalidRequest("topic_name is required.", field="topic_name")
    if len(message.partition_ids) > MESSAGE_ENTRIES:
        raise PayloadTooLarge(f"partition_ids has more than {MESSAGE_ENTRIES} entries.", field="partition_ids")
    return ConsumeRecords(
        message.cluster_id or None,
        message.topic_name,
        partitions=list(message.partition_ids),
        start=message.WhichOneof("start") or "latest",
        offset=message.offset,
        timestamp=to_milliseconds(message.timestamp),
        follow=message.follow,
    )


def _read_formats(message: record_pb2.ConsumeRequest) -> ReadFormats | None:
    formats = read_formats(message)
    if formats is None or message.decode_with_registry:
        return formats
    return ReadFormats(formats.key or Format.BINARY, formats.value or Format.BINARY)


async def _decoded(
    core: Core, formats: ReadFormats, records: Sequence[Record], max_records: int, max_bytes: int, largest: int
) -> AsyncGenerator[Sequence[FetchedRecord], None]:
    """Decode records and yield them in frames. At most one frame plus one decoded record is in memory.

    The records before one that raises are yielded first.
    """
    frame: list[FetchedRecord] = []
    size = 0
    for record in records:
        try:
            fetched = await core.decoding.record(formats, record)
            length = fetched_size(fetched)
            require_taken(record, length, largest)
        except FacadeError:
            if frame:
                yield frame
            raise
        if frame and (len(frame) >= max_records or size + length > max_bytes):
            yield frame
            frame, size = [], 0
        frame.append(fetched)
        size += length
    if frame:
        yield frame
