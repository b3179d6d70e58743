"""Estimates the maximum size of decoded Protobuf payloads, for each byte and for a given payload.

upb parses payloads in C without interruption, and two bytes may be a message with thousands of fields, all of which the
JSON mapping writes. Therefore payloads that may become large are scanned here first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from kafka_facade.core.records.decoding_budget import VALUE_WEIGHT, DecodingBudget

# Memory of a message and its JSON object without fields, and of a field in a message.
_MESSAGE_WEIGHT: Final = 192
_FIELD_WEIGHT: Final = 16
_MAX_DEPTH: Final = 100
# Wire types.
_VARINT, LENGTH = 0, 2
_GROUPS: Final = (3, 4)
_FIXED: Final = {1: 8, 5: 4}
# The content type of ``google.protobuf.Any`` is known only from the payload.
ANY: Final = "google.protobuf.Any"
_ANY_FILE: Final = "google/protobuf/any.proto"
_TYPE_URL, _CONTENT = 1, 2
# Minimum bytes of an Any within an Any: its type name, and two tags and lengths.
_ANY_BYTES: Final = 24


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Weights:
    """The weights of all messages in a list of files."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._name = self._message = self._enum = self._fields = 0
        self.parts = 0
        """Number of messages, fields, enums, symbols and methods in the files."""
        self.names = 0
        """Total characters of their full names, which the pool keeps; each includes the names of its parents."""
        self._has_any = False
        for file in files:
            self._has_any |= file.name == _ANY_FILE or _ANY_FILE in file.dependency
            scope = len(file.package) + 1
            self._extensions(file.extension, scope)
            for message in file.message_type:
                self._add(message, scope)
            self._enums(file.enum_type, scope)
            for service in file.service:
                self._count([service], scope)
                self._count(service.method, scope + len(service.name) + 1)
        self.per_byte = (self._name + self._message) // 2 + self._enum + 2 * VALUE_WEIGHT
        """Maximum weight of a payload byte: two bytes are a message or a field, and one is a number or an enum."""
        self.message = self._message
        """Maximum weight of an empty message."""
        self.layout = _MESSAGE_WEIGHT + self._fields * _FIELD_WEIGHT
        """Maximum memory (bytes) of an empty message."""
        self._known: dict[str, int] = {}

    def _count(self, named: Sequence[_Named], scope: int) -> None:
        """Count parts; ``scope`` is the length of the prefix of their full names."""
        self.parts += len(named)
        self.names += sum(scope + len(part.name) for part in named)

    def _add(self, message: DescriptorProto, scope: int) -> None:
        weight = _MESSAGE_WEIGHT
        for field in message.field:
            length = len(field.json_name or field.name)
            self._name = max(self._name, length)
            weight += length + _FIELD_WEIGHT + VALUE_WEIGHT
        self._message = max(self._message, weight)
        self._fields = max(self._fields, len(message.field))
        self._count([message], scope)
        within = scope + len(message.name) + 1
        self._count(message.field, within)
        self._count(message.oneof_decl, within)
        self._extensions(message.extension, within)
        self._enums(message.enum_type, within)
        for nested in message.nested_type:
            self._add(nested, within)

    def _enums(self, enums: Sequence[EnumDescriptorProto], scope: int) -> None:
        self._count(enums, scope)
        for enum in enums:
            # Symbols are in the scope of the enum's parent.
            self._count(enum.value, scope)
            self._enum = max([self._enum, *(len(value.name) for value in enum.value)])

    def _extensions(self, fields: Sequence[FieldDescriptorProto], scope: int) -> None:
        self._count(fields, scope)
        self._name = max([self._name, *(scope + len(field.name) + 2 for field in fields)])

    def spend(self, message: Descriptor, payload: bytes, budget: DecodingBudget) -> None:
        """Charge the decoded size of a payload. Raises ValueError if it is malformed, and BudgetExceeded."""
        most = self._most(len(payload))
        if most <= budget.left:
            budget.spend(most)
        else:
            self._walk(message, memoryview(payload), budget, 0)

    def _most(self, size: int) -> int:
        most = self.message + self.per_byte * size
        # Each nested Any is parsed from a copy of the remaining bytes.
        return most + size * size // _ANY_BYTES if self._has_any else most

    def _of(self, message: Descriptor) -> int:
        """Return the weight of an empty message."""
        weight = self._known.get(message.full_name)
        if weight is None:
            weight = _MESSAGE_WEIGHT + len(message.fields) * _FIELD_WEIGHT
            weight += sum(len(field.json_name) + VALUE_WEIGHT for field in message.fields if not field.has_presence)
            self._known[message.full_name] = weight
        return weight

    def _walk(self, message: Descriptor, payload: memoryview, budget: DecodingBudget, depth: int) -> None:
        budget.spend(self._of(message))
        if message.GetOptions().map_entry and (value := message.fields_by_number[2].message_type) is not None:
            # A map entry always has a value, even if its bytes are absent.
            budget.spend(self._of(value))
        if depth > _MAX_DEPTH:
            raise ValueError("the message is nested too deeply")
        if message.full_name == ANY:
            self._walk_any(message, payload, budget, depth)
            return
        if message.is_extendable:
            budget.spend(self._most(len(payload)))
            return
        fields = message.fields_by_number
        position, end = 0, len(payload)
        while position < end:
            key, position = read_varint(payload, position)
            wire = key & 7
            if wire in _GROUPS:
                # Charge the maximum for a group instead of parsing it.
                budget.spend(self._most(end - position))
                return
            start, position = read_value(payload, position, wire)
            field = fields.get(key >> 3)
            if field is None:
                # Unknown fields are not decoded, but they take time.
                budget.spend(VALUE_WEIGHT)
                continue
            budget.spend(len(field.json_name) + VALUE_WEIGHT)
            if field.message_type is not None:
                if wire == LENGTH:
                    self._walk(field.message_type, payload[start:position], budget, depth + 1)
            else:
                self._spend_scalars(field, wire, payload[start:position], budget)

    def _spend_scalars(self, field: FieldDescriptor, wire: int, content: memoryview, budget: DecodingBudget) -> None:
        """Charge a scalar, or several that are packed."""
        if field.enum_type is not None:
            budget.spend(len(content) * (self._enum + 2 * VALUE_WEIGHT))
        elif wire != LENGTH:
            return
        elif field.type == FieldDescriptor.TYPE_STRING:
            budget.spend_text(content)
        elif field.type == FieldDescriptor.TYPE_BYTES:
            budget.spend(len(content) * 4 // 3)
        else:
            budget.spend(len(content) * 2 * VALUE_WEIGHT)

    def _walk_any(self, message: Descriptor, payload: memoryview, budget: DecodingBudget, depth: int) -> None:
        """Scan the content of an Any, which upb parses from a copy."""
        fields: dict[int, memoryview] = {}
        position = 0
        while position < len(payload):
            key, position = read_varint(payload, position)
            if key & 7 in _GROUPS:
                budget.spend(self._most(len(payload) - position))
                return
            start, position = read_value(payload, position, key & 7)
            budget.spend(VALUE_WEIGHT)
            # The last occurrence of a field counts.
            fields[key >> 3] = payload[start:position]
        budget.spend(2 * len(payload))
        name = bytes(fields.get(_TYPE_URL, b"")).decode(errors="replace").rpartition("/")[2]
        try:
            held = message.file.pool.FindMessageTypeByName(name)
        except KeyError:
            # Decoding raises the error.
            return
        self._walk(held, fields.get(_CONTENT, payload[:0]), budget, depth + 1)


def read_value(payload: memoryview, position: int, wire: int) -> tuple[int, int]:
    """Return start and end of a value. Raises ValueError if the payload is truncated."""
    start = position
    if wire == LENGTH:
        length, start = read_varint(payload, position)
        position = start + length
    elif wire == _VARINT:
        _, position = read_varint(payload, position)
    else:
        position += _FIXED.get(wire, 0)
    if position > len(payload):
        raise ValueError("the message is truncated")
    return start, position


def read_varint(payload: memoryview, position: int) -> tuple[int, int]:
    shift = result = 0
    while True:
        if position >= len(payload) or shift > 63:
            raise ValueError("the message is truncated")
        byte = payload[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
