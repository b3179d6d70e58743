"""Large messages decode to the same result in pieces as at once."""

import asyncio
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_facade.core.errors import PayloadTooLarge
from kafka_facade.core.limits import MESSAGE_FIELDS
from kafka_facade.rpc.gen.v1 import record_pb2, topic_pb2
from kafka_facade.rpc.wire import decode_large

# More fields than are decoded at once.
MANY = 100_001


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def part(number: int, content: bytes) -> bytes:
    """A field with a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def decoded(kind: type[Message], data: bytes) -> Message:
    return asyncio.run(decode_large(kind, data))


numbers = st.builds(
    lambda number, value: varint(number << 3) + varint(value), st.integers(1, 40), st.integers(0, 2**64 - 1)
)
fixed = st.builds(
    lambda number, kind: varint(number << 3 | kind) + bytes(8 if kind == 1 else 4),
    st.integers(1, 40),
    st.sampled_from([1, 5]),
)


def group(number: int, content: bytes) -> bytes:
    """A group, which proto3 does not have: an unknown field."""
    return varint(number << 3 | 3) + content + varint(number << 3 | 4)


texts = st.builds(part, st.integers(1, 5), st.text(max_size=200).map(str.encode))
fields = st.recursive(
    st.one_of(numbers, fixed, texts),
    lambda inner: st.builds(
        lambda make, number, content: make(number, b"".join(content)),
        st.sampled_from([part, group]),
        st.integers(1, 40),
        st.lists(inner, max_size=4),
    ),
    max_leaves=8,
)
pieces = st.lists(st.one_of(fields, st.binary(max_size=6)), min_size=1, max_size=4).map(b"".join)
kinds: st.SearchStrategy[Any] = st.sampled_from(
    [
        record_pb2.ProduceRecordsRequest,
        record_pb2.ProduceStreamRequest,
        record_pb2.ConsumeRequest,
        topic_pb2.CreateTopicRequest,
    ]
)


@given(kinds, fields, st.sampled_from([(), (2,), (3,), (2, 2), (3, 4), (5, 2)]), st.integers(0, 40_000))
@settings(max_examples=15, deadline=None)
def test_many_fields(kind: type[Message], piece: bytes, inside: tuple[int, ...], large: int) -> None:
    # A large field in the midst is a piece of its own.
    content = piece * (MANY if len(piece) < 16 else 3000)
    content += part(6, bytes(large)) + part(4, part(1, b"a" * large)) + piece
    for number in reversed(inside):
        content = part(number, content)
    if inside:
        content += part(inside[0], piece)
    try:
        expected = kind.FromString(content)
    except DecodeError:
        with pytest.raises(DecodeError):
            decoded(kind, content)
        return
    assert decoded(kind, content) == expected


@given(kinds, pieces)
@settings(max_examples=150, deadline=None)
def test_any_bytes(kind: type[Message], data: bytes) -> None:
    try:
        expected = kind.FromString(data)
    except DecodeError:
        with pytest.raises(DecodeError):
            decoded(kind, data)
        return
    assert decoded(kind, data) == expected


@pytest.mark.parametrize("count", [1, 100_001])
@pytest.mark.parametrize(
    "data",
    [
        group(1, b""),
        group(9, group(2, b"\x08\x01") + part(3, b"abc")),
        part(3, group(9, b"\x08\x01")),
        part(3, part(2, group(1, bytes(2)) + part(2, b"a"))) + group(99, b""),
        group(3, part(3, bytes(40_000)) * 3),
        b"\x4b" * 100 + b"\x4c" * 100,
        part(3, b"\x4b" * 99 + b"\x4c" * 99),
        b"\x4b" * 101 + b"\x4c" * 101,
        part(3, b"\x4b" * 100 + b"\x4c" * 100),
        b"\x4b",
        b"\x4c",
        b"\x4b\x54",
        part(3, b"\x4b") + b"\x4c",
        b"\x4b" + part(3, b"\x4c"),
        b"\x03\x04",
    ],
)
def test_groups_are_unknown_fields(data: bytes, count: int) -> None:
    kind = record_pb2.ProduceRecordsRequest
    content = data * (count // len(data) + 1) + part(2, b"topic")
    try:
        expected = kind.FromString(content)
    except DecodeError:
        with pytest.raises(DecodeError):
            decoded(kind, content)
        return
    assert decoded(kind, content) == expected


def test_a_frame_of_records_with_headers() -> None:
    headers = [record_pb2.Header(name="name", value=b"value"), record_pb2.Header(name="other")]
    record = record_pb2.RecordToProduce(value=record_pb2.RecordData(text="a text"), headers=headers, partition_id=3)
    large = record_pb2.RecordToProduce(value=record_pb2.RecordData(binary=bytes(2_000_000)), headers=headers * 10_000)
    records = [record] * 20_000 + [large] + [record] * 10
    frame = record_pb2.ProduceStreamRequest(records=record_pb2.ProduceStreamRecords(correlation_id=7, records=records))
    assert decoded(record_pb2.ProduceStreamRequest, frame.SerializeToString()) == frame


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (record_pb2.ProduceRecordsRequest, b"\x1a\0" * (MESSAGE_FIELDS + 1)),
        (record_pb2.ProduceRecordsRequest, part(3, b"\x22\0" * MESSAGE_FIELDS)),
        (record_pb2.ConsumeRequest, part(3, bytes(MESSAGE_FIELDS))),
    ],
)
def test_more_fields_than_a_message_may_have(kind: type[Message], data: bytes) -> None:
    with pytest.raises(PayloadTooLarge):
        decoded(kind, data)
