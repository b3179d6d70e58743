"""Fetching records through consumer instances."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from kafka_facade.core.call import Call
from kafka_facade.core.core import Core
from kafka_facade.core.instances.model import (
    FETCH_OPERATIONS,
    FetchRecords,
    fetch_operation,
)
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Format, ReadFormats
from kafka_facade.core.records.sizes import stored_bytes
from kafka_facade.rpc.convert import reader, to_timestamp
from kafka_facade.rpc.dispatch import Context, caller_of
from kafka_facade.rpc.frames import Encoded, Frame
from kafka_facade.rpc.gen.v1 import consumer_instance_pb2, record_pb2
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.reads import error_of, large_data, read_formats, write_data
from kafka_facade.rpc.records import write_headers

_KEY = consumer_instance_pb2.FetchedRecord.KEY_FIELD_NUMBER
_VALUE = consumer_instance_pb2.FetchedRecord.VALUE_FIELD_NUMBER
_read_request = reader(FetchRecords, consumer_instance_pb2.FetchRecordsRequest)


async def identify(core: Core, message: consumer_instance_pb2.FetchRecordsRequest, context: Context) -> str:
    """Return the operation for the requested format, or for the instance's format."""
    request = _read_request(message)
    if request.format is not None:
        return fetch_operation(request.format)
    return fetch_operation(await core.format_of(request.group, request.instance, caller_of(context)))


async def fetch(
    core: Core,
    call: Call,
    message: consumer_instance_pb2.FetchRecordsRequest,
    options: RpcOptions,
    write: Callable[[Encoded], Awaitable[None]],
) -> None:
    """ConsumerInstanceService.FetchRecords. The next fetch returns records that are not delivered."""
    request = _read_request(message)
    request.max_answer_bytes = request.max_record_bytes = options.max_response_bytes
    if request.max_bytes is not None:
        request.max_answer_bytes = min(request.max_bytes, options.max_response_bytes)
        request.max_record_bytes = max(request.max_bytes, options.max_response_bytes)
    request.at_once = True
    own = next(format for format, name in FETCH_OPERATIONS.items() if name == call.operation.identifier)
    # With explicit formats, a record that cannot be decoded is returned with its error instead of failing the fetch.
    request.formats = read_formats(message) or ReadFormats(own, own)
    if not message.decode_with_registry:
        request.formats = ReadFormats(request.formats.key or own, request.formats.value or own)

    async def hand_over(found: list[FetchedRecord]) -> None:
        async with core.pipeline.overload.outgoing.hold(stored_bytes(found)):
            await write(await _write(found))

    call.hand_over = hand_over
    await core.perform(call, request)


async def _write(found: Sequence[FetchedRecord]) -> Encoded:
    frame = Frame(consumer_instance_pb2.FetchRecordsResponse())
    timestamp: int | None = None
    stored: Timestamp | None = None
    for fetched in found:
        record = fetched.record
        message = frame.add()
        message.topic_name = record.topic_name
        message.partition_id = record.partition_id
        message.offset = record.offset
        if record.timestamp != timestamp:
            timestamp = record.timestamp
            stored = to_timestamp(timestamp)
        if stored is not None:
            message.timestamp.CopyFrom(stored)
        if record.headers:
            await write_headers(message.headers, record.headers)
        large_key = large_data(_KEY, record.key, fetched.key, fetched.key_info)
        large_value = large_data(_VALUE, record.value, fetched.value, fetched.value_info)
        if record.key is not None and not large_key:
            _write_data(message.key, record.key, fetched.key, fetched.key_info)
        if record.value is not None and not large_value:
            _write_data(message.value, record.value, fetched.value, fetched.value_info)
        if (error := error_of(fetched.key_info)) is not None:
            message.key_error = error
        if (error := error_of(fetched.value_info)) is not None:
            message.value_error = error
        if large_key or large_value:
            frame.extend(large_key + large_value)
    return await frame.finished()


def _write_data(target: record_pb2.RecordData, payload: bytes, data: object, info: DataInfo | None) -> None:
    """Like :func:`write_data`, but fills in ``target``, which is cheaper for the most common formats."""
    if info is not None and info.error is None and info.format is Format.BINARY:
        target.binary = payload
    elif info is not None and info.error is None and info.format is Format.JSON:
        target.json = payload.decode()
    elif (written := write_data(payload, data, info)) is not None:
        target.CopyFrom(written)
