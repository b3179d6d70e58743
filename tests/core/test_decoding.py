"""Decoding of keys and values by format, without a registry."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.errors import DeserializationFailed, SchemaLookupFailed
from kafka_facade.core.records.decoding import TOO_HEAVY, Decoding
from kafka_facade.core.records.decoding_budget import json_weight
from kafka_facade.core.records.long_values import whole
from kafka_facade.core.records.model import DataInfo, FetchedRecord, Format, ReadFormats, Record
from kafka_facade.core.records.schemas import Schemas
from kafka_facade.core.records.sizes import fetched_size

WITHOUT_SCHEMAS = st.sampled_from([Format.BINARY, Format.STRING, Format.JSON])


@pytest.fixture
def decoding() -> Decoding:
    return Decoding(Schemas(None))


def _record(value: bytes | None, key: bytes | None = None) -> Record:
    return Record("t", 1, 7, None, [], key, value)


@pytest.mark.parametrize("value", [b"hello", b'"\xff"', b"[" * 100_000, b"\xff", b""])
async def test_errors_name_the_undecodable_record(decoding: Decoding, value: bytes) -> None:
    with pytest.raises(DeserializationFailed, match="VALUE for partition t-1 at offset 7"):
        await decoding.strictly(Format.JSON, _record(value))
    with pytest.raises(DeserializationFailed, match="KEY for partition t-1 at offset 7"):
        await decoding.strictly(Format.JSON, _record(b"1", value))


async def test_keys_and_values_have_separate_formats(decoding: Decoding) -> None:
    found = await decoding.record(ReadFormats(Format.STRING, Format.JSON), _record(b"[1]", b"k"))
    assert (found.key, found.value) == ("k", [1])
    assert (found.key_info, found.value_info) == (
        DataInfo(Format.STRING),
        DataInfo(Format.JSON, weight=json_weight(b"[1]")),
    )
    nothing = _record(None, None)
    assert await decoding.record(ReadFormats(None, Format.AVRO), nothing) == FetchedRecord(nothing, None, None)


async def test_json_that_would_become_too_large_is_not_decoded(decoding: Decoding) -> None:
    arrays = b"[" + b"[]," * 1_000_000 + b"1]"
    for format in (Format.JSON, None):
        data, info = await decoding.data(format, arrays, "t", "value")
        assert (data, info.error) == ((None, TOO_HEAVY) if format else (arrays, None))
    with pytest.raises(ValueError, match=TOO_HEAVY):
        await decoding.read_json(arrays, len)
    assert await decoding.read_json(arrays[:300_000], len) == 300_000


async def test_json_with_too_many_members_is_not_decoded(decoding: Decoding) -> None:
    members = b",".join(b'"%x":%d' % (number, number % 10) for number in range(201_000))
    for text in (b"{" + members + b"}", b"{" + members.replace(b'":', b'\\\\" :') + b"}"):
        _, info = await decoding.data(Format.JSON, text, "t", "value")
        assert info.error == TOO_HEAVY
        with pytest.raises(ValueError, match=TOO_HEAVY):
            await decoding.read_json(text, len)


@pytest.mark.parametrize(
    "element", [b'{"a":1}', b'{"id":1234}', b"[0]", b'{"a":{}}', b"1", b'"a"', b'{"x":1,"y":[2.5]}', b"1e300"]
)
async def test_json_of_a_megabyte_is_decoded(decoding: Decoding, element: bytes) -> None:
    text = b"[" + b",".join([element] * (1_000_000 // (len(element) + 1))) + b"]"
    data, info = await decoding.data(Format.JSON, text, "t", "value")
    assert info.error is None
    assert msgspec.json.encode(data, enc_hook=whole) == msgspec.json.encode(msgspec.json.decode(text))


async def test_json_with_too_many_long_numbers_is_not_decoded(decoding: Decoding) -> None:
    text = b"[" + b",".join([b"9" * 4000] * 1_000) + b"]"
    _, info = await decoding.data(Format.JSON, text, "t", "value")
    assert info.error == TOO_HEAVY
    string = msgspec.json.encode(["9" * 4_000_000])
    data, info = await decoding.data(Format.JSON, string, "t", "value")
    assert info.error is None
    assert msgspec.json.encode(data, enc_hook=whole) == string


async def test_members_in_a_string_do_not_count(decoding: Decoding) -> None:
    text = msgspec.json.encode(['"a":1,' * 300_000])
    data, info = await decoding.data(Format.JSON, text, "t", "value")
    assert info.error is None
    assert msgspec.json.encode(data, enc_hook=whole) == msgspec.json.encode(msgspec.json.decode(text))


async def test_data_without_a_schema_id_is_binary(decoding: Decoding) -> None:
    for payload in (b"", b"\0", b"\0\0\0\0", b"\1\0\0\0\1x", b"text"):
        assert await decoding.data(None, payload, "t", "value") == (payload, DataInfo(Format.BINARY))
    # Ids begin at 1: a long as a key looks like id 0, and costs no request.
    data, info = await decoding.data(None, (5).to_bytes(8, "big"), "t", "key")
    assert (data, info.error) == (None, "there is no such schema")
    with pytest.raises(SchemaLookupFailed):
        await decoding.data(None, b"\0\0\0\0\1x", "t", "value")


@given(WITHOUT_SCHEMAS, WITHOUT_SCHEMAS, st.none() | st.binary(), st.none() | st.binary())
async def test_any_bytes_are_decoded_or_have_an_error(
    key_format: Format, value_format: Format, key: bytes | None, value: bytes | None
) -> None:
    found = await Decoding(Schemas(None)).record(ReadFormats(key_format, value_format), _record(value, key))
    for payload, data, info in ((key, found.key, found.key_info), (value, found.value, found.value_info)):
        assert (info is None) is (payload is None)
        if info is not None and info.error is not None:
            assert data is None
    assert fetched_size(found) >= len(key or b"") + len(value or b"")
