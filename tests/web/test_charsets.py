import asyncio
from collections.abc import MutableMapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.web.charsets import from_latin_1


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_body_in_any_pieces(pieces: list[bytes]) -> None:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages += [{"type": "http.request", "more_body": False}, {"type": "http.disconnect"}]
    given = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(given)

    async def received() -> list[MutableMapping[str, Any]]:
        receive_utf_8 = from_latin_1(receive)
        return [await receive_utf_8() for _ in messages]

    found = asyncio.run(received())
    assert b"".join(message.get("body", b"") for message in found).decode() == b"".join(pieces).decode("latin-1")
    assert [message.get("more_body") for message in found] == [*[True] * len(pieces), False, None]
    assert found[-1] == {"type": "http.disconnect"}
