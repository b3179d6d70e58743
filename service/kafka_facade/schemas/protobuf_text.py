"""Mends Protobuf strings that are not UTF-8, which are valid in proto2.

upb returns such a string as bytes, and the JSON mapping would write Python's notation of them. Map entries with such a
key cannot be read at all. So the strings are replaced in the payload.
"""

from __future__ import annotations

import re
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from kafka_facade.schemas.protobuf_weight import ANY, LENGTH, read_value, read_varint

_GROUP_START, _GROUP_END = 3, 4
_STRING: Final = FieldDescriptor.TYPE_STRING
# Java replaces an encoded surrogate by one character, Python by three.
_SURROGATE: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_REPLACEMENT: Final = "\ufffd".encode()


def may_have_invalid_text(mapped: object) -> bool:
    """Return whether a JSON mapping may show strings that are not UTF-8, each as Python's notation of bytes."""
    # This search runs in C, and each such string has an escape sequence, whose backslash is doubled here.
    return r"\\x" in repr(mapped)


def mend(message: Descriptor, payload: bytes) -> bytes:
    """Return a valid payload with U+FFFD for each malformed part of its strings, as in Kafka's Java clients."""
    return bytes(_mend(message, memoryview(payload), 0, None)[0])


def _mend(message: Descriptor | None, payload: memoryview, position: int, group: int | None) -> tuple[bytearray, int]:
    """Mend the message at the position, which lasts until the end of the payload or of its group."""
    if message is not None and message.full_name == ANY:
        return _mend_any(message, payload[position:]), len(payload)
    mended = bytearray()
    while position < len(payload):
        begin = position
        key, position = read_varint(payload, position)
        number, wire = key >> 3, key & 7
        if wire == _GROUP_END and number == group:
            return mended + payload[begin:position], position
        field = None if message is None else _field(message, number)
        nested = None if field is None else field.message_type
        if wire == _GROUP_START:
            mended += payload[begin:position]
            content, position = _mend(nested, payload, position, number)
            mended += content
            continue
        start, end = read_value(payload, position, wire)
        if field is None or wire != LENGTH or (nested is None and field.type != _STRING):
            mended += payload[begin:end]
        else:
            part = payload[start:end]
            content = bytearray(_valid(part)) if nested is None else _mend(nested, part, 0, None)[0]
            mended += payload[begin:position].tobytes() + _varint(len(content)) + content
        position = end
    return mended, position


def _mend_any(message: Descriptor, payload: memoryview) -> bytearray:
    made = GetMessageClass(message).FromString(bytes(payload))
    held = _held(message, made.type_url)  # type: ignore[attr-defined]
    if held is not None:
        made.value = mend(held, made.value)  # type: ignore[attr-defined]
    return bytearray(made.SerializeToString())


def _held(message: Descriptor, type_url: str) -> Descriptor | None:
    """Return the type of the content of an Any; None if it is unknown."""
    try:
        return message.file.pool.FindMessageTypeByName(type_url.rpartition("/")[2])
    except KeyError:
        return None


def _field(message: Descriptor, number: int) -> FieldDescriptor | None:
    found = message.fields_by_number.get(number)
    if found is None and message.is_extendable:
        try:
            return message.file.pool.FindExtensionByNumber(message, number)
        except KeyError:
            return None
    return found


def _valid(text: memoryview) -> bytes:
    return _SURROGATE.sub(_REPLACEMENT, text).decode(errors="replace").encode()


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
