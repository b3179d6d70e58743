"""Decoding of large messages on the event loop, in pieces.

How long a message takes to decode, and its memory, depend on its fields more than on its bytes: a record may have two
bytes on the wire. Native code decodes without releasing the interpreter lock, so that a thread does not help. Therefore
the fields of a large message are counted first, by their tags and lengths, and many of them are decoded in pieces.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from kafka_facade.core.errors import PayloadTooLarge
from kafka_facade.core.limits import MESSAGE_FIELDS
from kafka_facade.core.time_slices import time_slice

LARGE_MESSAGE: Final = 1024 * 1024
"""More bytes are copied in a thread: 60 MB take about 40 ms."""

# So many fields are decoded at once: this takes 8 ms at most, since a field takes up to 80 ns.
_FIELDS_AT_ONCE: Final = 100_000
# Pieces of a message with more fields, which have two bytes at least: to find and to decode 8,000 takes about 4 ms.
_PIECE_BYTES: Final = 16 * 1024
# How many fields are counted per check of the time slice.
_STEP: Final = 4096

_VARINT, _FIXED64, _LENGTH, _GROUP, _END, _FIXED32 = range(6)
_LONGEST_VARINT: Final = 10
# How deep messages and groups may be nested; Protobuf's decoder has the same limit.
_DEEPEST: Final = 100
_STRINGS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)

_Fields = dict[int, "_Field"]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field that has more than one value on the wire."""

    name: str
    fields: _Fields | None
    """The fields of a message; None for packed numbers."""
    is_repeated: bool
    is_entry: bool
    """Whether it is an entry of a map, which cannot be decoded in pieces."""


async def decode_large(request: type[Message], data: bytes) -> Message:
    """Decode a message. Raises PayloadTooLarge if it has more than MESSAGE_FIELDS fields, and DecodeError."""
    fields = _fields_of(request.DESCRIPTOR)
    try:
        count = await _count(data, fields)
    except IndexError:
        raise DecodeError("The message is truncated.") from None
    message = request()
    if count > _FIELDS_AT_ONCE:
        await _merge(message, data, fields, 0, len(data))
    else:
        await _merge_piece(message, data)
    return message


@cache
def _fields_of(descriptor: Any) -> _Fields:
    """Return the fields of a message that are messages or lists of numbers, by their tags."""
    found: _Fields = {}
    for field in descriptor.fields:
        tag = field.number << 3 | _LENGTH
        if field.message_type is not None:
            entry = field.message_type.GetOptions().map_entry
            found[tag] = _Field(field.name, _fields_of(field.message_type), field.is_repeated, entry)
        elif field.is_repeated and field.type not in _STRINGS:
            found[tag] = _Field(field.name, None, True, False)
    return found


async def _count(data: bytes, fields: _Fields) -> int:
    """Return the number of fields, at all levels, in time slices. Each number of a packed list is one too.

    Raises PayloadTooLarge, and DecodeError or IndexError if the message is malformed.
    """
    position, end, count, pause = 0, len(data), 0, _STEP
    outer: list[tuple[_Fields, int]] = []
    while True:
        while position >= end:
            _check_end(position, end)
            if not outer:
                _check(count)
                return count
            fields, end = outer.pop()
        tag = data[position]
        position += 1
        if tag > 0x7F:
            tag, position = _varint(data, position - 1)
        count += 1
        kind = tag & 7
        if kind == _LENGTH:
            length = data[position]
            position += 1
            if length > 0x7F:
                length, position = _varint(data, position - 1)
            found = fields.get(tag)
            if found is None:
                position += length
            elif found.fields is None:
                count += length
                position += length
            elif length:
                # If it ends after the message around it, that is noticed when the position is past the end of that.
                outer.append((fields, end))
                fields, end = found.fields, position + length
        elif kind == _GROUP:
            inside, position = await _after_group(data, position, end, tag, len(outer))
            count += inside
        else:
            position = _after_number(data, position, kind)
        if count >= pause:
            _check(count)
            await time_slice()
            pause = count + _STEP


def _check_end(position: int, end: int) -> None:
    if position > end:
        raise DecodeError("A field is longer than its message.")


async def _after_group(data: bytes, position: int, end: int, tag: int, depth: int = 0) -> tuple[int, int]:
    """Return the number of fields in a group, and the position after it, in time slices.

    proto3 has no groups, so they are unknown fields. ``tag`` is that of the group, which is in ``depth`` messages.
    """
    count, pause = 0, _STEP
    ends = [tag + 1]
    while ends:
        if position >= end or depth + len(ends) > _DEEPEST:
            raise DecodeError("A group has no end, or is nested too deeply.")
        tag, position = _varint(data, position)
        count += 1
        kind = tag & 7
        if kind == _GROUP:
            ends.append(tag + 1)
        elif kind == _END:
            if tag != ends.pop():
                raise DecodeError("A group has the end of another.")
        elif kind == _LENGTH:
            length, position = _varint(data, position)
            position += length
        else:
            position = _after_number(data, position, kind)
        if count >= pause:
            _check(count)
            await time_slice()
            pause = count + _STEP
    return count, position


def _check(count: int) -> None:
    if count > MESSAGE_FIELDS:
        raise PayloadTooLarge(f"The message has more than {MESSAGE_FIELDS} fields, with those of its entries.")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a varint and the position after it. Raises DecodeError if it is too long."""
    value = 0
    for number in range(_LONGEST_VARINT):
        byte = data[position + number]
        value |= (byte & 0x7F) << 7 * number
        if byte <= 0x7F:
            return value, position + number + 1
    raise DecodeError("A number has more than ten bytes.")


def _after_number(data: bytes, position: int, kind: int) -> int:
    if kind == _VARINT:
        return position + 1 if data[position] <= 0x7F else _varint(data, position)[1]
    if kind == _FIXED64:
        return position + 8
    if kind == _FIXED32:
        return position + 4
    raise DecodeError("A field has an unknown wire type.")


async def _merge(message: Message, data: bytes, fields: _Fields, start: int, end: int) -> None:
    """Decode a part of the data into ``message``, in pieces of whole fields. The fields have been counted already."""
    piece = position = start
    while position < end:
        tag, length = data[position], data[position + 1]
        if tag <= 0x7F and length <= 0x7F and tag & 7 == _LENGTH:
            content = position + 2
        else:
            tag, content, length = _header(data, position)
        following = content + length
        if tag & 7 == _GROUP:
            _, following = await _after_group(data, content, end, tag)
        if following - piece > _PIECE_BYTES:
            await _merge_piece(message, data[piece:position])
            piece = position
            found = fields.get(tag)
            if following - position > _PIECE_BYTES and found and found.fields is not None and not found.is_entry:
                await _merge(_part(message, found), data, found.fields, content, following)
                piece = following
        position = following
    await _merge_piece(message, data[piece:end])


def _header(data: bytes, position: int) -> tuple[int, int, int]:
    """Return a field's tag, and the start and length of its content; that of a group is looked for elsewhere."""
    tag, position = _varint(data, position)
    kind = tag & 7
    if kind == _LENGTH:
        length, position = _varint(data, position)
        return tag, position, length
    if kind == _GROUP:
        return tag, position, 0
    return tag, position, _after_number(data, position, kind) - position


def _part(message: Message, field: _Field) -> Message:
    """Return the message to decode a field into: a new entry of a list, or what the field has already."""
    part: Any = getattr(message, field.name)
    if field.is_repeated:
        part = part.add()
    else:
        part.SetInParent()
    found: Message = part
    return found


async def _merge_piece(message: Message, piece: bytes) -> None:
    await time_slice()
    if len(piece) > LARGE_MESSAGE:
        await asyncio.to_thread(message.MergeFromString, piece)
    else:
        message.MergeFromString(piece)
