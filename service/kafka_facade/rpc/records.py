"""Conversion of records from messages to the core, and of their results to messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from kafka_facade.core.call import Call
from kafka_facade.core.core import Core
from kafka_facade.core.errors import FacadeError, InvalidRequest, PayloadTooLarge, without_traceback
from kafka_facade.core.limits import FRAME_WEIGHT, RECORDS_WEIGHT, check_headers
from kafka_facade.core.records.decoding_budget import decodes_slowly_at_once, weighs_more
from kafka_facade.core.records.headers import drop_headers
from kafka_facade.core.records.json_numbers import JsonDecoder
from kafka_facade.core.records.model import (
    BatchEntry,
    BatchProduceRecords,
    Delivery,
    Format,
    Header,
    ProduceRecords,
    Record,
    RecordData,
    RecordReport,
    RecordToProduce,
    SchemaSelector,
)
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rpc.answers import Room
from kafka_facade.rpc.convert import enum_names, reader, to_milliseconds, to_timestamp, writer
from kafka_facade.rpc.frames import LARGE, Encoded, Frame, field
from kafka_facade.rpc.gen.v1 import record_pb2
from kafka_facade.rpc.options import RpcOptions
from kafka_facade.rpc.receiving import received_bytes
from kafka_facade.rpc.wire import LARGE_MESSAGE

# Size in bytes of a record's result, without the topic name; results in a stream have none.
_REPORT_BYTES = 112
STREAM_RESULT_BYTES = 48
_LONGEST_ID = 84

# How many records are converted per time slice check; a record larger than _LARGE gets a check of its own.
_AT_ONCE = 50
_LARGE = 16 * 1024
_HEADERS_AT_ONCE = 1000
# Numbers that may be out of range are decoded: those of a record of this size take about 15 ms.
_IN_THREAD = 256 * 1024
# Messages up to this size are not searched for large records: a piece of such a message is small enough.
_SMALL_MESSAGE = _AT_ONCE * _LARGE
# Patterns, after normalizing digits, of numbers that may be out of range; only JSON with these is decoded to check it.
_PATTERN = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE_NUMBERS = (b"0" * 200, b"0e000", b"0e+000")
# Texts are searched for these in pieces, so that other threads can run in between.
_PIECE = 1024 * 1024
_OVERLAP = 200

_decode_json = JsonDecoder().decode

_Outcome = TypeVar("_Outcome", RecordReport, Delivery)

_FORMATS = {number: Format[name] for number, name in enum_names(record_pb2.Format.DESCRIPTOR).items()}
_FORMAT_OF_DATA = {"binary": Format.BINARY, "text": Format.STRING, "json": Format.JSON}
_SCHEMA_FORMATS = (Format.AVRO, Format.JSONSCHEMA, Format.PROTOBUF)
_KEY: Final = record_pb2.Record.KEY_FIELD_NUMBER
_VALUE: Final = record_pb2.Record.VALUE_FIELD_NUMBER
_read_selector = reader(SchemaSelector, record_pb2.SchemaSelector)
_write_report = writer(record_pb2.RecordReport)


def read_record(message: record_pb2.RecordToProduce, partition_id: int | None) -> RecordToProduce:
    """Convert a record; ``partition_id`` is the default. Raises InvalidRequest if data and format do not match."""
    headers = message.headers
    check_headers(headers)
    place = "key"
    try:
        key = _read_data(message.key) if message.HasField("key") else None
        place = "value"
        value = _read_data(message.value) if message.HasField("value") else None
    except InvalidRequest as error:
        raise error.within(place) from None
    return RecordToProduce(
        key,
        value,
        message.partition_id if message.HasField("partition_id") else partition_id,
        [_read_header(header) for header in headers] if headers else [],
        to_milliseconds(message.timestamp) if message.HasField("timestamp") else None,
    )


def _read_header(header: record_pb2.Header) -> Header:
    return Header(header.name, header.value if header.HasField("value") else None)


def _read_data(data: record_pb2.RecordData) -> RecordData:
    if data.HasField("schema"):
        return _read_with_schema(data)
    which = data.WhichOneof("data")
    format = _format(which, data.format) if data.format or which is None else _FORMAT_OF_DATA[which]
    if which == "text":
        return RecordData(format, data.text)
    if which == "binary":
        return RecordData(format, data.binary)
    return RecordData(format, None if which is None else _json_of(format, data.json))


def _read_with_schema(data: record_pb2.RecordData) -> RecordData:
    which = data.WhichOneof("data")
    format = _FORMATS.get(data.format)
    if which not in (None, "json") or (data.format and format not in _SCHEMA_FORMATS):
        raise InvalidRequest(
            "schema needs json data, and AVRO, JSONSCHEMA or PROTOBUF where a format is named.", field="schema"
        )
    return RecordData(format, _json_of(format, data.json) if which else None, _read_selector(data.schema))


def _format(which: str | None, asked: int) -> Format:
    natural = _FORMAT_OF_DATA[which] if which is not None else Format.BINARY
    if not asked:
        return natural
    format = _FORMATS.get(asked)
    fits = which is None or format is natural or (which == "json" and format in _SCHEMA_FORMATS)
    if format is None or not fits:
        raise InvalidRequest("The format doesn't fit the data.", field="format")
    return format


def format_of(number: int, field: str) -> Format | None:
    """Return the format for an enum number, None for unspecified. Raises InvalidRequest for an unknown number."""
    if not number:
        return None
    if number not in _FORMATS:
        raise InvalidRequest(f"{field} has a value that this version doesn't know.", field=field)
    return _FORMATS[number]


def _json_of(format: Format | None, text: str) -> bytes | msgspec.Raw | None:
    compact = _read_json(text)
    if compact == b"null":
        return None
    return compact if format is Format.JSON else msgspec.Raw(compact)


def _read_json(text: str) -> bytes:
    # Reformat the text instead of decoding it: decoding loses digits of numbers and is much slower.
    data = text.encode()
    if weighs_more(data, RECORDS_WEIGHT) or decodes_slowly_at_once(data):
        raise PayloadTooLarge("The JSON has more objects, arrays and members than can be read at once.", field="json")
    try:
        compact = msgspec.json.format(data, indent=-1)
        if _may_be_out_of_range(compact):
            if weighs_more(compact, FRAME_WEIGHT):
                raise InvalidRequest(
                    "The JSON text is too large to have numbers that may be out of range.", field="json"
                )
            _decode_json(compact)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"The JSON text can't be read: {error}", field="json") from None
    return compact


def _may_be_out_of_range(compact: bytes) -> bool:
    for start in range(0, len(compact), _PIECE):
        pattern = compact[start : start + _PIECE + _OVERLAP].translate(_PATTERN)
        if any(suspect in pattern for suspect in _LARGE_NUMBERS):
            return True
    return False


async def read_records(
    messages: Sequence[record_pb2.RecordToProduce], partition_id: int | None, size: int
) -> list[RecordToProduce | FacadeError]:
    """Convert the records of a message of ``size`` bytes, in time slices; one that is invalid becomes its error."""
    if size > LARGE_MESSAGE:
        return await asyncio.to_thread(_read_entries, messages, partition_id)
    records: list[RecordToProduce | FacadeError] = []
    large, many = size > _SMALL_MESSAGE, size > _LARGE
    for start in range(0, len(messages), _AT_ONCE):
        if start:
            await time_slice()
        for message in messages[start : start + _AT_ONCE]:
            if large and message.ByteSize() > _LARGE:
                await time_slice()
            if many and (len(message.headers) > _HEADERS_AT_ONCE or message.ByteSize() > _IN_THREAD):
                records.append(await asyncio.to_thread(_read_entry, message, partition_id))
            else:
                records.append(_read_entry(message, partition_id))
    return records


def _read_entries(
    messages: Iterable[record_pb2.RecordToProduce], partition_id: int | None
) -> list[RecordToProduce | FacadeError]:
    return [_read_entry(message, partition_id) for message in messages]


async def produce(
    core: Core, call: Call, message: record_pb2.ProduceRecordsRequest, options: RpcOptions
) -> record_pb2.ProduceRecordsResponse:
    """RecordService.ProduceRecords."""
    if not message.topic_name:
        raise InvalidRequest("topic_name is required.", field="topic_name")
    room = Room(options.max_response_bytes, len(message.records), _REPORT_BYTES + len(message.topic_name), message)
    partition_id = message.partition_id if message.HasField("partition_id") else None
    records = await read_records(message.records, partition_id, received_bytes())
    request = ProduceRecords(message.cluster_id or None, message.topic_name, records, message.all_or_nothing)
    try:
        outcomes = await core.perform(call, request)
    finally:
        await drop_headers(records)
    response = record_pb2.ProduceRecordsResponse()
    for position, outcome in enumerate(outcomes):
        if position and not position % _AT_ONCE:
            await time_slice()
        if isinstance(outcome, FacadeError):
            response.results.add(error=room.status(outcome))
            continue
        report = _write_report(outcome)
        if not room.takes(report):
            # Drop key and value, whose subject names may be long, but always report partition and offset.
            report.ClearField("key")
            report.ClearField("value")
        response.results.add(report=report)
    return response


async def produce_batch(
    core: Core, call: Call, message: record_pb2.BatchProduceRecordsRequest, options: RpcOptions
) -> record_pb2.BatchProduceRecordsResponse:
    """RecordService.BatchProduceRecords."""
    if not message.topic_name:
        raise InvalidRequest("topic_name is required.", field="topic_name")
    each = _REPORT_BYTES + len(message.topic_name) + _LONGEST_ID
    room = Room(options.max_response_bytes, len(message.entries), each, message)
    records = await read_records([entry.record for entry in message.entries], None, received_bytes())
    entries = [BatchEntry(entry.id, record) for entry, record in zip(message.entries, records, strict=True)]
    request = BatchProduceRecords(message.cluster_id or None, message.topic_name, entries)
    try:
        report = await core.perform(call, request)
    finally:
        await drop_headers(records)
    response = record_pb2.BatchProduceRecordsResponse()
    for position, (id, found) in enumerate(report.successes):
        if position and not position % _AT_ONCE:
            await time_slice()
        response.successes.add(id=id, report=_write_report(found))
    for position, (id, error) in enumerate(report.failures):
        if position and not position % _AT_ONCE:
            await time_slice()
        response.failures.add(id=id, error=room.status(error))
    return response


def _read_entry(message: record_pb2.RecordToProduce, partition_id: int | None) -> RecordToProduce | FacadeError:
    try:
        return read_record(message, partition_id)
    except InvalidRequest as error:
        return without_traceback(error)


async def stream_results(
    response: record_pb2.ProduceStreamResponse, outcomes: Sequence[Delivery | FacadeError], room: Room
) -> record_pb2.ProduceStreamResponse:
    """Fill in one result per record, in time slices."""
    results = response.results
    # Modifying and copying one message costs half as much as creating a new one each time.
    result = record_pb2.ProduceStreamResult()
    timestamp: int | None = None
    for start in range(0, len(outcomes), _AT_ONCE):
        if start:
            await time_slice()
        for outcome in outcomes[start : start + _AT_ONCE]:
            if isinstance(outcome, FacadeError):
                placed = outcome.within("records.records", instead_of="records")
                results.add(error=room.status(placed.within("setup.topic_name", instead_of="topic_name")))
                continue
            if outcome.timestamp != timestamp:
                timestamp = outcome.timestamp
                if (stored := to_timestamp(timestamp)) is None:
                    result.ClearField("timestamp")
                else:
                    result.timestamp.CopyFrom(stored)
            result.partition_id = outcome.partition
            if outcome.offset is None:
                result.ClearField("offset")
            else:
                result.offset = outcome.offset
            results.append(result)
    return response


async def write_headers(target: Any, headers: Sequence[Header]) -> None:
    """Append headers to those of a message, in time slices if there are many."""
    for start in range(0, len(headers), _HEADERS_AT_ONCE):
        if start:
            await time_slice()
        piece = headers[start : start + _HEADERS_AT_ONCE]
        target.extend([record_pb2.Header(name=entry.name, value=entry.value) for entry in piece])


async def write_records(records: Sequence[Record]) -> Encoded:
    """Build a ConsumeResponse from records without decoding them."""
    frame = Frame(record_pb2.ConsumeResponse())
    # Reuse the Timestamp message while the timestamp is the same: creating it costs as much as all the rest.
    timestamp: int | None = None
    stored: Timestamp | None = None
    for record in records:
        # Setting fields one by one costs half as much as keyword arguments.
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
        large: list[bytes] = []
        if record.key is not None:
            if len(record.key) > LARGE:
                large += field(_KEY, [record.key])
            else:
                message.key = record.key
        if record.value is not None:
            if len(record.value) > LARGE:
                large += field(_VALUE, [record.value])
            else:
                message.value = record.value
        if large:
            frame.extend(large)
    return await frame.finished()
