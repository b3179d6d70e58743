"""Embedded formats."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import InvalidRequest
from kafka_facade.core.records.model import Format, RecordData, SchemaSelector
from kafka_facade.core.records.serialization import NotAtOnce, deserialize, is_long, serialize, serialize_long

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
    with pytest.raises(NotAtOnce):
        serialize(RecordData(Format.AVRO, {"a": 1}))
    with pytest.raises(NotAtOnce):
        serialize(RecordData(None, None, SchemaSelector()))


async def test_long_text() -> None:
    text = "\u00e4\U0001f600x" * 400_000
    with pytest.raises(NotAtOnce):
        serialize(RecordData(Format.STRING, text))
    assert await serialize_long(RecordData(Format.STRING, text), "value") == text.encode()


@pytest.mark.parametrize("size", [393_217, 1_179_648, 1_500_001])
async def test_long_base64(size: int) -> None:
    content = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
    for text in (base64.b64encode(content).decode(), base64.b64encode(content).decode().rstrip("=")):
        data = RecordData(Format.BINARY, text)
        assert (await serialize_long(data, "value") if is_long(data) else serialize(data)) == content
    for wrong in (
        text[:100] + "=" + text[101:],
        text[:-1] + "!",
        "\u00e4" + text[1:],
        text[:524_287] + "=" + text[524_288:],
    ):
        with pytest.raises(InvalidRequest, match="not a valid base64 string"):
            await serialize_long(RecordData(Format.BINARY, wrong), "value")
