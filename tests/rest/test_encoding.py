import asyncio
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.rest import encoding


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1612552482000, "2021-02-05T19:14:42Z"),
        (1612552482010, "2021-02-05T19:14:42.010Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (None, None),
        (2**62, None),
    ],
)
def test_timestamps(milliseconds: int | None, text: str | None) -> None:
    assert encoding.timestamp_text(milliseconds) == text


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False),
        (b"", False),
        (b"gzip", True),
        (b"deflate, GZIP;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.0, *", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"br, identity", False),
    ],
)
def test_accept_encoding(header: bytes | None, accepted: bool) -> None:
    assert encoding.accepts_gzip(header) is accepted


@given(st.binary())
def test_compression_is_gzip(body: bytes) -> None:
    assert gzip.decompress(encoding.compress(body)) == body


def test_bytes_are_base64_and_text_is_kept() -> None:
    assert json.loads(encoding.encode({"b": b"hello", "t": "ü"})) == {"b": "aGVsbG8=", "t": "ü"}


@given(st.lists(st.sampled_from([0, 1, 100, 40_000]), max_size=40))
def test_an_array_has_all_documents_whatever_their_sizes(sizes: list[int]) -> None:
    found = asyncio.run(encoding.encode_array(sizes, lambda size: {"text": "x" * size}, b'{"data":', b"}"))
    assert json.loads(found) == {"data": [{"text": "x" * size} for size in sizes]}


@pytest.mark.parametrize("count", [0, 1, 40, 400])
def test_parts_of_a_long_array_are_the_array(count: int) -> None:
    sizes = [1, 40_000, 100, 40_000] * count
    parts: list[bytearray] = []

    async def take(part: bytearray, share: float) -> None:
        parts.append(part)
        # The parts so far tell how long the whole is.
        assert sum(map(len, parts)) / share == pytest.approx(20_100 * len(sizes), rel=0.05)

    last = asyncio.run(encoding.encode_array(sizes, lambda size: {"text": "x" * size}, b'{"data":', b"}", take))
    assert json.loads(b"".join([*parts, last])) == {"data": [{"text": "x" * size} for size in sizes]}
    assert max(map(len, [*parts, last])) < 2_000_000
