"""Conversion of request bodies from ISO-8859-1 to UTF-8."""

from __future__ import annotations

from kafka_facade.web.body import Read


def from_latin_1(read: Read) -> Read:
    """Wrap ``read`` to return the body in UTF-8. Each byte is one character, so parts may end anywhere."""

    async def read_utf_8() -> tuple[bytes, bool]:
        body, more = await read()
        # ASCII is the same in both encodings.
        return body if body.isascii() else body.decode("latin-1").encode(), more

    return read_utf_8
