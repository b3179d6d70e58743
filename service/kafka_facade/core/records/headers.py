"""Headers of records, of which one may have 100,000."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kafka_facade.core.errors import FacadeError
from kafka_facade.core.records.model import Header, RecordToProduce
from kafka_facade.core.time_slices import time_slice

FEW_HEADERS: Final = 1000
"""To free so many headers takes about 0.1 ms."""


def count_bytes(headers: Sequence[Header]) -> int:
    """Return the bytes of all names and values."""
    names = "".join([header.name for header in headers])
    size = len(names) if names.isascii() else len(names.encode(errors="surrogatepass"))
    return size + sum([len(header.value) for header in headers if header.value is not None])


async def free_headers(lists: list[Sequence[Header]]) -> None:
    """Free lists of headers that nothing else refers to, in time slices. Empties the list."""
    count = 0
    while lists:
        count += len(lists.pop())
        if count > FEW_HEADERS:
            await time_slice()
            count = 0


async def drop_headers(records: Sequence[RecordToProduce | FacadeError]) -> None:
    """Drop the headers of records that have been produced, in time slices: freeing those of one may take 10 ms."""
    lists: list[Sequence[Header]] = []
    for record in records:
        if not isinstance(record, FacadeError) and record.headers:
            lists.append(record.headers)
            record.headers = ()
    await free_headers(lists)
