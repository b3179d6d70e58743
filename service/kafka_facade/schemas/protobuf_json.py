"""Rejects JSON values that Protobuf's Python parser would change, such as the number ``1_0`` or invalid Base64.

The parser accepts Python's number syntax, turns too large numbers into infinity and booleans into numbers, and skips
characters that are not Base64. A value must be stored unchanged or rejected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from kafka_facade.core.quoting import quote, quote_json

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_SYMBOL: Final = re.compile(r"[A-Za-z_]")
_NAMED: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_BASE64: Final = re.compile(r"([A-Za-z0-9+/_-]*)(={0,2})")
_TIME: Final = re.compile(r"[-+.:0-9A-Za-z]*")
# Smaller values are rounded to a finite number.
_LIMITS: Final = {FieldDescriptor.TYPE_FLOAT: float.fromhex("0x1.ffffffp+127"), FieldDescriptor.TYPE_DOUBLE: math.inf}

_TIMES: Final = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})
# Their JSON is not made of their fields, and the parser reads it correctly.
_OTHERS: Final = frozenset(f"google.protobuf.{name}" for name in ("FieldMask", "Struct", "Value", "ListValue"))
_ANY: Final = "google.protobuf.Any"
_WRAPPERS: Final = "google/protobuf/wrappers.proto"

# Path of a value: the path of its parent, and its name or index.
_Path = tuple[Any, object] | None
_Task = tuple[Any, Descriptor, _Path]


class StrictValues:
    """Checks JSON that the parser has accepted against the message descriptors."""

    def __init__(self, pool: DescriptorPool) -> None:
        """Takes the pool of the types that an Any may hold."""
        self._pool = pool
        self._fields: dict[str, dict[str, FieldDescriptor]] = {}

    def check(self, data: Any, descriptor: Descriptor) -> None:
        """Raise ValueError with the field for a value that would be changed. Takes linear time."""
        waiting: list[_Task] = [(data, descriptor, None)]
        while waiting:
            value, of, path = waiting.pop()
            if of.file.name == _WRAPPERS:
                _check_scalar(of.fields_by_name["value"], value, path)
            elif of.full_name in _TIMES:
                if not _TIME.fullmatch(value):
                    raise _refusal("a time", value, path)
            elif of.full_name == _ANY:
                if value:
                    waiting.append(self._any(value, path))
            elif of.full_name not in _OTHERS:
                self._check_message(value, of, path, waiting)

    def _any(self, value: dict[str, Any], path: _Path) -> _Task:
        """Return the content of an Any."""
        of = self._pool.FindMessageTypeByName(value["@type"].rpartition("/")[2])
        if of.file.name == _WRAPPERS or of.full_name in _TIMES | _OTHERS or of.full_name == _ANY:
            return value["value"], of, (path, "value")
        return {name: member for name, member in value.items() if name != "@type"}, of, path

    def _check_message(self, data: dict[str, Any], of: Descriptor, path: _Path, waiting: list[_Task]) -> None:
        fields = self._fields_of(of)
        for name, value in data.items():
            if value is None:
                continue
            field = fields.get(name) or self._extension(name)
            here = (path, name)
            message = field.message_type
            if message is not None and message.GetOptions().map_entry:
                key, field = message.fields_by_name["key"], message.fields_by_name["value"]
                if key.type in _CHECKS:
                    for index in value:
                        _check_scalar(key, index, here)
                items: Iterable[tuple[object, Any]] = value.items()
            elif field.is_repeated:
                items = enumerate(value)
            elif message is not None:
                waiting.append((value, message, here))
                continue
            else:
                _check_scalar(field, value, here)
                continue
            if field.message_type is not None:
                waiting += [(item, field.message_type, (here, index)) for index, item in items]
            elif field.type in _CHECKS:
                for index, item in items:
                    _check_scalar(field, item, (here, index))

    def _fields_of(self, of: Descriptor) -> dict[str, FieldDescriptor]:
        """Return the fields by their JSON and Protobuf names."""
        found = self._fields.get(of.full_name)
        if found is None:
            found = {field.name: field for field in of.fields} | {field.json_name: field for field in of.fields}
            self._fields[of.full_name] = found
        return found

    def _extension(self, name: str) -> FieldDescriptor:
        """Return the extension of a name in brackets, or of its message, like the parser. Raises KeyError."""
        identifier = name[1:-1]
        try:
            return self._pool.FindExtensionByName(identifier)
        except KeyError:
            return self._pool.FindExtensionByName(identifier.rpartition(".")[0])


def _check_scalar(field: FieldDescriptor, value: Any, path: _Path) -> None:
    if field.type in _CHECKS:
        expected, fits = _CHECKS[field.type]
        if not fits(field, value):
            raise _refusal(expected, value, path)


def _is_bytes(field: FieldDescriptor, value: Any) -> bool:
    found = _BASE64.fullmatch(value)
    if not found:
        return False
    digits, padding = len(found[1]), len(found[2])
    return digits % 4 != 1 and (not padding or (digits + padding) % 4 == 0)


def _is_real(field: FieldDescriptor, value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        if value in _NAMED:
            return True
        if not _NUMBER.fullmatch(value):
            return False
    try:
        number = float(value)
    except OverflowError:
        return False
    return abs(number) < _LIMITS[field.type]


def _is_integer(field: FieldDescriptor, value: Any) -> bool:
    if not isinstance(value, str) or _INTEGER.fullmatch(value):
        # The parser has rejected fractions and booleans.
        return True
    if not _NUMBER.fullmatch(value):
        return False
    # The parser reads it as a float, which loses digits.
    try:
        return Decimal(value) == int(float(value))
    except ArithmeticError:
        return False


def _is_symbol(field: FieldDescriptor, value: Any) -> bool:
    if isinstance(value, str):
        return bool(_SYMBOL.match(value) or _INTEGER.fullmatch(value))
    return not isinstance(value, bool) and value == int(value)


def _refusal(expected: str, value: Any, path: _Path) -> ValueError:
    """Return the error for a value, with the field's path from the message."""
    parts: list[str] = []
    while path:
        path, name = path
        parts.append(f"[{name}]" if isinstance(name, int) else f".{name}")
    where = quote("".join(reversed(parts)).removeprefix("."))
    return ValueError(f"{where or 'the value'}: expected {expected}, not {quote_json(value)}")


_Fits = Callable[[FieldDescriptor, Any], bool]
_CHECKS: Final[dict[int, tuple[str, _Fits]]] = {
    FieldDescriptor.TYPE_BYTES: ("Base64", _is_bytes),
    FieldDescriptor.TYPE_DOUBLE: ("a number that a double can hold", _is_real),
    FieldDescriptor.TYPE_FLOAT: ("a number that a float can hold", _is_real),
    FieldDescriptor.TYPE_ENUM: ("a symbol of the enum or its number", _is_symbol),
    **dict.fromkeys(
        (
            *(FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32),
            *(FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64),
            *(FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32),
            *(FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64),
        ),
        ("an integer", _is_integer),
    ),
}
