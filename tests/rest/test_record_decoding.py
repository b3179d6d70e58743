import gc
import json

import pytest

from kafka_facade.core.errors import MalformedBody, TopicNotFound
from kafka_facade.core.records.model import DataReport, Format, Header, RecordData, RecordReport, SchemaSelector
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.core.records.serialization import serialize
from kafka_facade.rest.record_decoding import decode_record, encode_answers
from kafka_facade.rest.record_documents import decode_records


def test_a_whole_record() -> None:
    record = decode_record(
        b'{"partition_id":1,"headers":[{"name":"h","value":"djE="},{"name":"h"},{"name":"i","value":null}],'
        b'"key":{"type":"BINARY","data":"a2V5"},"value":{"type":"JSON","data":{"a":[1,2.5,null]}},'
        b'"timestamp":"2021-02-05T20:14:42.5+01:00"}'
    )
    assert record.partition_id == 1
    assert record.headers == [Header("h", b"v1"), Header("h", None), Header("i", None)]
    assert record.key == RecordData(Format.BINARY, "a2V5")
    assert record.value == RecordData(Format.JSON, {"a": [1, 2.5, None]})
    assert record.timestamp == 1612552482500


def test_members_may_be_null_or_absent() -> None:
    empty = decode_record(b"{}")
    assert empty == decode_record(b'{"partition_id":null,"headers":null,"key":null,"value":null,"timestamp":null}')
    assert (empty.key, empty.value, empty.partition_id, empty.headers, empty.timestamp) == (None, None, None, [], None)
    assert decode_record(b'{"value":{"type":"STRING","data":null}}').value == RecordData(Format.STRING, None)


@pytest.mark.parametrize(("number", "milliseconds"), [(b"1612552482", 1612552482000), (b"1.5", 1500), (b"0", 0)])
def test_a_number_as_timestamp_is_seconds(number: bytes, milliseconds: int) -> None:
    assert decode_record(b'{"timestamp":%b}' % number).timestamp == milliseconds


@pytest.mark.parametrize(
    "number", [b"1e999", b"-1e999", b"123456789012345678901234567890", b"-0.0", b"1E-400", b"2.50"]
)
def test_any_json_number_is_accepted(number: bytes) -> None:
    record = decode_record(b'{"value":{"type":"JSON","data":[%b]}}' % number)
    assert record.value is not None
    payload = serialize(record.value)
    assert payload is not None
    assert json.loads(payload, parse_float=float) == json.loads(b"[%b]" % number)


@pytest.mark.parametrize(
    ("number", "stored"),
    [
        (b"1E-400", b"0.0"),
        (b"-1E-400", b"-0.0"),
        (b"0.10", b"0.1"),
        (b"0.1234567890123456789", b"0.12345678901234568"),
        (b"-0", b"0"),
        (b"-0.0", b"-0.0"),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
        (b"[1e400,0.10,1E-400]", b"[1e400,0.10,1E-400]"),
    ],
)
def test_numbers_are_stored_as_documented(number: bytes, stored: bytes) -> None:
    """Documented in compatibility.md."""
    record = decode_record(b'{"value":{"type":"JSON","data":%b}}' % number)
    assert record.value is not None
    assert serialize(record.value) == stored


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b'{"bogus":1}', "Unrecognized field: bogus"),
        (b'{"value":{"type":"JSON","data":1,"bogus":2}}', "Unrecognized field: bogus"),
        (b'{"headers":[{"value":"djE="}]}', "Missing required field: name"),
        (b'{"partition_id":"x"}', "partition_id"),
        (b'{"partition_id":3000000000}', "partition_id"),
        (b'{"value":{"type":"BOGUS","data":1}}', "BOGUS"),
        (b'{"value":{"type":"JSON"}}', "Null data"),
        (b'{"value":{"type":"JSON","schema_id":1,"data":1}}', "schema_id"),
        (b'{"timestamp":"yesterday"}', "yesterday"),
        (b'{"timestamp":"2021-02-05T19:14:42"}', "2021-02-05T19:14:42"),
        (b'{"timestamp":1e300}', "timestamp"),
        (b'{"timestamp":1%b}' % (b"0" * 400), "The timestamp is out of range"),
        (b'{"timestamp":1e999}', "The timestamp is out of range"),
        (b'{"timestamp":{}}', "type `Number or String` from Object value: .* \\(at timestamp\\)"),
        (b'{"timestamp":true}', "type `Number or String` from Boolean value true"),
        (b'{"headers":[{"name":"h","value":"not base64!"}]}', "base64"),
        (b"[]", "Array"),
        (b"null", "null"),
        (b'{"value":{"type":"JSON","data":"\\ud800"}}', "surrogate"),
        (b'{"value":{"type":"JSON","data":' + b"[" * 5000 + b"]" * 5000 + b"}}", "nested"),
    ],
)
def test_errors_of_invalid_records(document: bytes, message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        decode_record(document)
    assert caught.value.codes.v3 == 400  # type: ignore[attr-defined]


def test_malformed_json() -> None:
    with pytest.raises(MalformedBody):
        decode_record(b'{"value":}')


def test_the_choice_of_a_schema() -> None:
    assert decode_record(b'{"value":{"data":1}}').value == RecordData(None, 1, SchemaSelector())
    found = decode_record(b'{"key":{"type":"AVRO","schema":"x","subject":"s","data":null}}').key
    assert found == RecordData(Format.AVRO, None, SchemaSelector(schema="x", subject="s"))


def test_answers_are_one_line_each() -> None:
    report = RecordReport("own", "t", 2, 7, 1612552482000, None, DataReport(Format.JSON, 18))
    assert encode_answers([report, TopicNotFound()], "named") == (
        b'{"error_code":200,"cluster_id":"named","topic_name":"t","partition_id":2,"offset":7,'
        b'"timestamp":"2021-02-05T19:14:42Z","value":{"type":"JSON","size":18}}\n'
        b'{"error_code":40403,"message":"This server does not host this topic-partition."}\n'
    )


async def test_invalid_records_create_no_reference_cycles() -> None:
    """The garbage collector blocks the event loop while it runs."""
    schemas = Schemas(None)
    gc.collect()
    gc.disable()
    try:
        decoded = await decode_records([b'{"value":{"type":"X"}}'] * 500, 5.0, schemas)
        assert len(decoded.records) == 500
        del decoded
        assert gc.collect() < 100
    finally:
        gc.enable()
