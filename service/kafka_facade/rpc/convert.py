"""Conversion of messages to core requests, and of core resources to messages, by field name.

Converters are built once per pair of types. A field that the message type lacks keeps the default of the core type.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

from google.api import field_behavior_pb2
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from kafka_facade.core.errors import InvalidRequest, PayloadTooLarge
from kafka_facade.core.limits import MESSAGE_ENTRIES
from kafka_facade.core.request import without_none
from kafka_facade.rpc.names import core_names, field_of

_Value = Callable[[Any], Any]
_Target = TypeVar("_Target")
_LEFT_OUT = object()
_TIMESTAMP = "google.protobuf.Timestamp"


# google.protobuf.Timestamp: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799


def to_timestamp(milliseconds: int | None) -> Timestamp | None:
    """Convert Unix milliseconds to a Timestamp; None for None, and outside of the years 1 to 9999."""
    if milliseconds is None:
        return None
    seconds, rest = divmod(milliseconds, 1000)
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        return None
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def to_milliseconds(timestamp: Timestamp) -> int:
    """Convert a Timestamp to Unix milliseconds, rounding down. Raises InvalidRequest outside of years 1 to 9999."""
    if not _FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND:
        raise InvalidRequest("The timestamp is out of range.", field="timestamp")
    return timestamp.seconds * 1000 + timestamp.nanos // 1_000_000


@cache
def enum_names(descriptor: EnumDescriptor) -> Mapping[int, str]:
    """Map an enum's numbers to the core's names: without the prefix, and without the unspecified value."""
    # By buf's lint rules, each value begins with the enum's name, and the zero value ends with UNSPECIFIED.
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix) for value in descriptor.values if value.number}


@cache
def _enum_numbers(descriptor: EnumDescriptor) -> Mapping[str, int]:
    return {name: number for number, name in enum_names(descriptor).items()}


def reader(target: type[_Target], message_type: type[Message]) -> Callable[[Message], _Target]:
    """Return a converter from a message to a core dataclass. It raises InvalidRequest if a required field is empty."""
    hints = get_type_hints(target)
    # Any: the type stubs declare two descriptor classes, but only one exists at run time.
    descriptor: Any = message_type.DESCRIPTOR
    parts = [
        (field.name, _field_reader(found, hints[field.name]))
        for field in dataclasses.fields(target)  # type: ignore[arg-type]
        if (found := field_of(descriptor, field.name)) is not None
    ]

    def read(message: Message) -> _Target:
        values = {}
        for name, get in parts:
            value = get(message)
            if value is not _LEFT_OUT:
                values[name] = value
        return target(**values)

    return read


def _field_reader(field: FieldDescriptor, hint: Any) -> Callable[[Message], Any]:
    name = field.name
    kind, optional = without_none(hint)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry: Any = field.message_type
        [inner] = entry.fields_by_name["value"].message_type.fields
        return lambda message: {key: list(getattr(value, inner.name)) for key, value in getattr(message, name).items()}
    if field.is_repeated:
        [item] = get_args(kind)
        each = _value_reader(field, item)
        every = _every(field, each)
        if _is_required(field):
            return _required(field, every)
        if optional:
            return lambda message: every(getattr(message, name)) or None
        return lambda message: every(getattr(message, name))
    convert = _value_reader(field, kind)
    # The core itself reports a missing enum value.
    if _is_required(field) and field.enum_type is None:
        return _required(field, convert)
    if field.has_presence:
        absent = None if optional else _LEFT_OUT
        return lambda message: convert(getattr(message, name)) if message.HasField(name) else absent
    if field.enum_type is not None:
        absent = None if optional else _LEFT_OUT
        return lambda message: convert(getattr(message, name)) if getattr(message, name) else absent
    if kind is str and optional:
        return lambda message: getattr(message, name) or None
    return lambda message: convert(getattr(message, name))


def _is_required(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _required(field: FieldDescriptor, convert: _Value) -> Callable[[Message], Any]:
    name = field.name

    def required(message: Message) -> Any:
        value = getattr(message, name)
        if not (message.HasField(name) if field.has_presence else value):
            raise InvalidRequest(f"{name} is required.", field=name)
        return convert(value)

    return required


def _every(field: FieldDescriptor, convert: _Value) -> Callable[[Any], list[Any]]:
    """Return a converter for a list. Errors name the index of the invalid entry; too many are PayloadTooLarge."""

    def every(values: Any) -> list[Any]:
        if len(values) > MESSAGE_ENTRIES:
            raise PayloadTooLarge(f"{field.name} has more than {MESSAGE_ENTRIES} entries.", field=field.name)
        if field.message_type is None:
            return [convert(value) for value in values]
        converted: list[Any] = []
        try:
            converted.extend(map(convert, values))
        except InvalidRequest as error:
            # The number of converted entries is the index of the invalid one.
            raise error.within(f"{field.name}[{len(converted)}]") from None
        return converted

    return every


def _value_reader(field: FieldDescriptor, kind: Any) -> _Value:
    if field.enum_type is not None:
        names = enum_names(field.enum_type)
        if issubclass(kind, Enum):
            members = kind.__members__
            return lambda number: _known(members.get(names.get(number, "")), field)
        return lambda number: _known(names.get(number), field).lower()
    if field.message_type is None:
        if kind is str and field.type != FieldDescriptor.TYPE_STRING:
            return lambda value: str(value).lower()
        return lambda value: value
    if field.message_type.full_name == _TIMESTAMP:
        return to_milliseconds
    return reader(kind, GetMessageClass(field.message_type))


def _known(value: Any, field: FieldDescriptor) -> Any:
    if value is None:
        raise InvalidRequest(f"{field.name} has a value that this version doesn't know.", field=field.name)
    return value


def writer(message_type: type[Message]) -> Callable[[object], Message]:
    """Return a converter from any resource with the message's fields as attributes; None leaves a field unset."""
    descriptor: Any = message_type.DESCRIPTOR
    parts = [(field.name, core_names(descriptor, field), _field_writer(field)) for field in descriptor.fields]

    found: dict[type[Any], list[tuple[str, str, _Value]]] = {}

    def parts_of(resource: Any) -> list[tuple[str, str, _Value]]:
        # Cached by type, because the core's name of a field depends only on the resource's type.
        own = found[type(resource)] = [
            (name, next(n for n in names if hasattr(resource, n)), convert) for name, names, convert in parts
        ]
        return own

    def write(resource: object) -> Message:
        values = {}
        for name, own, convert in found.get(type(resource)) or parts_of(resource):
            value = getattr(resource, own)
            if value is not None:
                values[name] = convert(value)
        return message_type(**values)

    return write


def _field_writer(field: FieldDescriptor) -> _Value:
    convert = _value_writer(field)
    if field.is_repeated:
        return lambda values: [convert(value) for value in values]
    return convert


def _value_writer(field: FieldDescriptor) -> _Value:
    if field.enum_type is not None:
        numbers = _enum_numbers(field.enum_type)
        return lambda value: numbers.get(value.name if isinstance(value, Enum) else value, 0)
    if field.message_type is None:
        return lambda value: value
    if field.message_type.full_name == _TIMESTAMP:
        return to_timestamp
    return writer(GetMessageClass(field.message_type))
