"""JSON with long values is encoded in pieces."""

import base64
import json

import pytest

from kafka_facade.core.records.long_values import LongEncoder, marked

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


def test_short_values_are_left_as_they_are() -> None:
    for value in ("x" * 1000, b"x" * 1000, None, 5, ["x"]):
        assert marked(value) is value
