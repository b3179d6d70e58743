"""Splits a large v2 produce request into its records, so that decoding does not block the event loop."""

from __future__ import annotations

import re
from typing import Final

from kafka_facade.core.errors import MalformedBody, PayloadTooLarge
from kafka_facade.core.limits import PRODUCED_RECORDS, RECORDS_WEIGHT
from kafka_facade.core.records.decoding_budget import json_weight
from kafka_facade.core.time_slices import time_slice
from kafka_facade.rest.json_stream import Malformed, find_end, scan

PIECE_BYTES: Final = 16 * 1024
"""Bytes of records to split or decode before yielding to the event loop."""

# Look for the end of a record in this many bytes first, because most records are small.
_WINDOW: Final = 1024
_MAX_WINDOW: Final = 128 * 1024
# Bytes of a larger value to scan at once.
_PART: Final = 256 * 1024
_NAME = re.compile(rb'[ \t\r\n]*+"([^"\\]*+)"[ \t\r\n]*+:[ \t\r\n]*+')
_START = re.compile(rb"[ \t\r\n]*+\{")
_RECORDS: Final = b"records"


async def split(body: bytes) -> tuple[bytes, list[bytes | memoryview]] | None:
    """Return a body without its records, and the records; None if it has none or must be decoded as a whole.

    Large records are views of the body, since copying them takes long. Does not validate the JSON; decoding does.
    Raises PayloadTooLarge for too many records.
    """
    start = _START.match(body)
    position = 0 if start is None else start.end()
    records: list[bytes | memoryview] = []
    members: list[bytes] = []
    separator = b"," if start is not None else b""
    while separator == b",":
        name = _NAME.match(body, position)
        if name is None:
            return None
        position = name.end()
        if name[1] == _RECORDS and body[position : position + 1] == b"[":
            after = -1 if records else await _take_elements(body, position + 1, records)
        elif (after := await _end_of_value(body, position)) > 0:
            members.append(name[0] + body[position:after])
        if after < 0:
            return None
        separator = body[after : after + 1]
        position = after + 1
    if separator != b"}" or not records or body[position:].strip(b" \t\r\n"):
        return None
    return b"{" + b",".join(members) + b"}", records


async def _take_elements(body: bytes, position: int, elements: list[bytes | memoryview]) -> int:
    """Add the elements of an array; return the position after it and white space, -1 if it cannot be determined."""
    separator = b","
    cut = position
    while separator == b",":
        if position - cut > PIECE_BYTES:
            cut = position
            await time_slice()
        after = await _end_of_value(body, position)
        if after < 0:
            return -1
        if len(elements) == PRODUCED_RECORDS:
            raise PayloadTooLarge(f"A request may have {PRODUCED_RECORDS} records.")
        elements.append(body[position:after] if after - position <= _PART else memoryview(body)[position:after])
        separator = body[after : after + 1]
        position = after + 1
    if separator != b"]":
        return -1
    return _skip_space(body, position)


async def _end_of_value(body: bytes, start: int) -> int:
    """Return the end of the value at ``start``, with white space after it; -1 if invalid. Raises PayloadTooLarge."""
    window = _WINDOW
    view = memoryview(body)
    while window <= _MAX_WINDOW:
        part = view[start : start + window]
        try:
            end = find_end(part)
        except (Malformed, MalformedBody):
            return -1
        # At the end of the part, a number or white space may continue.
        if 0 < end < len(part):
            return start + end
        if start + window >= len(body):
            return -1
        window *= 2
    return await _end_of_large_value(body, start)


async def _end_of_large_value(body: bytes, start: int) -> int:
    """Do the same in time slices, reading each part of the value once."""
    position, read, weight = start, b"", 0
    while True:
        await time_slice()
        part = body[position : position + _PART]
        weight += json_weight(part, 0, len(part))
        if weight > RECORDS_WEIGHT:
            raise PayloadTooLarge("A record has more objects, arrays and members than can be read at once.")
        try:
            scanned, read = scan(part, read)
        except (Malformed, MalformedBody):
            return -1
        if not read:
            return _skip_space(body, position + scanned)
        if position + len(part) == len(body):
            return -1
        position += scanned


def _skip_space(body: bytes, position: int) -> int:
    while body[position : position + 1] in (b" ", b"\t", b"\r", b"\n"):
        position += 1
    return position
