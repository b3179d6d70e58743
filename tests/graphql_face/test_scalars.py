"""Scalars are converted without loss; invalid values are errors of the caller."""

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import pytest
from graphql import GraphQLError, IntValueNode, StringValueNode
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.records.decoding import Decoding
from kafka_facade.core.records.schemas import Schemas
from kafka_facade_graphql.context import use_decoding
from kafka_facade_graphql.records import Content
from kafka_facade_graphql.scalars import SCALARS, Base64, BigInt, from_millis, to_millis

big_int: Any = SCALARS[BigInt]
base64: Any = SCALARS[Base64]
int64 = st.integers(-(2**63), 2**63 - 1)


@given(int64)
def test_big_int_accepts_numbers_texts_and_literals(value: int) -> None:
    assert big_int.parse_value(value) == value
    assert big_int.parse_value(str(value)) == value
    assert big_int.parse_literal(IntValueNode(value=str(value))) == value
    assert big_int.parse_literal(StringValueNode(value=str(value))) == value


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, True, 1.5, "1.5", "", "--1", "\u0661", "9" * 5000, None, [1]])
def test_big_int_rejects_other_values(value: Any) -> None:
    with pytest.raises(GraphQLError):
        big_int.parse_value(value)


@given(st.binary())
def test_base64_keeps_bytes(value: bytes) -> None:
    assert base64.parse_value(base64.serialize(value)) == value


@pytest.mark.parametrize("value", ["*", "a", "YQ", 5, None, "\u00e4"])
def test_base64_rejects_other_values(value: Any) -> None:
    with pytest.raises(GraphQLError):
        base64.parse_value(value)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_timestamps_keep_their_milliseconds(millis: int) -> None:
    assert to_millis(from_millis(millis)) == millis


def test_timestamps_outside_the_calendar_are_null() -> None:
    assert from_millis(2**62) is None
    assert from_millis(None) is None
    assert to_millis(datetime(1970, 1, 2)) == to_millis(datetime(1970, 1, 2, tzinfo=UTC)) == 86_400_000


@given(st.binary())
def test_content_never_fails(data: bytes) -> None:
    content = Content(data=data)
    assert content.base64() == data
    assert content.size() == len(data)
    text = content.text()
    assert text is None or text.encode() == data
    content.json()


@pytest.mark.parametrize("data", [b"NaN", b"\xff", b"{", b"[" * 100_000, b"-Infinity"])
async def test_bytes_that_are_not_json_are_null(data: bytes) -> None:
    use_decoding(Decoding(Schemas(None)))
    found = Content(data=data).json()
    assert (await found if isinstance(found, Awaitable) else found) is None
