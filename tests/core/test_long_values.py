"""JSON with long values is encoded in pieces."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.records import json_text
from kafka_facade.core.records.decoding_budget import BudgetExceeded, DecodingBudget
from kafka_facade.core.records.long_values import LongEncoder, LongJson, LongText, encode_long, long_text, marked, whole

LONG = ['\u00e4"\\\n\U0001f600x' * 200_000, bytes(range(256)) * 5000 + b"x", b"y" * 384 * 1024 * 2]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_long_values_are_filled_in(count: int) -> None:
    data = [{"short": "x", "bytes": b"y", "long": [marked(value) for value in LONG[:count]], "after": None}] * 2
    encoder, text = LongEncoder(), bytearray(b"before")
    encoder.encode_into(data, text, -1)
    await encoder.fill_in(text, 6)
    assert text.startswith(b"before")
    shown = [base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in LONG[:count]]
    assert json.loads(text[6:]) == [{"short": "x", "bytes": "eQ==", "long": shown, "after": None}] * 2


async def test_long_texts_and_json_are_filled_in() -> None:
    data = [LongText(LONG[0]), LongJson(b'["x"]'), {"a": LongText("b")}]
    encoder, text = LongEncoder(), bytearray()
    encoder.encode_into(data, text)
    await encoder.fill_in(text)
    assert text == msgspec.json.encode(data, enc_hook=whole)
    assert json.loads(text) == [LONG[0], ["x"], {"a": "b"}]


DATA = [
    LONG[0],
    [LONG[0], "x", LONG[0]],
    {"b": 1, str(LONG[0]): "y", "a": LONG[0]},
    {"a": [{str(LONG[0]): [LONG[0], None]}, 1.5]},
    [],
    "\x01" * 1_000_000,
]


@pytest.mark.parametrize("data", DATA)
def test_data_with_long_texts_is_encoded_in_pieces(data: Any) -> None:
    wanted = msgspec.json.encode(data)
    assert encode_long(data) == wanted


def test_a_long_value_is_shown_as_its_json() -> None:
    assert json_text.shown(["x"], 3) == ["x"]
    shown = json_text.shown([LONG[0]], 10_000_000)
    assert isinstance(shown, LongJson)
    assert json.loads(shown.text) == [LONG[0]]


@given(st.text())
def test_a_text_weighs_as_much_as_its_json(text: str) -> None:
    for weighed in (text, memoryview(text.encode())):
        budget = DecodingBudget(10_000)
        budget.spend_text(weighed)
        assert budget.spent == (len(msgspec.json.encode(text)) if text else 0)


def test_a_text_that_becomes_too_large_in_json_is_rejected() -> None:
    assert long_text(b"\xff" * 1_000_000) is None
    assert long_text("x" * 60_000_000) is not None
    with pytest.raises(BudgetExceeded):
        long_text(b"\x01" * 12_000_000)


def test_short_values_are_left_as_they_are() -> None:
    for value in ("x" * 1000, b"x" * 1000, None, 5, ["x"]):
        assert marked(value) is value
