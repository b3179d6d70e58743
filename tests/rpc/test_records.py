"""Conversion of records in messages."""

import asyncio
import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import FacadeError, InvalidRequest
from kafka_facade.core.records.model import Format, RecordData
from kafka_facade.core.records.model import RecordToProduce as Produced
from kafka_facade.core.records.serialization import serialize
from kafka_facade.rpc.gen.v1 import record_pb2
from kafka_facade.rpc.gen.v1.record_pb2 import RecordData as Data
from kafka_facade.rpc.gen.v1.record_pb2 import RecordToProduce
from kafka_facade.rpc.records import read_record, read_records
from loop_watch import watched
from machine_speed import slowness

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def stored(data: Data) -> bytes | None:
    value = read_record(RecordToProduce(value=data), None).value
    assert value is not None
    return serialize(value)


def test_data_is_stored_in_its_format() -> None:
    assert stored(Data(binary=b"\x00\xff")) == b"\x00\xff"
    assert stored(Data(text="é")) == "é".encode()
    assert stored(Data(json='{ "a": [1, 2] }')) == b'{"a":[1,2]}'
    assert stored(Data(binary=b"")) == b""


def test_three_ways_to_send_null() -> None:
    assert read_record(RecordToProduce(), None).value is None
    assert read_record(RecordToProduce(value=Data()), None).value == RecordData(Format.BINARY, None)
    assert read_record(RecordToProduce(value=Data(json="null")), None).value == RecordData(Format.JSON, None)


@pytest.mark.parametrize(
    "number", ["12345678901234567890123", "0.10", "1" * 300, "1.00000000000000000001", "1e400", "-0.0"]
)
def test_numbers_keep_all_their_digits(number: str) -> None:
    try:
        found = stored(Data(json=f'{{"n": {number}}}'))
    except InvalidRequest:
        # What no reader could hold as a number is rejected rather than changed.
        assert number == "1e400"
    else:
        assert found == f'{{"n":{number}}}'.encode()


@given(json_values)
def test_any_json_is_stored_as_the_same_json(value: object) -> None:
    found = stored(Data(json=json.dumps(value)))
    assert (None if found is None else json.loads(found)) == value


@pytest.mark.parametrize(
    "text", ["", "{", '{"a":}', "[1,]", "nul", "1 2", '"\\x"', "NaN", "[" * 100_000, "1" * 5000, "1e400"]
)
def test_malformed_json_is_rejected(text: str) -> None:
    with pytest.raises(InvalidRequest):
        stored(Data(json=text))


@pytest.mark.parametrize(
    "data",
    [
        Data(text="x", format=record_pb2.FORMAT_BINARY),
        Data(binary=b"x", format=record_pb2.FORMAT_AVRO),
        Data(json="1", format=record_pb2.FORMAT_STRING),
    ],
    ids=["text as binary", "binary as avro", "json as string"],
)
def test_data_that_does_not_match_its_format_is_rejected(data: Data) -> None:
    with pytest.raises(InvalidRequest) as caught:
        stored(data)
    assert caught.value.metadata == {"field": "value.format"}


def test_formats_with_schemas_take_json() -> None:
    record = read_record(RecordToProduce(value=Data(json="1", format=record_pb2.FORMAT_AVRO)), None)
    assert record.value is not None
    assert record.value.format is Format.AVRO


def test_a_record_keeps_its_partition_headers_and_time() -> None:
    record = read_record(
        RecordToProduce(
            partition_id=0,
            headers=[record_pb2.Header(name="a", value=b""), record_pb2.Header(name="a")],
            timestamp=Timestamp(seconds=1, nanos=2_000_000),
        ),
        partition_id=7,
    )
    assert record.partition_id == 0
    assert [(header.name, header.value) for header in record.headers] == [("a", b""), ("a", None)]
    assert record.timestamp == 1002
    assert read_record(RecordToProduce(), partition_id=7).partition_id == 7


@given(st.lists(st.booleans(), max_size=20))
async def test_errors_replace_the_results_of_their_records(good: list[bool]) -> None:
    records = await read_records([RecordToProduce(value=Data(json="1" if fine else "{")) for fine in good], None, 0)
    assert [not isinstance(record, FacadeError) for record in records] == good


@pytest.mark.serial
async def test_many_large_numbers_do_not_block_the_event_loop() -> None:
    text = "[" + ",".join(["9e300"] * 150_000) + "]"
    message = RecordToProduce(value=Data(json=text))
    least = 1.0
    for _ in range(3):
        async with watched() as watch:
            await asyncio.sleep(0.05)
            watch.reset()
            (record,) = await read_records([message], None, message.ByteSize())
            await asyncio.sleep(0.05)
            least = min(least, watch.longest_busy)
        assert isinstance(record, Produced)
    assert least / slowness() < 0.03
