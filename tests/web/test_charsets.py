import asyncio

from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.web.charsets import from_latin_1


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_body_in_any_pieces(pieces: list[bytes]) -> None:
    parts = iter([*((piece, True) for piece in pieces), (b"", False)])

    async def read() -> tuple[bytes, bool]:
        return next(parts)

    async def received() -> list[tuple[bytes, bool]]:
        read_utf_8 = from_latin_1(read)
        return [await read_utf_8() for _ in range(len(pieces) + 1)]

    found = asyncio.run(received())
    assert b"".join(body for body, _ in found).decode() == b"".join(pieces).decode("latin-1")
    assert [more for _, more in found] == [*[True] * len(pieces), False]
