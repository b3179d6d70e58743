"""Embedded formats."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.records.model import Format, RecordData, SchemaSelector
from kafka_facade.core.records.serialization import SchemaNeeded, deserialize, serialize

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(JSON)
def test_json_is_unchanged(value: object) -> None:
    payload = serialize(RecordData(Format.JSON, value))
    if value is None:
        assert payload is None
    else:
        assert payload is not None
        assert deserialize(Format.JSON, payload) == value


@given(st.binary())
def test_base64_with_and_without_padding(payload: bytes) -> None:
    text = base64.b64encode(payload).decode()
    assert serialize(RecordData(Format.BINARY, text)) == payload
    assert serialize(RecordData(Format.BINARY, text.rstrip("="))) == payload
    assert serialize(RecordData(Format.BINARY, payload)) == payload


@pytest.mark.parametrize(
    ("format", "data", "message"),
    [
        (Format.BINARY, "!!", 'Bad Request: data="!!" is not a valid base64 string.'),
        (Format.BINARY, "not base64!", 'Bad Request: data="not base64!" is not a valid base64 string.'),
        (Format.BINARY, 5, "Bad Request: data=5 is not a base64 string."),
        (Format.STRING, 5, "Bad Request: data=5 is not a string."),
    ],
)
def test_data_of_the_wrong_format(format: Format, data: object, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        serialize(RecordData(format, data))
    assert caught.value.message == message
    assert caught.value.field == "value.data"


def test_numbers_keep_their_digits() -> None:
    big = 12345678901234567890123456789
    payload = serialize(RecordData(Format.JSON, msgspec.json.decode(str(big))))
    assert payload == str(big).encode()


def test_formats_with_schemas_need_one() -> None:
    with pytest.raises(SchemaNeeded):
        serialize(RecordData(Format.AVRO, {"a": 1}))
    with pytest.raises(SchemaNeeded):
        serialize(RecordData(None, None, SchemaSelector()))
